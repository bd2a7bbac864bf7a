// Wills: published at every end of a connection that is not a DISCONNECT, and only then. The end of the client's whole
// process (kill -9) is in mosquitto-clients.test.ts, write_timeout in keep-alive.test.ts, our own bug in
// test/broker/clients/client.test.ts, the broker's crash in test/crash; the broker's own shutdown is the last test here.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { type Connect, connect, disconnect, pingreq, publish, subscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { connect_timeout: 5, max_packet_size: 100_000_000 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const watch = async (...topics: string[]) => {
  const watcher = await RawClient.connect(broker, { clientId: 'watcher' })
  for (const topic of topics) await watcher.subscribe([topic, 2])
  return watcher
}
const mortal = (topic: string, options: Partial<Connect> = {}) =>
  RawClient.connect(broker, { clientId: 'mortal', will: { topic, payload: 'gone' }, ...options })

const ends: [clause: string, what: string, end: (client: RawClient) => void][] = [
  ['MQTT-3.1.2-8', 'a FIN without DISCONNECT', (client) => client.end()],
  ['MQTT-3.1.2-8', 'a reset', (client) => client.reset()],
  ['MQTT-3.1.2-8', 'a FIN in the middle of a packet', (client) => client.end('30 0a 00')],
  ['MQTT-4.8.0-1', 'a malformed packet', (client) => client.send('36 00')],
  ['MQTT-3.1.0-2', 'a second CONNECT', (client) => client.send(connect({ clientId: 'mortal' }))],
  ['2.2.3', 'a Remaining Length of five bytes', (client) => client.send('30 ff ff ff ff 01')],
  ['MQTT-3.14.1-1', 'a DISCONNECT that is malformed', (client) => client.send('e1 00')],
  ['MQTT-3.1.2-8', 'a packet over max_packet_size', (client) => client.send('30 ff ff ff 7f 00 01 61')],
]

/** What Mosquitto 2.0.11 does instead. */
const mosquitto: Record<string, string> = {
  'a second CONNECT': 'a second CONNECT has replaced the will',
  'a DISCONNECT that is malformed': 'it ignores these flags',
  'a packet over max_packet_size': 'it has no limit of its own',
}

for (const [clause, what, end] of ends) {
  const given = mosquitto[what] === undefined ? test : unlessMosquitto(test, mosquitto[what])
  given(`[${clause}] ${what} publishes the will`, async () => {
    const watcher = await watch('will/abnormal')
    const client = await mortal('will/abnormal')
    end(client)
    await watcher.expectPublish({ topic: 'will/abnormal', text: 'gone', retain: false, dup: false })
    await watcher.expectNothing()
  })
}

test('[MQTT-3.1.2-24] a Keep Alive that ran out publishes the will', async () => {
  const watcher = await watch('will/keep-alive')
  const client = await mortal('will/keep-alive', { keepAlive: 1 })
  await watcher.expectPublish({ topic: 'will/keep-alive', text: 'gone' })
  await client.expectClosed()
})

test('[MQTT-3.1.4-2] a takeover publishes the will of the connection it ends, once', async () => {
  const watcher = await watch('will/+')
  const first = await mortal('will/first')
  const second = await mortal('will/second')
  await watcher.expectPublish({ topic: 'will/first' })
  await first.expectClosed()
  await second.settled()
  await watcher.expectNothing()
  second.reset()
  await watcher.expectPublish({ topic: 'will/second' })
})

test('[MQTT-3.14.4-3] DISCONNECT discards the will, alone or behind a PUBLISH, with our FIN or without', async () => {
  const watcher = await watch('will/none')
  const first = await mortal('will/none')
  await first.disconnect()
  const second = await mortal('will/none')
  second.send(disconnect())
  await second.expectClosed()
  const third = await mortal('will/none')
  third.send(publish({ topic: 'will/none', payload: 'last' }), disconnect())
  await third.readToEnd()
  await watcher.expectPublish({ text: 'last' })
  await watcher.expectNothing()
})

test('[MQTT-3.1.2-12] a client without a will publishes nothing when it is lost', async () => {
  const watcher = await watch('#')
  const client = await RawClient.connect(broker, { clientId: 'no-will' })
  client.reset()
  const other = await RawClient.connect(broker, { clientId: 'no-will' })
  await other.settled()
  await watcher.expectNothing()
})

for (const qos of [0, 1, 2] as const) {
  test(`[MQTT-3.1.2-14] a will of QoS ${qos} is delivered with QoS ${qos}`, async () => {
    const watcher = await watch('will/qos')
    const client = await mortal('will/qos', { will: { topic: 'will/qos', payload: 'gone', qos } })
    client.end()
    await watcher.expectPublish({ text: 'gone', qos })
  })
}

