// MQTT 5 sessions and wills: how long a session lives, who ends it, what CONNACK tells of it, and when a will is sent.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CreateBrokerOptions } from '../../src/index.ts'
import { closeBrokers, type EmbeddedBroker, listen } from '../support/embedded.ts'
import { JumpingClock } from '../support/jumping-clock.ts'
import { Client5, connect5, disconnect5, options, type Publish5, p, publish5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const start = async (settings: CreateBrokerOptions = {}): Promise<EmbeddedBroker & { clock: JumpingClock }> => {
  const clock = new JumpingClock()
  return { ...(await listen({ clock, sysInterval: 0, ...settings })), clock }
}

const lasting = (seconds: number) => [p.sessionExpiry(seconds)]

const sessionEnded = (broker: EmbeddedBroker, clientId: string) =>
  new Promise<void>((resolve) => {
    broker.broker.on('sessionExpired', (id) => {
      if (id === clientId) resolve()
    })
  })

test('[MQTT-3.1.2-4] [MQTT-3.1.2-5] clean start, session present, and what a session keeps', async () => {
  const broker = await start()
  const other = await Client5.connect(broker, { clientId: 'o' })
  let client = await Client5.connect(broker, { clientId: 'c', clean: false, properties: lasting(60) })
  assert.is(client.present, false)
  await client.subscribe([p.subscriptionId(9)], ['t', options(1, { asPublished: true })])
  await client.leave()
  await other.publish({ topic: 't', payload: 'queued', qos: 1, retain: true })
  client = await Client5.connect(broker, { clientId: 'c', clean: false, properties: lasting(60) })
  assert.is(client.present, true)
  assert.equal((await client.receive({ text: 'queued', retain: true })).properties, ['subscriptionId 9'])
  await client.leave()
  client = await Client5.connect(broker, { clientId: 'c', clean: true, properties: lasting(60) })
  assert.is(client.present, false)
  await other.publish({ topic: 't', payload: 'nobody', qos: 1 })
  await client.expectNothing()
})

test('[MQTT-3.1.2-23] a session without an expiry interval ends with its connection, one with it later', async () => {
  const broker = await start()
  for (const [clientId, properties] of [
    ['none', []],
    ['zero', lasting(0)],
    ['hour', lasting(3600)],
    ['never', lasting(0xffffffff)],
  ] as const) {
    const client = await Client5.connect(broker, { clientId, properties })
    await client.subscribe([], ['t', 1])
    await client.lose()
  }
  const hourEnded = sessionEnded(broker, 'hour')
  const present = async (clientId: string) => {
    const client = await Client5.connect(broker, { clientId, clean: false, properties: lasting(0xffffffff) })
    await client.leave()
    return client.present
  }
  assert.equal([await present('none'), await present('zero'), await present('never')], [false, false, true])
  broker.clock.leap(3601)
  await hourEnded
  assert.equal([await present('hour'), await present('never')], [false, true])
})

test('[MQTT-3.14.2-2] DISCONNECT changes the expiry, down to 0 and up, but not up from 0', async () => {
  const broker = await start()
  const connect = (properties: Uint8Array[]) => Client5.connect(broker, { clientId: 'c', clean: false, properties })
  let client = await connect(lasting(1))
  await client.leave(0, lasting(1000))
  broker.clock.leap(500)
  client = await connect(lasting(1000))
  assert.is(client.present, true)
  await client.leave(0, lasting(0))
  client = await connect([])
  assert.is(client.present, false)
  client.raw.send(disconnect5(0, lasting(5)))
  await client.disconnected(0x82)
  assert.is((await connect([])).present, false)
})

test('[MQTT-3.2.2-20] the broker grants less than was asked, and says so', async () => {
  const broker = await start({ persistentClientExpiration: 100 })
  const modest = await Client5.connect(broker, { clientId: 'modest', properties: lasting(100) })
  const greedy = await Client5.connect(broker, { clientId: 'greedy', properties: lasting(0xffffffff) })
  assert.is(
    modest.properties.some((text) => text.startsWith('sessionExpiry')),
    false,
  )
  assert.ok(greedy.properties.includes('sessionExpiry 100'))
  const ended = sessionEnded(broker, 'greedy')
  await greedy.lose()
  broker.clock.leap(101)
  await ended
})

test('[MQTT-3.1.3-7] [MQTT-3.2.2-16] an empty client identifier is given one, and the session can be resumed under it', async () => {
  const broker = await start({ autoIdPrefix: 'made-' })
  const client = await Client5.connect(broker, { clientId: '', properties: lasting(60) })
  const told = client.properties.find((text) => text.startsWith('assignedClientId '))!
  const clientId = told.slice('assignedClientId '.length)
  assert.ok(clientId.startsWith('made-'))
  await client.lose()
  assert.is((await Client5.connect(broker, { clientId, clean: false })).present, true)
  const strict = await start({ allowZeroLengthClientid: false })
  assert.is((await Client5.dial(strict, { clientId: '' })).code, 0x85)
})

test('[MQTT-3.2.2-21] server keep alive: told when it differs, and kept to with 0x8D', async () => {
  const broker = await start({ maxKeepalive: 10 })
  const told = async (keepAlive: number) => {
    const { properties } = await Client5.connect(broker, { clientId: `k${keepAlive}`, keepAlive })
    return properties.filter((text) => text.startsWith('serverKeepAlive'))
  }
  assert.equal(await told(10), [])
  assert.equal(await told(11), ['serverKeepAlive 10'])
  assert.equal(await told(0), ['serverKeepAlive 10'])
  const silent = await Client5.connect(broker, { clientId: 'silent', keepAlive: 60 })
  broker.clock.leap(16)
  await silent.disconnected(0x8d)
})

test('[MQTT-3.1.4-3] the older connection hears 0x8E, and its session goes to the newer one', async () => {
  const broker = await start()
  const first = await Client5.connect(broker, { clientId: 'c', properties: lasting(60) })
  await first.subscribe([], ['t', 1])
  await Client5.connect(broker, { clientId: 'o' }).then((o) => o.publish({ topic: 't', payload: 'x', qos: 1 }))
  await first.message({ text: 'x' })
  const second = await Client5.connect(broker, { clientId: 'c', clean: false, properties: lasting(60) })
  await first.disconnected(0x8e)
  assert.is(second.present, true)
  await second.receive({ text: 'x', dup: true })
})

test('[MQTT-4.9.0-1] [MQTT-4.9.0-2] Receive Maximum of the client: never more in flight; PUBACK, PUBCOMP and a refusing PUBREC free a place', async () => {
  const broker = await start()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const client = await Client5.connect(broker, { clientId: 'c', properties: [p.receiveMaximum(2)] })
  await client.subscribe([], ['t', 2])
  for (let n = 0; n < 4; n++) await publisher.publish({ topic: 't', payload: `${n}`, qos: n % 2 === 0 ? 1 : 2 })
  const [a, b] = await client.messages(2)
  await client.expectNothing()
  client.raw.send(Buffer.from([0x40, 2, 0, a!.id]))
  const c = await client.message({ text: '2', qos: 1 })
  await client.expectNothing()
  client.raw.send(Buffer.from([0x50, 3, 0, b!.id, 0x80])) // the exchange ends here [MQTT-4.3.3-4]
  const d = await client.message({ text: '3', qos: 2 })
  await publisher.publish({ topic: 't', payload: '4', qos: 1 })
  client.raw.send(Buffer.from([0x50, 2, 0, d.id]))
  await client.raw.expect(`62 02 00 0${d.id}`)
  await client.expectNothing() // PUBREC alone frees nothing
  client.raw.send(Buffer.from([0x70, 2, 0, d.id]))
  await client.receive({ text: '4' })
  client.raw.send(Buffer.from([0x40, 2, 0, c.id]))
  await client.expectNothing()
  // QoS 0 is not counted.
  await publisher.publish({ topic: 't', payload: 'free' })
  await client.receive({ text: 'free' })
})

test('[MQTT-3.3.4-9] our Receive Maximum is announced; one QoS 2 message too many is 0x93, after a refusal there is room', async () => {
  const broker = await start({
    maxInflightMessages: 3,
    authorizePublish: ({ topic }) => topic !== 'no',
  })
  const client = await Client5.connect(broker, { clientId: 'c' })
  assert.ok(client.properties.includes('receiveMaximum 3'))
  const send = (id: number, topic = 't') => client.raw.send(publish5({ topic, payload: '', qos: 2, id }))
  for (let id = 1; id <= 3; id++) send(id, id === 2 ? 'no' : 't')
  for (const code of [0x10, 0x87, 0x10]) assert.is((await client.answer('PUBREC')).code, code)
  send(4)
  assert.is((await client.answer('PUBREC')).code, 0x10)
  send(3) // a repeated one is none more
  assert.is((await client.answer('PUBREC')).id, 3)
  send(5)
  await client.disconnected(0x93)
})

test('[MQTT-4.9.0-1] a resumed session has its whole send quota: identifiers its client forgot take no place of it', async () => {
  const broker = await start({ maxInflightMessages: 2 })
  const again = () => Client5.connect(broker, { clientId: 'c', clean: false, properties: lasting(60) })
  let client = await again()
  const send = (qos: 1 | 2, id: number) => client.raw.send(publish5({ topic: 't', payload: '', qos, id }))
  for (const id of [1, 2]) send(2, id)
  for (const id of [1, 2]) assert.is((await client.answer('PUBREC')).id, id)
  await client.lose()
  client = await again()
  assert.is(client.present, true)
  send(1, 10)
  assert.is((await client.answer('PUBACK')).id, 10)
  for (const id of [11, 12]) send(2, id)
  for (const id of [11, 12]) assert.is((await client.answer('PUBREC')).id, id)
  send(2, 13)
  await client.disconnected(0x93)
})

// ── wills ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const will = (also: Partial<Publish5> = {}): Publish5 => ({ topic: 'will', payload: 'gone', qos: 1, ...also })
const delayed = (seconds: number) => will({ properties: [p.willDelay(seconds), p.user('k', 'v')] })

const watch = async (broker: EmbeddedBroker): Promise<Client5> => {
  const watcher = await Client5.connect(broker, { clientId: 'watcher' })
  await watcher.subscribe([], ['will', options(1, { asPublished: true })])
  return watcher
}

test('[MQTT-3.1.3-9] a delayed will is sent when its delay is over, and carries no trace of it', async () => {
  const broker = await start()
  const watcher = await watch(broker)
  const client = await Client5.connect(broker, { clientId: 'c', properties: lasting(100), will: delayed(30) })
  await client.lose()
  broker.clock.leap(20)
  await watcher.expectNothing()
  broker.clock.leap(11)
  assert.equal((await watcher.receive({ text: 'gone' })).properties, ['user k=v'])
})

test('[MQTT-3.1.3-9] a delayed will is not sent to somebody who came back in time', async () => {
  const broker = await start()
  const watcher = await watch(broker)
  const properties = lasting(100)
  const client = await Client5.connect(broker, { clientId: 'c', properties, will: delayed(30) })
  await client.lose()
  broker.clock.leap(20)
  const back = await Client5.connect(broker, { clientId: 'c', clean: false, properties })
  broker.clock.leap(20)
  const again = await Client5.connect(broker, { clientId: 'c', clean: false, properties, will: delayed(30) })
  await back.disconnected(0x8e)
  broker.clock.leap(40)
  await sentinel(broker, watcher)
  await again.expectNothing()
})

/** A will without delay, sent and received: what was due before would have come first. */
const sentinel = async (broker: EmbeddedBroker & { clock: JumpingClock }, watcher: Client5): Promise<void> => {
  const due = new Promise<void>((resolve) => broker.broker.on('sessionExpired', () => resolve()))
  const last = await Client5.connect(broker, { clientId: 'last', properties: lasting(1) })
  await last.lose()
  broker.clock.leap(2)
  await due // the timer has gone round
  await watcher.expectNothing()
}

test('[MQTT-3.1.2-8] a delayed will is sent when its session ends before: by expiry, by DISCONNECT, by clean start', async () => {
  const broker = await start()
  const watcher = await watch(broker)
  const client = await Client5.connect(broker, { clientId: 'expires', properties: lasting(10), will: delayed(1000) })
  await client.lose()
  broker.clock.leap(11)
  await watcher.receive({ text: 'gone' })
  const short = await Client5.connect(broker, { clientId: 'short', properties: [], will: delayed(1000) })
  await short.lose()
  await watcher.receive({ text: 'gone' })
  const left = await Client5.connect(broker, { clientId: 'left', properties: lasting(100), will: delayed(1000) })
  await left.leave(0x04, lasting(0)) // with will, and without a session to wait for
  await watcher.receive({ text: 'gone' })
  const fresh = await Client5.connect(broker, { clientId: 'fresh', properties: lasting(100), will: delayed(1000) })
  await fresh.lose()
  await watcher.expectNothing()
  await Client5.connect(broker, { clientId: 'fresh', clean: true })
  await watcher.receive({ text: 'gone' })
})

test('a takeover: without delay the will is sent, with one only if the session is not resumed', async () => {
  const broker = await start()
  const watcher = await watch(broker)
  const properties = lasting(100)
  for (const [clientId, its, clean, sent] of [
    ['plain', will(), false, true],
    ['resumed', delayed(10), false, false],
    ['cleaned', delayed(10), true, true],
  ] as const) {
    const first = await Client5.connect(broker, { clientId, properties, will: its })
    await Client5.connect(broker, { clientId, properties, clean })
    await first.disconnected(0x8e)
    if (sent) await watcher.receive({ text: 'gone' })
    await watcher.expectNothing()
  }
})

test('[MQTT-3.14.4-3] DISCONNECT discards the will, with 0x04 it sends it, and with an error code', async () => {
  const broker = await start()
  const watcher = await watch(broker)
  for (const [code, sent] of [
    [0x00, false],
    [0x04, true],
    [0x82, true],
  ] as const) {
    const client = await Client5.connect(broker, { clientId: `c${code}`, will: will() })
    await client.leave(code)
    if (sent) await watcher.receive({ text: 'gone' })
    await watcher.expectNothing()
  }
})

test('a will with everything: retained, as published, expiring, its properties in order', async () => {
  const broker = await start()
  const watcher = await watch(broker)
  const properties = [p.user('z', '1'), p.messageExpiry(50), p.user('a', '2'), p.contentType('text'), p.user('z', '3')]
  const client = await Client5.connect(broker, { clientId: 'c', will: will({ qos: 2, retain: true, properties }) })
  await client.lose()
  const got = await watcher.receive({ text: 'gone', retain: true, qos: 1 })
  const users = (texts: string[]) => texts.filter((text) => text.startsWith('user'))
  assert.equal(users(got.properties), ['user z=1', 'user a=2', 'user z=3'])
  assert.ok(got.properties.includes('contentType text') && got.properties.includes('messageExpiry 50'))
  broker.clock.leap(20)
  const late = await Client5.connect(broker, { clientId: 'late' })
  await late.subscribe([], ['will', 2])
  const kept = await late.receive({ text: 'gone', retain: true, qos: 2 })
  assert.ok(
    kept.properties.some((text) => /^messageExpiry (29|30)$/.test(text)),
    kept.properties.join(),
  )
  assert.equal(users(kept.properties), users(got.properties))
})

test('a will that CONNACK cannot promise is refused there: QoS 0x9B, RETAIN 0x9A, its topic 0x90', async () => {
  const broker = await start({ maxQos: 0, retainAvailable: false })
  for (const [its, code] of [
    [will({ qos: 1 }), 0x9b],
    [will({ qos: 0, retain: true }), 0x9a],
    [will({ qos: 0, topic: 'a/#' }), 0x90],
  ] as const) {
    const client = await Client5.dial(broker, { clientId: 'c', will: its })
    assert.is(client.code, code)
    await client.raw.expectClosed('fin')
  }
})

test('the broker closes: wills first, then 0x8B for everyone, or 0x9C with the server to go to', async () => {
  for (const [serverReference, code] of [
    ['', 0x8b],
    ['other.example:1883', 0x9c],
  ] as const) {
    const broker = await start({ serverReference })
    const watcher = await watch(broker)
    const client = await Client5.connect(broker, { clientId: 'c', will: will() })
    const closed = broker.broker.close()
    await watcher.message({ text: 'gone' })
    const told = (await watcher.disconnected(code)).properties
    assert.equal(told.includes(`serverReference ${serverReference}`), serverReference !== '')
    await client.disconnected(code)
    await closed
  }
})

test('a client that is refused reads why before the stream ends, whatever it had sent behind its CONNECT', async () => {
  const broker = await start({ allowAnonymous: false })
  const client = await RawClient.dial(broker, connect5({ clientId: 'c' }), Buffer.alloc(100_000, 0x30))
  assert.is((await client.expectPacket('CONNACK')).body[1], 0x87)
  await client.expectClosed('fin')
})

test.run()
