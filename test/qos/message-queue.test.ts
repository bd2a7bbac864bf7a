// The queue against an array.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MessageQueue } from '../../src/qos/message-queue.ts'

test('messages leave in the order they came', () => {
  const queue = new MessageQueue<number>({ count: 1000, bytes: 1e6 })
  for (let turn = 0; turn < 100; turn++) assert.ok(queue.push(turn, 10))
  assert.is(queue.size, 100)
  assert.is(queue.bytes, 1000)
  assert.is(queue.peek(), 0)
  for (let turn = 0; turn < 100; turn++) assert.is(queue.shift(), turn)
  assert.is(queue.shift(), undefined)
  assert.is(queue.peek(), undefined)
  assert.is(queue.bytes, 0)
})

test('the newest is refused when the number of messages is at its limit', () => {
  const queue = new MessageQueue<string>({ count: 2, bytes: 1000 })
  assert.ok(queue.push('a', 1))
  assert.ok(queue.push('b', 1))
  assert.is(queue.push('c', 1), false)
  assert.equal([...queue], ['a', 'b'])
})

test('the newest is refused when it would exceed the bytes, a smaller one still fits', () => {
  const queue = new MessageQueue<string>({ count: 10, bytes: 100 })
  assert.ok(queue.push('a', 60))
  assert.is(queue.push('b', 41), false)
  assert.ok(queue.push('c', 40))
  assert.is(queue.bytes, 100)
})

test('dropping the oldest makes room for the newest, and tells the victims in order', () => {
  const queue = new MessageQueue<string>({ count: 3, bytes: 100 })
  const victims: string[] = []
  const drop = (victim: string) => victims.push(victim)
  for (const [message, bytes] of [
    ['a', 30],
    ['b', 30],
    ['c', 30],
    ['d', 10],
    ['e', 75],
  ] as const) {
    assert.ok(queue.pushDroppingOldest(message, bytes, drop))
  }
  assert.equal(victims, ['a', 'b', 'c'])
  assert.equal([...queue], ['d', 'e'])
  assert.is(queue.bytes, 85)
})

test('a message larger than the whole queue drops nothing', () => {
  const queue = new MessageQueue<string>({ count: 3, bytes: 100 })
  queue.push('a', 30)
  assert.is(queue.pushDroppingOldest('huge', 101, assert.unreachable), false)
  assert.equal([...queue], ['a'])
  const none = new MessageQueue<string>({ count: 0, bytes: 100 })
  assert.is(none.push('a', 1), false)
  assert.is(none.pushDroppingOldest('a', 1, assert.unreachable), false)
})

test('a sweep takes out what has expired and keeps the order of the rest', () => {
  const queue = new MessageQueue<number>({ count: 100, bytes: 1e6 })
  for (let turn = 0; turn < 20; turn++) queue.push(turn, turn)
  for (let turn = 0; turn < 10; turn++) queue.shift()
  for (let turn = 20; turn < 25; turn++) queue.push(turn, turn)
  assert.is(
    queue.remove((message) => message % 2 === 0),
    8,
  )
  assert.equal([...queue], [11, 13, 15, 17, 19, 21, 23])
  assert.is(queue.bytes, 11 + 13 + 15 + 17 + 19 + 21 + 23)
  assert.is(
    queue.remove(() => true),
    7,
  )
  assert.is(queue.size, 0)
  assert.is(
    queue.remove(() => true),
    0,
  )
})

test('any sequence of pushing, shifting and sweeping agrees with an array', () => {
  const action = fc.tuple(
    fc.constantFrom('push', 'push', 'push', 'drop-oldest', 'shift', 'remove', 'drain'),
    fc.nat({ max: 50 }),
  )
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 300, size: 'max' }),
      fc.record({ count: fc.integer({ min: 1, max: 100 }), bytes: fc.integer({ min: 1, max: 1000 }) }),
      (actions, limits) => {
        const queue = new MessageQueue<{ bytes: number }>(limits)
        let model: { bytes: number }[] = []
        const sum = () => model.reduce((bytes, each) => bytes + each.bytes, 0)
        const fits = (bytes: number) => model.length < limits.count && sum() + bytes <= limits.bytes
        for (const [kind, bytes] of actions) {
          const message = { bytes }
          if (kind === 'push') {
            const expected = fits(bytes)
            if (expected) model.push(message)
            assert.is(queue.push(message, bytes), expected)
          } else if (kind === 'drop-oldest') {
            const victims: { bytes: number }[] = []
            const expected = bytes <= limits.bytes
            const before = [...model]
            if (expected) {
              while (!fits(bytes)) model.shift()
              model.push(message)
            }
            assert.is(
              queue.pushDroppingOldest(message, bytes, (victim) => victims.push(victim)),
              expected,
            )
            assert.equal(victims, before.slice(0, expected ? before.length + 1 - model.length : 0))
          } else if (kind === 'shift') assert.is(queue.shift(), model.shift())
          else if (kind === 'remove') {
            const before = model.length
            model = model.filter((each) => each.bytes % 3 !== bytes % 3)
            assert.is(
              queue.remove((each) => each.bytes % 3 === bytes % 3),
              before - model.length,
            )
          } else if (bytes % 10 === 0) {
            while (model.length > 0) assert.is(queue.shift(), model.shift())
          }
          assert.is(queue.size, model.length)
          assert.is(queue.bytes, sum())
          assert.is(queue.peek(), model[0])
        }
        assert.equal([...queue], model)
      },
    ),
    { numRuns: 200 },
  )
})

test.run()
