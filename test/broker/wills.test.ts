// When a will is sent, when it is not, and what the store hears of it.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Will } from '../../src/broker/wills.ts'
import { SlowStore } from '../support/slow-store.ts'
import { connectPacket, DISCONNECT } from './raw-client.ts'
import { Rig } from './rig.ts'

const settled = () => new Promise((resolve) => setImmediate(resolve))

function will(changes: Partial<Will> = {}): Will {
  return {
    client: { clientId: 'a', username: undefined, remoteAddress: '127.0.0.1:1', protocolVersion: 5 },
    topic: 'w',
    payload: Buffer.from('gone'),
    qos: 0,
    retain: false,
    properties: new Uint8Array(0),
    delay: 0,
    expiry: Number.POSITIVE_INFINITY,
    ...changes,
  }
}

test('[MQTT-3.1.2-8] a will without delay is sent at once', () => {
  const rig = new Rig()
  rig.context.wills.connectionLost('a', will(), 100)
  assert.equal(
    rig.wills.map(([clientId, { topic }]) => [clientId, topic]),
    [['a', 'w']],
  )
  assert.is(rig.context.wills.delayedCount, 0)
})

test('[MQTT-3.1.3-9] a delayed will is sent when its delay is over or the session ends, whichever is first, and once', () => {
  for (const [delay, expiry, due] of [
    [10, 100, 10],
    [100, 10, 10],
    [10, 10, 10],
    [10, 0, 0],
    [10, Number.POSITIVE_INFINITY, 10],
  ] as const) {
    const rig = new Rig()
    const session = rig.connected('a', { expiry })
    rig.context.wills.connectionLost('a', will({ delay }), expiry)
    rig.context.sessions.left(session)
    if (due > 0) {
      rig.advance(due * 1000 - 1)
      assert.is(rig.wills.length, 0, `delay ${delay}, expiry ${expiry}`)
    }
    rig.advance(2)
    assert.is(rig.wills.length, 1, `delay ${delay}, expiry ${expiry}`)
    rig.advance(1e9)
    assert.is(rig.wills.length, 1)
    assert.is(rig.context.wills.delayedCount, 0)
    assert.is(rig.deadlines, 0)
  }
})

test('[MQTT-3.1.3-9] a client that is back before the delay is over takes its will back', () => {
  const rig = new Rig()
  rig.context.wills.connectionLost('a', will({ delay: 10 }), 100)
  rig.advance(9_000)
  rig.context.wills.cancelDelayed('a')
  rig.advance(1e9)
  assert.is(rig.wills.length, 0)
  assert.is(rig.deadlines, 0)
})

test('a session that is removed to make room sends its delayed will', () => {
  const rig = new Rig({ settings: { maxSessions: 1 } })
  const session = rig.connected('a', { expiry: 100 })
  rig.context.wills.connectionLost('a', will({ delay: 50 }), 100)
  rig.context.sessions.left(session)
  rig.connected('b')
  assert.is(rig.wills.length, 1)
})

const ends: [name: string, end: (rig: Rig, client: ReturnType<Rig['client']>) => void, sent: number][] = [
  ['DISCONNECT', (rig, client) => rig.packets(client, DISCONNECT), 0],
  ['DISCONNECT with Will Message', (rig, client) => rig.packets(client, Buffer.from([0xe0, 1, 4])), 1],
  ['a FIN', (_, client) => client.handleEnded(), 1],
  ['a reset', (_, client) => client.handleClosed(2, 104), 1],
  ['a packet that is not MQTT', (rig, client) => rig.packets(client, Buffer.from([0xf1, 0])), 1],
  ['a packet that is too large', (_, client) => client.handleOversized(0x30, 1e9), 1],
  ['a takeover', (rig) => rig.packets(rig.client(), connectPacket({ clientId: 'a', version: 5 })), 1],
]

for (const [name, end, sent] of ends) {
  test(`[MQTT-3.1.2-10] ${name} ${sent === 0 ? 'deletes the will' : 'sends the will, once'}`, () => {
    const rig = new Rig()
    const client = rig.client()
    const last = { topic: 'w', payload: Buffer.from('gone'), qos: 1 as const, retain: true }
    rig.packets(client, connectPacket({ clientId: 'a', version: 5, will: last }))
    end(rig, client)
    client.connection.closed = true
    client.handleClosed(0, 0)
    assert.is(rig.wills.length, sent)
    if (sent > 0) {
      const [, { topic, payload, qos, retain }] = rig.wills[0]!
      assert.equal([topic, Buffer.from(payload).toString(), qos, retain], ['w', 'gone', 1, true])
    }
  })
}

test('the store hears of a will with CONNECT, of its delay, and when it is over', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store })
  const { wills } = rig.context
  wills.record('a', will({ delay: 10 }))
  await settled()
  wills.connectionLost('a', will({ delay: 10 }), 100)
  await settled()
  rig.advance(10_001)
  wills.discard('b')
  await settled()
  assert.equal(
    store.records.map((record) => [record.type, record.type === 'will-set' ? record.at !== undefined : undefined]),
    [
      ['will-set', false],
      ['will-set', true],
      ['will-removed', undefined],
      ['will-removed', undefined],
    ],
  )
})

test('a will an authorizer is still asked about is recorded until it has answered, or another one has taken its place', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store })
  const answers: (() => void)[] = []
  rig.publishWill = (done) => answers.push(done)
  const { wills } = rig.context
  const recorded = () => store.records.map(({ type }) => type)
  wills.record('a', will())
  wills.connectionLost('a', will(), 100)
  await settled()
  assert.equal(recorded(), ['will-set'], 'after a crash it is due')
  answers[0]!()
  await settled()
  assert.equal(recorded(), ['will-set', 'will-removed'])

  wills.record('a', will())
  wills.connectionLost('a', will(), 100)
  wills.record('a', will({ topic: 'next' }))
  answers[1]!()
  await settled()
  assert.is(store.records.at(-1)?.type, 'will-set', 'the record of the next connection stays')
})

test.run()
