import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Backoff } from '../../src/net/backoff.ts'

test('the ceiling doubles from min to max, and begins anew after a reset', () => {
  const backoff = new Backoff({ min: 100, max: 1000 }, () => 1)
  assert.equal(
    [1, 2, 3, 4, 5, 6].map(() => backoff.next()),
    [100, 200, 400, 800, 1000, 1000],
  )
  backoff.reset()
  assert.equal([backoff.next(), backoff.next()], [100, 200])
})

test('every wait is anything from 0 to its ceiling: chance alone decides where', () => {
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(
      fc.array(chance, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 1000 }),
      (chances, min) => {
        const max = min * 37
        let next = 0
        const backoff = new Backoff({ min, max }, () => chances[next++]!)
        for (const [n, each] of chances.entries()) assert.is(backoff.next(), each * Math.min(max, min * 2 ** n))
      },
    ),
  )
})

test('a backoff that could spin or never end is refused', () => {
  for (const [min, max] of [
    [0, 10],
    [-1, 10],
    [20, 10],
    [1, Number.POSITIVE_INFINITY],
    [Number.NaN, 10],
  ] as const) {
    assert.throws(() => new Backoff({ min, max }), /backoff wants/)
  }
})

test.run()
