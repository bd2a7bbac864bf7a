// Random histories for property tests: batches of records as a broker might write them. Messages are numbered in ascending
// order and stored in the batch that first refers to them; all else is as wild as the record types allow.

import fc from 'fast-check'
import type { JournalRecord } from '../../src/store/durable-store.ts'

const clientId = fc.constantFrom('a', 'b', 'client-ключ')
const topic = fc.constantFrom('t', 't/1', 'дом/x')
const packetId = fc.integer({ min: 1, max: 4 })
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const)
const grantedQos = fc.constantFrom(1 as const, 2 as const)
const bytes = fc.uint8Array({ maxLength: 200 })
const time = fc.integer({ min: 0, max: 2 ** 45 })
const interval = fc.oneof(fc.nat(), fc.constant(Infinity))
const identifiers = fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 })

/** A step of a history; `age` says which of the messages stored so far it is about: 0 stores a new one. */
type Step = { record: JournalRecord } | { age: number; refer: (message: number) => JournalRecord; body: Body }

interface Body {
  payload: Uint8Array
  properties: Uint8Array
  at: number
  expiresAt: number
  topicName: string
  qos: 0 | 1 | 2
}

const body: fc.Arbitrary<Body> = fc.record({
  payload: bytes,
  properties: bytes,
  at: time,
  expiresAt: interval,
  topicName: topic,
  qos,
})

const plain: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.record({
    type: fc.constant('session-opened' as const),
    clientId,
    protocolVersion: fc.constantFrom(3 as const, 4 as const, 5 as const),
    expiryInterval: interval,
  }),
  fc.record({ type: fc.constant('session-left' as const), clientId, at: time, expiryInterval: interval }),
  fc.record({ type: fc.constant('session-removed' as const), clientId }),
  fc.record({
    type: fc.constant('subscription-set' as const),
    clientId,
    topicFilter: topic,
    qos,
    noLocal: fc.boolean(),
    retainAsPublished: fc.boolean(),
    retainHandling: qos,
    subscriptionIdentifier: fc.nat({ max: 268_435_455 }),
  }),
  fc.record({ type: fc.constant('subscription-removed' as const), clientId, topicFilter: topic }),
  fc.record({ type: fc.constant('message-received' as const), clientId, packetId }),
  fc.record({ type: fc.constant('message-acknowledged' as const), clientId, packetId }),
  fc.record({ type: fc.constant('inbound-added' as const), clientId, packetId }),
  fc.record({ type: fc.constant('inbound-released' as const), clientId, packetId }),
  fc.record({ type: fc.constant('retained-removed' as const), topicName: topic }),
  fc.record({
    type: fc.constant('will-set' as const),
    clientId,
    topicName: topic,
    payload: bytes,
    qos,
    retain: fc.boolean(),
    delayInterval: fc.nat(),
    expiryInterval: interval,
    properties: bytes,
    username: fc.option(fc.string({ maxLength: 5 }), { nil: undefined }),
    at: fc.option(time, { nil: undefined }),
  }),
  fc.record({ type: fc.constant('will-removed' as const), clientId }),
)

const delivery = fc.record({ clientId, qos: grantedQos, retain: fc.boolean(), subscriptionIdentifiers: identifiers })

const group = fc.option(fc.constantFrom('\0$share/g/t', '\0$share/h/t'), { nil: undefined })

const referring: fc.Arbitrary<(message: number) => JournalRecord> = fc.oneof(
  delivery.map(
    (to) =>
      (message: number): JournalRecord => ({ type: 'message-queued', message, ...to }),
  ),
  fc.tuple(delivery, packetId, group).map(
    ([to, id, from]) =>
      (message: number): JournalRecord => ({ type: 'message-sent', message, packetId: id, ...to, group: from }),
  ),
  clientId.map(
    (id) =>
      (message: number): JournalRecord => ({ type: 'message-dropped', message, clientId: id }),
  ),
  topic.map(
    (topicName) =>
      (message: number): JournalRecord => ({ type: 'retained-set', topicName, message }),
  ),
)

const step: fc.Arbitrary<Step> = fc.oneof(
  plain.map((record) => ({ record: { ...record } })), // fast-check's objects have no prototype, and that is compared
  fc.record({ age: fc.nat({ max: 6 }), refer: referring, body }),
)

/** Up to 60 batches. A message that nothing refers to any more is stored again before something does. */
export function recordBatches(): fc.Arbitrary<JournalRecord[][]> {
  return fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 60 }).map((batches) => {
    let newest = 0
    return batches.map((steps) => {
      const oldest = newest
      return steps.flatMap((one): JournalRecord[] => {
        if ('record' in one) return [one.record]
        const message = newest - one.age + 1
        // Only messages of this batch are surely alive.
        if (message > oldest && message <= newest) return [one.refer(message)]
        newest++
        return [{ type: 'message-stored', message: newest, ...one.body }, one.refer(newest)]
      })
    })
  })
}
