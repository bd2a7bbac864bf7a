// The queue of a session that is replayed, against a list that is searched from its beginning.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type RecoveredDelivery, RecoveredQueue } from '../../../src/broker/journal/recovered-queue.ts'

const entry = (message: number): RecoveredDelivery => ({ message, qos: 1, retain: false, subscriptionIdentifiers: [] })

/** Ascending numbers, or any; each taken out somewhere, once more than it is there. */
const numbers = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 60 }),
  fc.uniqueArray(fc.integer({ min: 1, max: 10_000 }), { maxLength: 60 }).map((all) => all.sort((a, b) => a - b)),
)

test('whatever comes and goes, in order or not, twice or not at all, it is what a list would be', () => {
  fc.assert(
    fc.property(numbers, fc.array(fc.nat({ max: 70 })), (pushed, taken) => {
      const queue = new RecoveredQueue()
      const list: number[] = []
      const steps = [...pushed.entries()]
      for (const place of taken) {
        for (const [, message] of steps.splice(0, 1 + (place % 4))) {
          queue.push(entry(message), 10)
          list.push(message)
        }
        const wanted = pushed[place % Math.max(1, pushed.length)] ?? 1
        const at = list.indexOf(wanted)
        assert.is(queue.take(wanted, 10)?.message, at < 0 ? undefined : wanted)
        if (at >= 0) list.splice(at, 1)
        assert.equal(
          [...queue].map(({ message }) => message),
          list,
        )
        assert.is(queue.size, list.length)
        assert.is(queue.bytes, 10 * list.length)
      }
    }),
    { numRuns: 500 },
  )
})

test('fifty thousand that leave from the middle cost no more than those that leave from the front', () => {
  const queue = new RecoveredQueue()
  for (let message = 1; message <= 100_000; message++) queue.push(entry(message), 1)
  // Searched from the beginning this would be thousands of millions of looks.
  for (let message = 1; message <= 100_000; message += 2)
    assert.is(queue.take(100_001 - message, 1)?.message, 100_001 - message)
  assert.is(queue.size, 50_000)
  assert.is(queue.take(5_000_000, 1), undefined)
})

test.run()
