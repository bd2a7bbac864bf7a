// What clients see of a store that is behind or fails: publishers to persistent sessions wait or are refused, everyone else
// is served, nothing acknowledged is lost, and it goes on when the store does.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Client } from '../../../src/broker/clients/client.ts'
import { publish } from '../../support/packets.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { connectPacket } from '../raw-client.ts'
import { Rig } from '../rig.ts'

const OPTIONS = { qos: 2, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const

/** Lets promises settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** A broker with an absent persistent session on `away/#` and a clean one on `here/#`. */
async function setup(limit = 1 << 20): Promise<{ rig: Rig; store: SlowStore }> {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store, settings: { maxUnstoredBytes: limit } })
  rig.session('absent', { expiry: 100 }).subscribe('away/#', OPTIONS, 0)
  rig.connected('here').subscribe('here/#', OPTIONS, 0)
  await settled()
  return { rig, store }
}

async function publisher(rig: Rig, version: 4 | 5): Promise<Client> {
  const client = rig.client()
  rig.packets(client, connectPacket({ clientId: `p${version}`, version }))
  await settled()
  rig.reactor.take()
  return client
}

function publish5(topic: string, id: number, qos: 1 | 2 = 1, retain = false): Uint8Array {
  const packet = publish({ topic, payload: '', qos, id, retain })
  const end = 2 + 2 + topic.length + 2
  const bytes = Buffer.concat([packet.subarray(0, end), Buffer.from([0]), Buffer.from('payload')])
  bytes[1] = bytes.length - 2
  return bytes
}

async function failing(rig: Rig, store: SlowStore): Promise<void> {
  store.automatic = false
  rig.context.journal.unsubscribed('absent', 'nothing')
  await settled()
  store.fail()
  await settled()
  assert.ok(rig.context.journal.isFailing)
}

const sent = (rig: Rig) => rig.reactor.take().sent.map(({ bytes }) => Buffer.from(bytes).toString('hex'))

test('while the store fails an MQTT 5 publisher hears 0x97 where a message would have to be stored, and only there', async () => {
  const { rig, store } = await setup()
  const client = await publisher(rig, 5)
  await failing(rig, store)
  rig.packets(
    client,
    publish5('away/1', 1),
    publish5('away/2', 2, 2),
    publish5('here/1', 3),
    publish5('kept', 4, 1, true),
  )
  await settled()
  await settled()
  assert.equal(sent(rig), ['4003000197', '5003000297', '40020003', '4003000497'])
  assert.is(rig.counters.publishesUnstored, 3)
  assert.is(rig.context.sessions.get('absent')?.queue, undefined)
  assert.is(rig.context.retained.get('kept'), undefined)
})

test('while the store fails an MQTT 3.1.1 publisher waits unanswered, and is answered when the store works again', async () => {
  const { rig, store } = await setup()
  const client = await publisher(rig, 4)
  await failing(rig, store)
  const first = publish({ topic: 'here/1', payload: 'x', qos: 1, id: 1 })
  rig.packets(client, first, publish({ topic: 'away/1', payload: 'x', qos: 1, id: 2 }))
  await settled()
  assert.equal(sent(rig), ['40020001'])
  rig.packets(client, publish({ topic: 'here/1', payload: 'x', qos: 1, id: 3 }))
  await settled()
  assert.equal(sent(rig), [], 'what comes behind it stays behind it')
  store.automatic = true
  rig.context.journal.retry()
  await settled()
  await settled()
  assert.equal(sent(rig), ['40020002', '40020003'])
  assert.is(rig.context.sessions.get('absent')?.queue?.size, 1)
})

test('while the store fails clean clients connect, persistent ones are refused, and no subscription is promised', async () => {
  const { rig, store } = await setup()
  const persistent = rig.connected('stays', { expiry: 100 })
  await settled()
  await failing(rig, store)
  rig.reactor.take()
  rig.packets(rig.client(), connectPacket({ clientId: 'clean' }))
  rig.packets(rig.client(), connectPacket({ clientId: 'absent', clean: false }))
  await settled()
  assert.equal(sent(rig), ['20020000', '20020003'])
  assert.ok(persistent.isStored)
})

test('publishers wait while more than the limit waits for the store, and go on when it has caught up', async () => {
  const { rig, store } = await setup(1000)
  const client = await publisher(rig, 5)
  store.automatic = false
  for (let id = 1; id <= 3; id++) rig.publish('away/1', 'x'.repeat(600), { qos: 1 })
  await settled()
  // One batch is with the store, now the next one fills.
  for (let id = 1; id <= 3; id++) rig.publish('away/1', 'x'.repeat(600), { qos: 1 })
  await settled()
  assert.ok(rig.context.journal.isBlocked)
  rig.packets(client, publish5('away/1', 1))
  await settled()
  const queued = () => rig.context.sessions.get('absent')?.queue?.size
  assert.is(queued(), 6)
  store.release()
  await settled()
  assert.is(queued(), 7)
  store.release(Infinity)
  await settled()
  store.release(Infinity)
  await settled()
  assert.equal(sent(rig), ['40020001'])
})

test('a QoS 2 message leaves when its packet identifier is stored, a QoS 1 message at once', async () => {
  const { rig, store } = await setup()
  const session = rig.connected('stays', { expiry: 100 })
  session.subscribe('t', OPTIONS, 0)
  await settled()
  store.automatic = false
  rig.reactor.take()
  rig.publish('t', 'two', { qos: 2 })
  rig.publish('t', 'one', { qos: 1 })
  const written = () => rig.reactor.take().written.map(({ payload }) => payload)
  assert.equal(written(), ['one'])
  await store.commitsWaiting()
  store.release()
  await settled()
  assert.equal(written(), ['two'])
})

test('[MQTT-4.3.3-1] no PUBREL is sent before its PUBREC is stored: not by a retry, nor to a session that is resumed', async () => {
  for (const way of ['retry', 'resume'] as const) {
    const store = new SlowStore({ automatic: true })
    await store.open()
    const rig = new Rig({ store, settings: { retryInterval: 1000, maxInflightMessages: 1 } })
    const session = rig.connected('stays', { expiry: 100 })
    session.subscribe('t', OPTIONS, 0)
    rig.publish('t', 'x', { qos: 2 })
    await settled()
    await settled()
    const { packetId } = rig.reactor.take().written[0]!
    if (way === 'resume') {
      session.detach()
      rig.context.wire.memory.queued.fill(1e9)
      rig.attach(session) // its output is full: what is to be resent waits
      rig.context.wire.memory.queued.fill(0)
    }
    store.automatic = false
    session.received(packetId, 0)
    await settled()
    if (way === 'retry') {
      rig.clock.advance(5000)
      session.retry(rig.clock.now() - 1000, 10)
    } else session.pump()
    assert.equal(sent(rig), [], way)
    store.release()
    await settled()
    rig.clock.advance(5000)
    session.retry(rig.clock.now() - 1000, 10)
    assert.equal(sent(rig), ['62020001'], way)
  }
})

test.run()
