// Timed resending for 3.x clients, without a clock.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OutboundInflight } from '../../src/qos/outbound-inflight.ts'
import { resendDue } from '../../src/qos/retry.ts'

function due(
  inflight: OutboundInflight<string>,
  now: number,
  limit = 100,
): { ids: number[]; next: number | undefined } {
  const ids: number[] = []
  const next = resendDue(inflight, now, 1000, limit, (id) => ids.push(id))
  return { ids, next }
}

test('nothing in flight: nothing is due, ever', () => {
  assert.equal(due(new OutboundInflight(), 5000), { ids: [], next: undefined })
})

test('what was sent less than an interval ago is not due, and the answer says when it will be', () => {
  const inflight = new OutboundInflight<string>()
  inflight.take(1, 'a', 100)
  inflight.take(1, 'b', 200)
  assert.equal(due(inflight, 1099), { ids: [], next: 1100 })
  assert.equal(due(inflight, 1100), { ids: [1], next: 1200 })
  assert.equal(due(inflight, 1200), { ids: [2], next: 2100 })
})

test('[MQTT-4.6.0-1] what is due is told in the original order, released ones too', () => {
  const inflight = new OutboundInflight<string>()
  for (const message of ['a', 'b', 'c', 'd']) inflight.take(2, message, 0)
  inflight.pubrec(2)
  inflight.pubrec(3)
  inflight.pubcomp(3)
  assert.equal(due(inflight, 1000), { ids: [1, 2, 4], next: 2000 })
  assert.equal(due(inflight, 1001).ids, [])
  assert.equal(due(inflight, 2000).ids, [1, 2, 4])
})

test('a call tells no more than its limit, and the next one goes on where it stopped', () => {
  const inflight = new OutboundInflight<string>()
  for (let turn = 0; turn < 5; turn++) inflight.take(1, 'message', 0)
  assert.equal(due(inflight, 1000, 2), { ids: [1, 2], next: 1000 })
  assert.equal(due(inflight, 1000, 2), { ids: [3, 4], next: 1000 })
  assert.equal(due(inflight, 1000, 2), { ids: [5], next: 2000 })
})

test('what was sent before the restart has no sending time and is due at once', () => {
  const inflight = new OutboundInflight<string>()
  inflight.restore(9, 1, 'published', 'message')
  assert.equal(due(inflight, 5), { ids: [9], next: 1005 })
})

test.run()
