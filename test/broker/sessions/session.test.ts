// What a session does with one message or one acknowledgement, by name. Sequences of them: session-model.test.ts.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RetainedReplay } from '../../../src/broker/retained/retained-replay.ts'
import { Topic } from '../../../src/broker/routing/topic.ts'
import type { Session } from '../../../src/broker/sessions/session.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import { Rig, type SessionOptions } from '../rig.ts'

const DUP = 8

function subscribed(rig: Rig, options: SessionOptions = {}, qos: QoS = 2): Session {
  const session = rig.connected('c', { expiry: 100, ...options })
  session.subscribe('t', { qos, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
  return session
}

function publishMany(rig: Rig, count: number, qos: QoS, size = 1): void {
  for (let n = 0; n < count; n++) rig.publish('t', `${n}`.padEnd(size, ' '), { qos })
}

function payloads(rig: Rig): string[] {
  return rig.reactor.take().written.map(({ payload }) => payload.trim())
}

/** Node's loop once: commands are carried out before it sleeps. */
async function loopOnce(rig: Rig): Promise<void> {
  rig.reactor.outbox.execute()
  await new Promise((resolve) => setImmediate(resolve))
}

test('a session that ends with its connection keeps nothing in flight', () => {
  const rig = new Rig()
  const session = subscribed(rig, { expiry: 0 })
  publishMany(rig, 5, 1)
  assert.is(session.inflight?.count, 5)
  assert.is(rig.reactor.kept.held, 0)
  rig.context.sessions.remove(session)
})

test('what waits goes on by itself when the output it was held back for has left already', async () => {
  // The column stays 0, as if every byte were flushed on the way: such a connection is never told `drained`.
  const rig = new Rig({ settings: { queueQos0Messages: true, outputHighWater: 256 } })
  const session = subscribed(rig, {})
  session.detach()
  publishMany(rig, 50, 0, 100)
  rig.attach(session)
  const got = payloads(rig)
  assert.ok(got.length < 10, 'one go is bounded')
  for (let n = 0; n < 50; n++) await loopOnce(rig)
  got.push(...payloads(rig))
  assert.equal(
    got,
    Array.from({ length: 50 }, (_, n) => `${n}`),
  )
  assert.is(rig.reactor.kept.held, 0)
})

test('what waits for a full socket is not sent before it drains', async () => {
  const rig = new Rig({ settings: { queueQos0Messages: true, outputHighWater: 256 } })
  rig.reactor.countsOutput = true
  const session = subscribed(rig, {})
  session.detach()
  publishMany(rig, 50, 0, 100)
  const connection = rig.attach(session)
  for (let n = 0; n < 50; n++) await loopOnce(rig)
  assert.is(payloads(rig).length, 3)
  rig.reactor.memory.queued[connection.slot] = 0
  session.pump()
  assert.is(payloads(rig).length, 3)
})

test('retained messages follow in the same way, all of them', async () => {
  const rig = new Rig({ settings: { outputHighWater: 256 } })
  for (let n = 0; n < 50; n++) {
    rig.reactor.turn(() => {
      const publication = rig.inbox(`r/${n}`, 'x'.repeat(100), { retain: true })
      rig.context.retained.apply(publication)
      publication.drop()
    })
  }
  const session = rig.connected('c')
  session.startReplay(new RetainedReplay(rig.context.retained, rig.clock, 'r/#', 0, undefined))
  for (let n = 0; n < 100; n++) await loopOnce(rig)
  const { written } = rig.reactor.take()
  assert.is(new Set(written.map(({ topic }) => topic)).size, 50)
  assert.is(written.length, 50)
  assert.ok(written.every(({ first }) => first === 0x31))
  assert.is(rig.reactor.kept.held, 50)
})

test('[MQTT-3.10.4-2] UNSUBSCRIBE ends the walk over the retained messages of its filter, and of no other', async () => {
  const rig = new Rig({ settings: { outputHighWater: 256 } })
  for (const topic of ['a', 'b']) {
    for (let n = 0; n < 20; n++) {
      rig.reactor.turn(() => {
        const publication = rig.inbox(`${topic}/${n}`, 'x'.repeat(100), { retain: true })
        rig.context.retained.apply(publication)
        publication.drop()
      })
    }
  }
  const session = rig.connected('c')
  for (const filter of ['a/#', 'b/#']) {
    session.subscribe(filter, { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
    session.startReplay(new RetainedReplay(rig.context.retained, rig.clock, filter, 0, undefined))
  }
  const before = rig.reactor.take().written.length
  assert.ok(before > 0 && before < 20, `${before} at once`)
  assert.ok(session.unsubscribe('a/#'))
  for (let n = 0; n < 100; n++) await loopOnce(rig)
  const topics = rig.reactor.take().written.map(({ topic }) => topic)
  assert.is(topics.length, 20)
  assert.ok(topics.every((topic) => topic.startsWith('b/')))
})

test('an early PUBREC for a message still to be resent leaves a PUBREL to send, not a frame that is gone', () => {
  const rig = new Rig()
  const session = subscribed(rig)
  publishMany(rig, 3, 2)
  session.detach()
  rig.attach(session, 1)
  assert.ok(session.received(2, 0))
  rig.reactor.take()
  assert.ok(session.received(1, 0))
  assert.ok(session.completed(1))
  const { written, sent } = rig.reactor.take()
  assert.is(written.length, 0)
  assert.equal(sent, [{ slot: session.connection!.slot, bytes: [0x62, 2, 0, 2] }])
})

test('an acknowledgement for what was not resent yet does not widen the window [MQTT-3.3.4-9]', () => {
  const rig = new Rig()
  const session = subscribed(rig)
  publishMany(rig, 3, 1)
  session.detach()
  rig.reactor.take()
  rig.attach(session, 1)
  assert.equal(payloads(rig), ['0'])
  assert.ok(session.acknowledged(3))
  assert.equal(payloads(rig), [])
  assert.ok(session.acknowledged(1))
  assert.equal(payloads(rig), ['1'])
})

test('[MQTT-3.1.2-25] a message larger than the client takes is discarded when sent, when it waited, and when resent', () => {
  const rig = new Rig()
  const session = subscribed(rig, { version: 5 })
  session.maximumPacketSize = 100
  rig.publish('t', 'x'.repeat(200), { qos: 1 })
  assert.is(session.inflight?.count ?? 0, 0)
  session.detach()
  rig.publish('t', 'y'.repeat(200), { qos: 1 })
  rig.publish('t', 'small', { qos: 1 })
  rig.attach(session)
  assert.equal(payloads(rig), ['small'])
  assert.is(rig.counters.droppedTooLarge, 2)
  session.maximumPacketSize = 0xffffffff
  rig.publish('t', 'z'.repeat(200), { qos: 1 })
  rig.publish('t', 'z'.repeat(200), { qos: 2 })
  session.detach()
  rig.reactor.take()
  session.maximumPacketSize = 100
  rig.attach(session, 2)
  assert.equal(payloads(rig), ['small'])
  assert.is(rig.counters.droppedTooLarge, 4)
  assert.is(session.inflight?.count, 1)
  assert.is(rig.reactor.kept.held, 1)
  assert.ok(session.hasFreeWindow)
})

test('[MQTT-3.1.2-24] a message of exactly the Maximum Packet Size is sent, with a Topic Alias or without', () => {
  const topic = new Topic('t', undefined, true)
  for (const topicAliasMaximum of [0, 5]) {
    const rig = new Rig()
    const session = subscribed(rig, { version: 5 })
    session.topicAliasMaximum = topicAliasMaximum
    session.maximumPacketSize = 108 // 2 header, 3 topic, 2 identifier, 1 property length, 100 payload
    for (const qos of [0, 1] as const) rig.publish('t', 'x'.repeat(100), { qos, topic })
    assert.is(payloads(rig).length, 2, `alias maximum ${topicAliasMaximum}`)
    assert.is(rig.counters.droppedTooLarge, 0)
  }
})

test('[MQTT-3.3.2-12] a Topic Alias is set once a connection, then stands for the topic, and ends with the connection', () => {
  const rig = new Rig()
  const topic = new Topic('t', undefined, true)
  const session = subscribed(rig, { version: 5 })
  session.detach()
  session.topicAliasMaximum = 1 // as its CONNECT says, before it is attached
  rig.attach(session)
  const aliases = () => rig.reactor.take().written.map(({ withoutTopic, middle }) => [withoutTopic, middle.length])
  for (let n = 0; n < 3; n++) rig.publish('t', 'x', { topic })
  assert.equal(aliases(), [
    [false, 4],
    [true, 4],
    [true, 4],
  ])
  session.detach()
  rig.attach(session)
  rig.publish('t', 'x', { topic })
  assert.equal(aliases(), [[false, 4]])
})

test('[MQTT-3.3.2-5] a message that expired while it waited is dropped and counted', () => {
  const rig = new Rig()
  const session = subscribed(rig, { version: 5 })
  session.detach()
  rig.publish('t', 'short', { qos: 1, expiry: 10 })
  rig.publish('t', 'long', { qos: 1, expiry: 20 })
  rig.advance(10_000)
  rig.attach(session)
  const { written } = rig.reactor.take()
  assert.equal(
    written.map(({ payload, middle }) => [payload, middle]),
    [['long', [5, 2, 0, 0, 0, 10]]],
  )
  assert.is(rig.counters.droppedExpired, 1)
  assert.is(rig.reactor.kept.held, 1)
})

test('QoS 0 for an absent client is kept only where the configuration says so', () => {
  for (const queueQos0Messages of [false, true]) {
    const rig = new Rig({ settings: { queueQos0Messages } })
    const session = subscribed(rig)
    session.detach()
    publishMany(rig, 2, 0)
    assert.is(rig.counters.messagesQueued, queueQos0Messages ? 2 : 0)
    rig.attach(session)
    assert.is(payloads(rig).length, queueQos0Messages ? 2 : 0)
    assert.is(rig.reactor.kept.held, 0)
  }
})

test('a queue is bounded in bytes too, the newest is dropped, and what fits later is taken again', () => {
  const rig = new Rig({ settings: { maxQueuedBytes: 250 } })
  const session = subscribed(rig)
  session.detach()
  for (const size of [100, 100, 100, 10]) rig.publish('t', 'x'.repeat(size), { qos: 1 })
  assert.is(rig.counters.droppedQueueFull, 1)
  assert.is(rig.counters.messagesQueued, 3)
  assert.is(rig.counters.bytesQueued, 210 + 3 * 3)
  assert.is(rig.log.at('warn').length, 1)
  rig.attach(session)
  assert.is(rig.counters.bytesQueued, 0)
  assert.is(rig.reactor.take().written.length, 3)
})

test('a message that cannot fit an empty queue does not stand in the way of those behind it', () => {
  const rig = new Rig({ settings: { maxQueuedBytes: 1024, maxInflightMessages: 1 } })
  const session = subscribed(rig)
  rig.publish('t', 'first', { qos: 1 })
  rig.publish('t', 'x'.repeat(2000), { qos: 1 })
  assert.ok(session.acknowledged(1))
  rig.publish('t', 'second', { qos: 1 })
  assert.equal(payloads(rig), ['first', 'second'])
})

test('retry sends again with DUP what is unacknowledged for so long, the oldest first, PUBREL where the message was received', () => {
  const rig = new Rig({ settings: { retryInterval: 1000 } })
  const session = subscribed(rig, { expiry: 0 })
  publishMany(rig, 3, 2)
  rig.advance(1000)
  rig.publish('t', 'late', { qos: 1 })
  session.received(2, 0)
  rig.reactor.take()
  session.retry(rig.clock.now() - 1000, 100)
  const { written, sent } = rig.reactor.take()
  assert.equal(
    written.map(({ packetId, first }) => [packetId, first & DUP]),
    [
      [1, DUP],
      [3, DUP],
    ],
  )
  assert.equal(
    sent.map(({ bytes }) => bytes[3]),
    [2],
  )
  session.retry(rig.clock.now() - 1000, 100)
  assert.is(rig.reactor.take().written.length, 0)
  rig.context.sessions.remove(session)
  rig.reactor.take()
  assert.is(rig.reactor.frames.size, 0)
})

test('retry leaves alone what a resumed session has just sent again, and what it still has to', () => {
  const rig = new Rig({ settings: { retryInterval: 1000 } })
  const session = subscribed(rig)
  publishMany(rig, 3, 1)
  session.detach()
  rig.advance(5000)
  rig.attach(session, 1)
  rig.reactor.take()
  session.retry(rig.clock.now() - 1000, 100)
  assert.equal(payloads(rig), [])
})

test('[MQTT-4.4.0-1] retry never touches MQTT 5', () => {
  const rig = new Rig({ settings: { retryInterval: 1000 } })
  const session = subscribed(rig, { version: 5 })
  publishMany(rig, 3, 1)
  rig.advance(5000)
  rig.reactor.take()
  session.retry(rig.clock.now(), 100)
  assert.equal(payloads(rig), [])
})

test('a persistent session is resumed by another version, in its form', () => {
  const rig = new Rig()
  const session = subscribed(rig, { version: 5 })
  rig.publish('t', 'one', { qos: 1, expiry: 100 })
  session.detach()
  session.version = 4
  rig.reactor.take()
  rig.attach(session)
  const { written } = rig.reactor.take()
  assert.equal(
    written.map(({ payload, middle, first, packetId }) => [payload, middle, first, packetId]),
    [['one', [], 0x32 | DUP, 1]],
  )
})

test('max_subscriptions_per_client counts filters, and lets a known one be replaced', () => {
  const rig = new Rig({ settings: { maxSubscriptionsPerClient: 2 } })
  const session = subscribed(rig)
  assert.ok(session.hasRoomFor('u'))
  session.subscribe('u', { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
  assert.not(session.hasRoomFor('v'))
  assert.ok(session.hasRoomFor('u'))
  assert.ok(session.unsubscribe('u'))
  assert.not(session.unsubscribe('u'))
  assert.ok(session.hasRoomFor('v'))
})

test.run()
