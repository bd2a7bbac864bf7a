// The wheel against a sorted list, and its promises by name. Time is a number here.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DeadlineWheel, type WheelEntry } from '../../src/timers/deadline-wheel.ts'

class Deadline implements WheelEntry {
  wheelNext: WheelEntry | undefined = undefined
  wheelPrevious: WheelEntry | undefined = undefined
  dueAt = 0
  again = false
  readonly name: string

  constructor(name = '') {
    this.name = name
  }
}

/** Names of the entries told of by one advance. */
function told(wheel: DeadlineWheel<Deadline>, now: number, limit?: number): string[] {
  const names: string[] = []
  wheel.advance(now, (entry) => void names.push(entry.name), limit)
  return names
}

test('a deadline is never told early, and at most one resolution late', () => {
  const wheel = new DeadlineWheel<Deadline>(1000, 100)
  wheel.set(new Deadline('a'), 1234)
  assert.equal(told(wheel, 1233.9), [])
  assert.equal(told(wheel, 1299.9), [])
  assert.equal(told(wheel, 1300), ['a'])
  assert.is(wheel.size, 0)
})

test('a deadline in the past is told with the next tick', () => {
  const wheel = new DeadlineWheel<Deadline>(1000, 100)
  told(wheel, 5000)
  wheel.set(new Deadline('a'), 3)
  assert.is(wheel.next(5000), 5100)
  assert.equal(told(wheel, 5100), ['a'])
})

test('deadlines far apart are told in order, over all wheels and beyond', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 1)
  const times = [
    1,
    31,
    32,
    33,
    1023,
    1024,
    1025,
    32768,
    2 ** 20 - 1,
    2 ** 20,
    2 ** 25 + 7,
    2 ** 30,
    2 ** 30 + 1,
    2 ** 33 + 5,
  ]
  for (const at of times) wheel.set(new Deadline(String(at)), at)
  for (const at of times) {
    assert.equal(told(wheel, at - 0.5), [], `just before ${at}`)
    assert.equal(told(wheel, at), [String(at)])
  }
  assert.is(wheel.next(2 ** 34), undefined)
})

test('one advance over a long sleep tells everything, in order of time', () => {
  const wheel = new DeadlineWheel<Deadline>(7, 50)
  const times = [100, 90_000, 3_600_000, 86_400_000, 31_536_000_000]
  for (const at of [...times].reverse()) wheel.set(new Deadline(String(at)), at)
  assert.equal(told(wheel, 32_000_000_000), times.map(String))
})

test('putting a deadline off costs one field and is honoured', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const entry = new Deadline('a')
  wheel.set(entry, 500)
  wheel.set(entry, 9000)
  assert.is(wheel.size, 1)
  assert.equal(told(wheel, 8999), [])
  assert.equal(told(wheel, 9000), ['a'])
})

test('bringing a deadline forward is honoured too', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const entry = new Deadline('a')
  wheel.set(entry, 9000)
  wheel.set(entry, 500)
  assert.is(wheel.size, 1)
  assert.equal(told(wheel, 500), ['a'])
  assert.equal(told(wheel, 99_000), [])
})

test('a cancelled deadline is not told; cancelling twice, or one never set, is no fault', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const entry = new Deadline('a')
  wheel.cancel(entry)
  wheel.set(entry, 500)
  assert.is(wheel.has(entry), true)
  wheel.cancel(entry)
  wheel.cancel(entry)
  assert.is(wheel.has(entry), false)
  assert.is(wheel.size, 0)
  assert.equal(told(wheel, 1000), [])
  assert.is(wheel.next(1000), undefined)
})

test('an owner that answers with a later time is asked again then', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const asked: number[] = []
  wheel.set(new Deadline(), 1000)
  const onDue = (_: Deadline, now: number) => {
    asked.push(now)
    return asked.length < 3 ? now + 1500 : undefined
  }
  for (let now = 0; now <= 10_000; now += 100) wheel.advance(now, onDue)
  assert.equal(asked, [1000, 2500, 4000])
  assert.is(wheel.size, 0)
})

test('an owner may set and cancel any entry while it is told, itself included', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new Deadline(name))
  for (const entry of [a, b, c]) wheel.set(entry, 1000)
  const names: string[] = []
  wheel.advance(1000, (entry) => {
    names.push(entry.name)
    if (entry === a) {
      wheel.cancel(b)
      wheel.set(a, 2000)
      wheel.set(c, 3000)
    }
    return undefined
  })
  assert.equal(names, ['a'])
  assert.equal(told(wheel, 2000), ['a'])
  assert.equal(told(wheel, 3000), ['c'])
})

