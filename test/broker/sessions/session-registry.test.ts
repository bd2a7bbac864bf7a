// Which session a CONNECT finds, when an absent one ends, and which one makes room.

import { generate } from 'mqtt-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SlowStore } from '../../support/slow-store.ts'
import { connectPacket, subscribePacket } from '../raw-client.ts'
import { Rig } from '../rig.ts'

const PLAIN = { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('[MQTT-3.1.2-23] an absent session is kept until its expiry, and not a moment longer', () => {
  const rig = new Rig()
  const expired: string[] = []
  rig.events.on('sessionExpired', (clientId) => expired.push(clientId))
  const session = rig.connected('a', { expiry: 60 })
  session.subscribe('t', PLAIN, 0)
  rig.context.sessions.left(session)
  rig.publish('t', 'x', { qos: 1 })
  rig.advance(59_999)
  assert.is(rig.context.sessions.get('a'), session)
  rig.advance(2)
  assert.is(rig.context.sessions.get('a'), undefined)
  assert.equal(expired, ['a'])
  assert.is(rig.counters.sessionsExpired, 1)
  assert.is(rig.counters.droppedSessionEnded, 1)
  rig.reactor.take()
  assert.is(rig.reactor.frames.size, 0)
  assert.is(rig.deadlines, 0)
})

test('a client that comes back in time finds its session, and the expiry starts anew when it leaves again', () => {
  const rig = new Rig()
  const session = rig.connected('a', { expiry: 60 })
  rig.context.sessions.left(session)
  rig.advance(59_000)
  const again = rig.context.sessions.open('a', 5, false)
  assert.equal([again.session === session, again.present, session.version], [true, true, 5])
  assert.is(rig.context.sessions.absentCount, 0)
  rig.attach(session)
  rig.advance(3_600_000)
  assert.is(rig.context.sessions.get('a'), session)
  rig.context.sessions.left(session)
  rig.advance(59_000)
  assert.is(rig.context.sessions.size, 1)
  rig.advance(2_000)
  assert.is(rig.context.sessions.size, 0)
})

test('a session without expiry waits for ever', () => {
  const rig = new Rig()
  rig.context.sessions.left(rig.connected('a', { expiry: Number.POSITIVE_INFINITY }))
  rig.advance(1e12)
  assert.is(rig.context.sessions.size, 1)
  assert.is(rig.deadlines, 0)
})

test('[MQTT-3.1.2-4] a clean start ends the old session with all it held', () => {
  const rig = new Rig()
  const session = rig.connected('a', { expiry: 60 })
  session.subscribe('t', PLAIN, 0)
  rig.publish('t', 'x', { qos: 1 })
  rig.context.sessions.left(session)
  const fresh = rig.context.sessions.open('a', 4, true)
  assert.equal([fresh.session === session, fresh.present], [false, false])
  assert.is(rig.context.router.subscriptionCount, 0)
  rig.reactor.take()
  assert.is(rig.reactor.frames.size, 0)
  // A late word about the old one does not touch the new one.
  rig.context.sessions.remove(session)
  assert.is(rig.context.sessions.get('a'), fresh.session)
})

test('max_sessions: who has been away longest makes room, those connected never do', () => {
  const rig = new Rig({ settings: { maxSessions: 3 } })
  const { sessions } = rig.context
  const [a, b] = ['a', 'b', 'c'].map((clientId) => rig.connected(clientId, { expiry: 60 }))
  assert.not(sessions.hasRoomFor('d'))
  assert.ok(sessions.hasRoomFor('a'))
  sessions.left(b!)
  rig.advance(10)
  sessions.left(a!)
  assert.ok(sessions.hasRoomFor('d'))
  rig.connected('d')
  assert.equal([...sessions].map(({ clientId }) => clientId).sort(), ['a', 'c', 'd'])
  rig.connected('e')
  assert.equal([...sessions].map(({ clientId }) => clientId).sort(), ['c', 'd', 'e'])
  assert.not(sessions.hasRoomFor('f'))
  assert.ok(rig.log.at('warn').length > 0)
  assert.is(rig.counters.sessions, 3)
})

test('a session that returned and left again counts as away since then', () => {
  const rig = new Rig({ settings: { maxSessions: 2 } })
  const { sessions } = rig.context
  const [a, b] = ['a', 'b'].map((clientId) => rig.connected(clientId, { expiry: 60 }))
  sessions.left(a!)
  sessions.left(b!)
  sessions.open('a', 4, false)
  rig.attach(a!)
  sessions.left(a!)
  rig.connected('c')
  assert.equal([...sessions].map(({ clientId }) => clientId).sort(), ['a', 'c'])
})

test('[MQTT-3.14.2-2] the store hears that a session ended although DISCONNECT made it end with its connection', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store })
  const client = rig.client()
  rig.packets(
    client,
    connectPacket({ clientId: 'a', version: 5, expiry: 100, clean: false }),
    subscribePacket(1, 't', 0, 5),
  )
  await settled()
  const disconnect = generate(
    { cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } },
    { protocolVersion: 5 },
  )
  rig.packets(client, disconnect)
  await settled()
  assert.is(rig.context.sessions.size, 0)
  assert.is(store.records.at(-1)?.type, 'session-removed')
})

test('the store hears of a resumed session that shall end with its connection, once', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store })
  const first = rig.client()
  rig.packets(first, connectPacket({ clientId: 'a', version: 5, expiry: 100, clean: false }))
  await settled()
  first.end({ reason: 'test' })
  const second = rig.client()
  rig.packets(second, connectPacket({ clientId: 'a', version: 5, clean: false }))
  await settled()
  // It would not be there after a crash either, so the store forgets it at once.
  assert.equal(
    store.records.map(({ type }) => type),
    ['session-opened', 'session-left', 'session-removed'],
  )
  second.end({ reason: 'test' })
  await settled()
  assert.is(store.records.length, 3)
})

test('[MQTT-3.1.3-7] an identifier the broker gives is nobody’s', () => {
  const rig = new Rig()
  const ids = new Set(Array.from({ length: 100 }, () => rig.context.sessions.newClientId('auto-')))
  assert.is(ids.size, 100)
  assert.ok([...ids].every((id) => id.startsWith('auto-')))
})

test.run()