test('[MQTT-3.1.2-17] a will with Will Retain is retained, [MQTT-3.1.2-16] one without is not', async () => {
  const watcher = await watch('will/kept', 'will/passing')
  for (const [topic, retain] of [
    ['will/kept', true],
    ['will/passing', false],
  ] as const) {
    const client = await mortal(topic, { will: { topic, payload: 'gone', retain } })
    client.end()
    await watcher.expectPublish({ topic, retain: false })
  }
  const later = await RawClient.connect(broker, { clientId: 'later' })
  await later.subscribe(['will/+', 0])
  await later.expectPublish({ topic: 'will/kept', text: 'gone', retain: true })
  await later.expectNothing()
})

test('an empty will message is delivered, and with Will Retain clears the retained message', async () => {
  const publisher = await RawClient.connect(broker, { clientId: 'publisher' })
  await publisher.publish({ topic: 'will/empty', payload: 'online', qos: 1, retain: true })
  const watcher = await watch('will/empty')
  await watcher.expectPublish({ text: 'online', retain: true })
  const client = await mortal('will/empty', { will: { topic: 'will/empty', payload: '', retain: true } })
  client.end()
  await watcher.expectPublish({ text: '' })
  const later = await RawClient.connect(broker, { clientId: 'later' })
  await later.subscribe(['will/empty', 0])
  await later.expectNothing()
})

test('packets sent before a FIN are handled before the will is published', async () => {
  const watcher = await watch('will/order')
  const client = await mortal('will/order')
  const messages = Array.from({ length: 100 }, (_, n) => publish({ topic: 'will/order', payload: `${n}` }))
  client.end(...messages)
  for (let n = 0; n < 100; n++) await watcher.expectPublish({ text: `${n}` })
  await watcher.expectPublish({ text: 'gone' })
})

test('a session receives the will of its own lost connection when it is back', async () => {
  const first = await mortal('', { clean: false, will: { topic: 'will/self', payload: 'gone', qos: 1 } })
  await first.subscribe(['will/self', 1])
  first.reset()
  const again = await RawClient.connect(broker, { clientId: 'mortal', clean: false })
  await again.expectPublish({ topic: 'will/self', text: 'gone' })
  await again.disconnect()
  await (await RawClient.connect(broker, { clientId: 'mortal' })).disconnect()
})

test('[MQTT-3.1.2-5] a will reaches a persistent session that is away', async () => {
  const away = await RawClient.connect(broker, { clientId: 'away', clean: false })
  await away.subscribe(['will/away', 1])
  await away.disconnect()
  const client = await mortal('will/away', { will: { topic: 'will/away', payload: 'gone', qos: 1 } })
  client.reset()
  const watcher = await watch('will/away')
  await watcher.settled()
  const back = await RawClient.connect(broker, { clientId: 'away', clean: false })
  await back.expectPublish({ text: 'gone', qos: 1 })
})

test('[MQTT-3.1.2-10] a will is published once, whatever the client does afterwards', async () => {
  const watcher = await watch('will/once')
  const client = await mortal('will/once', { clean: false })
  client.reset()
  await watcher.expectPublish({ text: 'gone' })
  const again = await RawClient.connect(broker, { clientId: 'mortal', clean: false })
  again.reset()
  const last = await RawClient.connect(broker, { clientId: 'mortal' })
  await last.settled()
  await watcher.expectNothing()
})

test('two hundred wills at once all arrive', async () => {
  const watcher = await watch('will/many/#')
  const clients = await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      mortal('', { clientId: `mortal-${n}`, will: { topic: `will/many/${n}`, payload: 'x' } }),
    ),
  )
  for (const client of clients) client.reset()
  const topics = new Set<string>()
  while (topics.size < 200) topics.add((await watcher.expectPublish()).topic)
  await watcher.expectNothing()
})

const shutdown = unlessMosquitto(test, 'it publishes no wills when it is stopped')
shutdown('SIGTERM publishes the wills of all connected clients before their connections end', async () => {
  const stopped = await startBroker()
  const watcher = await RawClient.connect(stopped, { clientId: 'watcher' })
  watcher.send(subscribe(1, ['will/stop/#', 0]), pingreq())
  await watcher.expect('90 03 00 01 00 d0 00')
  for (let n = 0; n < 20; n++) {
    await RawClient.connect(stopped, { clientId: `${n}`, will: { topic: `will/stop/${n}`, payload: 'stopped' } })
  }
  const end = stopped.stopCleanly()
  const topics = new Set<string>()
  while (topics.size < 20) topics.add((await watcher.expectPublish({ text: 'stopped' })).topic)
  await watcher.expectClosed()
  closeClients()
  await end
  assert.is(topics.size, 20)
})

test.run()
