// What time did while the broker was down: sessions, messages and wills whose time was over are not there, those whose time
// runs have the rest of it, and a clock that is older than the newest record is not believed.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Recovered, recover } from '../../../src/broker/journal/recovery.ts'
import type { JournalRecord, MessageStored } from '../../../src/store/durable-store.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig } from '../rig.ts'

/** The wall time of a rig's clock. */
const NOW = Date.UTC(2026, 0, 1)
const HOUR = 3_600_000

async function recovered(records: readonly JournalRecord[]): Promise<{ rig: Rig; store: SlowStore; told: Recovered }> {
  const store = new SlowStore({ automatic: true })
  store.remember(records)
  await store.open()
  const rig = new Rig({ store })
  return { rig, store, told: await recover(store, rig.context) }
}

function opened(clientId: string, expiryInterval: number): JournalRecord {
  return { type: 'session-opened', clientId, protocolVersion: 5, expiryInterval }
}

function left(clientId: string, at: number, expiryInterval: number): JournalRecord {
  return { type: 'session-left', clientId, at, expiryInterval }
}

function stored(message: number, expiresAt = Infinity, at = NOW - HOUR): MessageStored {
  const topicName = `t/${message}`
  const payload = Buffer.from(`m${message}`)
  return { type: 'message-stored', message, topicName, payload, qos: 1, at, expiresAt, properties: new Uint8Array(0) }
}

function queued(clientId: string, message: number): JournalRecord {
  return { type: 'message-queued', clientId, message, qos: 1, retain: false, subscriptionIdentifiers: [] }
}

function will(clientId: string, delayInterval: number, at: number | undefined): JournalRecord {
  const payload = Buffer.from('gone')
  const rest = {
    qos: 0,
    retain: false,
    expiryInterval: Infinity,
    properties: new Uint8Array(0),
    username: `user-${clientId}`,
  } as const
  return { type: 'will-set', clientId, topicName: 'w', payload, delayInterval, at, ...rest }
}

test('a session whose time was over while the broker was down is gone, another has the rest of its time', async () => {
  const { rig, store, told } = await recovered([
    opened('over', 3600),
    opened('runs', 3600),
    left('over', NOW - HOUR, 3600),
    left('runs', NOW - HOUR + 10_000, 3600),
  ])
  assert.equal(
    [...rig.context.sessions].map(({ clientId }) => clientId),
    ['runs'],
  )
  assert.is(told.expired, 1)
  await rig.context.journal.settle()
  assert.equal(store.batches.flat(), [{ type: 'session-removed', clientId: 'over' }])
  rig.advance(9_000)
  assert.is(rig.context.sessions.size, 1)
  rig.advance(2_000)
  assert.is(rig.context.sessions.size, 0)
})

test('the time of a session whose client was connected at the crash runs from the start', async () => {
  const { rig, store } = await recovered([opened('a', 100)])
  await rig.context.journal.settle()
  assert.equal(store.batches.flat(), [left('a', NOW, 100)])
  rig.advance(99_000)
  assert.is(rig.context.sessions.size, 1)
  rig.advance(2_000)
  assert.is(rig.context.sessions.size, 0)
})

test('[MQTT-3.3.2-5] a message that expired while the broker was down is not queued again, nor retained', async () => {
  const { rig, told } = await recovered([
    opened('a', Infinity),
    stored(1, NOW - 1),
    stored(2, NOW + 5_000),
    queued('a', 1),
    queued('a', 2),
    { type: 'retained-set', topicName: 't/1', message: 1 },
    { type: 'retained-set', topicName: 't/2', message: 2 },
  ])
  const session = rig.context.sessions.get('a')!
  assert.equal(
    [...session.queue!].map(({ message }) => message.topic),
    ['t/2'],
  )
  assert.is(rig.context.retained.get('t/1'), undefined)
  assert.is(rig.context.retained.get('t/2'), session.queue!.peek()!.message, 'one message, however many need it')
  assert.is(told.expired, 2)
  assert.is(session.queue!.peek()!.message.expiresAt, rig.clock.now() + 5_000)
})

test('nothing expires while the clock is older than the newest record, and new records are not dated back', async () => {
  const later = NOW + 50 * 365 * 24 * HOUR
  const { rig, store } = await recovered([
    opened('a', 3600),
    stored(1, later + 1000, later - HOUR),
    queued('a', 1),
    left('a', later, 3600),
  ])
  const session = rig.context.sessions.get('a')!
  assert.is(session.queue?.size, 1)
  rig.advance(500)
  rig.attach(session)
  rig.context.sessions.left(session)
  await rig.context.journal.settle()
  const record = store.batches.flat().findLast(({ type }) => type === 'session-left')
  assert.is(record?.type === 'session-left' && record.at, later + 500)
})