test('an advance tells no more than its limit, and what is left over comes first and is due at once', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const entries = Array.from({ length: 10 }, (_, index) => new Deadline(String(index)))
  for (const entry of entries) wheel.set(entry, 1000)
  wheel.set(new Deadline('later'), 1100)
  assert.equal(told(wheel, 2000, 4), ['0', '1', '2', '3'])
  assert.is(wheel.next(2000), 2000)
  wheel.cancel(entries[4])
  wheel.set(entries[5], 2600)
  assert.equal(told(wheel, 2000, 4), ['6', '7', '8', '9'])
  assert.equal(told(wheel, 2000, 4), ['later'])
  assert.equal(told(wheel, 2600), ['5'])
})

test('an owner that throws loses its deadline, and nobody else theirs', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  for (const name of ['a', 'b', 'c']) wheel.set(new Deadline(name), 1000)
  assert.throws(() => {
    wheel.advance(1000, (entry) => {
      throw new Error(entry.name)
    })
  }, 'a')
  assert.equal(told(wheel, 1000), ['b', 'c'])
})

test('Infinity is never due and can be brought forward; what is no time is refused', () => {
  const wheel = new DeadlineWheel<Deadline>(0, 100)
  const entry = new Deadline('a')
  wheel.set(entry, Infinity)
  assert.equal(told(wheel, 2 ** 45), [])
  assert.is(wheel.size, 1)
  wheel.set(entry, 2 ** 45 + 5000)
  assert.equal(told(wheel, 2 ** 45 + 5100), ['a'])
  assert.throws(() => wheel.set(entry, Number.NaN), /time/)
  assert.throws(() => new DeadlineWheel(0, 0), /resolution/)
})

test('who sleeps until `next` says so is late by no more than the resolution', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 50 }),
      fc.constantFrom(1, 50, 100),
      (times, resolution) => {
        const wheel = new DeadlineWheel<Deadline>(0, resolution)
        for (const at of times) wheel.set(new Deadline(), at)
        let wakings = 0
        let now = 0
        for (let next = wheel.next(now); next !== undefined; next = wheel.next(now)) {
          now = next
          wheel.advance(now, (entry) => {
            assert.ok(entry.dueAt <= now)
            assert.ok(now - entry.dueAt < resolution || entry.dueAt === 0)
            return undefined
          })
          wakings++
        }
        assert.is(wheel.size, 0)
        assert.ok(wakings <= times.length * 6)
      },
    ),
  )
})

test('any sequence of setting, cancelling and advancing agrees with a list', () => {
  const delay = fc.oneof(
    fc.integer({ min: -50, max: 300 }),
    fc.integer({ min: 0, max: 200_000 }),
    fc.integer({ min: 0, max: 2 ** 40 }),
  )
  const action = fc.record({
    kind: fc.constantFrom('set', 'set', 'set', 'cancel', 'advance'),
    which: fc.nat({ max: 19 }),
    delay,
  })
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 200, size: 'max' }),
      fc.constantFrom(1, 10, 100),
      fc.integer({ min: 0, max: 2 ** 34 }),
      fc.constantFrom(1, 3, Infinity),
      (actions, resolution, start, limit) => {
        let now = start
        const wheel = new DeadlineWheel<Deadline>(now, resolution)
        const entries = Array.from({ length: 20 }, (_, index) => new Deadline(String(index)))
        const model = new Map<Deadline, number>()
        const latest = new Map<Deadline, number>()
        entries[7].again = true
        for (const { kind, which, delay } of actions) {
          const entry = entries[which]
          if (kind === 'set') {
            wheel.set(entry, now + delay)
            model.set(entry, now + delay)
            latest.set(entry, now + Math.max(delay, 0) + resolution)
          } else if (kind === 'cancel') {
            wheel.cancel(entry)
            model.delete(entry)
          } else {
            now += Math.max(delay, 0)
            while (advance(wheel, model, now, limit) === limit);
            for (const [entry, at] of model) assert.ok(at + resolution > now || latest.get(entry)! > now, 'told late')
          }
          assert.is(wheel.size, model.size)
        }
        entries[7].again = false
        now = Math.max(now, ...model.values()) + 2 * resolution
        while (advance(wheel, model, now, limit) === limit);
        assert.is(model.size, 0)
        assert.is(wheel.next(now), undefined)
      },
    ),
    { numRuns: 300 },
  )
})

/** Advances; an entry marked so asks to be told again. */
function advance(wheel: DeadlineWheel<Deadline>, model: Map<Deadline, number>, now: number, limit: number): number {
  return wheel.advance(
    now,
    (entry) => {
      const at = model.get(entry)
      assert.ok(at !== undefined && at <= now, 'told early, or after it was cancelled')
      model.delete(entry)
      if (!entry.again) return undefined
      model.set(entry, now + 12_345)
      return now + 12_345
    },
    limit,
  )
}

test.run()