test('message numbers go on behind the highest there was', async () => {
  const { rig, store } = await recovered([opened('a', Infinity), stored(7), queued('a', 7)])
  rig.context.sessions
    .get('a')!
    .subscribe('n', { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
  rig.publish('n', 'new', { qos: 1 })
  await rig.context.journal.settle()
  const record = store.batches.flat().find(({ type }) => type === 'message-stored')
  assert.is(record?.type === 'message-stored' && record.message, 8)
})

test('a will whose delay ran has the rest of it; one whose delay is over is sent; its client in time cancels it', async () => {
  const { rig } = await recovered([
    opened('runs', 100),
    opened('over', 100),
    opened('back', 100),
    will('runs', 60, NOW - 50_000),
    will('over', 60, NOW - 70_000),
    will('back', 60, NOW - 50_000),
    left('runs', NOW - 50_000, 100),
    left('over', NOW - 70_000, 100),
    left('back', NOW - 50_000, 100),
  ])
  rig.advance(1)
  assert.equal(
    rig.wills.map(([clientId]) => clientId),
    ['over'],
  )
  rig.context.wills.cancelDelayed('back')
  rig.advance(11_000)
  assert.equal(
    rig.wills.map(([clientId]) => clientId),
    ['over', 'runs'],
  )
})

test('the wills of those who were connected at the crash are sent unless they come back in time, clean clients’ too', async () => {
  const { rig } = await recovered([
    opened('slow', 100),
    will('clean', 0, undefined),
    will('back', 0, undefined),
    will('slow', 60, undefined),
  ])
  rig.advance(29_000)
  assert.equal(rig.wills, [])
  rig.context.wills.cancelDelayed('back')
  rig.advance(2_000)
  assert.equal(
    rig.wills.map(([clientId]) => clientId),
    ['clean'],
  )
  rig.advance(30_000)
  assert.equal(
    rig.wills.map(([clientId]) => clientId),
    ['clean', 'slow'],
  )
})

test('messages in flight come back with their identifiers and states, in order, and new identifiers go on behind them', async () => {
  const inflight = (packetId: number, message: number, qos: 1 | 2): JournalRecord => {
    return {
      type: 'message-sent',
      clientId: 'a',
      message,
      packetId,
      qos,
      retain: false,
      subscriptionIdentifiers: [],
      group: undefined,
    }
  }
  const { rig } = await recovered([
    opened('a', Infinity),
    stored(1),
    stored(2),
    stored(3),
    inflight(65535, 1, 2),
    inflight(1, 2, 1),
    inflight(2, 3, 2),
    { type: 'message-received', clientId: 'a', packetId: 65535 },
    { type: 'inbound-added', clientId: 'a', packetId: 9 },
  ])
  const session = rig.context.sessions.get('a')!
  rig.attach(session)
  const { written, sent } = rig.reactor.take()
  assert.equal(
    sent.map(({ bytes }) => bytes),
    [[0x62, 2, 255, 255]],
  )
  assert.equal(
    written.map(({ first, packetId, payload }) => [first, packetId, payload]),
    [
      [0x3a, 1, 'm2'],
      [0x3c, 2, 'm3'],
    ],
  )
  assert.ok(session.inbound!.has(9))
  assert.is(rig.reactor.frames.size, 2)
})

const share = (clientId: string): JournalRecord => {
  const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
  return { type: 'subscription-set', clientId, topicFilter: '$share/g/t/+', ...options, subscriptionIdentifier: 0 }
}
const GROUP = '\0$share/g/t/+'
const fromGroup = (clientId: string, message: number, packetId: number, qos: 1 | 2 = 1): JournalRecord => {
  const rest = { retain: false, subscriptionIdentifiers: [], group: GROUP }
  return { type: 'message-sent', clientId, message, packetId, qos, ...rest }
}

test('[MQTT-4.8.2-4] QoS 1 messages of a shared group in flight at the crash go back to the group, before what waited, in order', async () => {
  const { rig, store } = await recovered([
    opened('a', Infinity),
    opened('b', Infinity),
    opened(GROUP, Infinity),
    share('a'),
    share('b'),
    ...[1, 2, 3, 4, 5].map((number) => stored(number)),
    fromGroup('a', 1, 1),
    fromGroup('b', 2, 1),
    fromGroup('a', 3, 2),
    fromGroup('a', 4, 3, 2),
    queued(GROUP, 5),
  ])
  const { sessions, journal, router } = rig.context
  assert.is(router.sharedGroup('$share/g/t/+')!.backlog, 4)
  // Not only in memory: a second crash finds them with the group, too.
  await journal.settle()
  const again = await recovered([...store.stored])
  assert.is(again.rig.context.router.sharedGroup('$share/g/t/+')!.backlog, 4)
  rig.attach(sessions.get('b')!)
  rig.reactor.take()
  const b = sessions.get('b')!
  b.pump()
  rig.reactor.take()
  assert.equal(
    [...b.inflight!.unacknowledged()].map(({ message }) => message!.message.topic),
    ['t/1', 't/2', 't/3', 't/5'],
  )
  assert.equal(
    [...sessions.get('a')!.inflight!.unacknowledged()].map(({ packetId, qos }) => [packetId, qos]),
    [[3, 2]],
    'QoS 2 stays with the session [MQTT-4.8.2-5]',
  )
})

test('a message in flight whose shared group nobody is in any more stays with its session', async () => {
  const { rig } = await recovered([opened('a', Infinity), stored(1), fromGroup('a', 1, 9)])
  rig.attach(rig.context.sessions.get('a')!)
  assert.equal(
    rig.reactor.take().written.map(({ first, packetId }) => [first, packetId]),
    [[0x3a, 9]],
  )
})

test('the user name of a will’s client is there again: an authorizer is asked about it', async () => {
  const { rig } = await recovered([opened('a', 100), will('a', 60, NOW - 70_000), left('a', NOW - 70_000, 100)])
  rig.advance(1)
  assert.is(rig.wills[0]?.[1].client.username, 'user-a')
})

test.run()
