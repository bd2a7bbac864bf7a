// The mqtt package of npm against the broker.
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { closePeers, PeerProcess } from '../support/peers.ts'
import { sized, unlessMosquitto } from '../support/target.ts'

const broker = await startBroker()
const clients = new Set<MqttClient>()
test.after.each(() => {
  for (const client of clients) client.end(true)
  clients.clear()
  closePeers()
})
test.after(() => broker.stopCleanly())

const connect = async (options: IClientOptions = {}): Promise<MqttClient> => {
  const client = await mqtt.connectAsync({ host: broker.host, port: broker.port, reconnectPeriod: 0, ...options })
  clients.add(client)
  return client
}

interface Received {
  topic: string
  text: string
  qos: number
  retain: boolean
}

/** The next `count` messages; call before they can arrive. */
const messages = (client: MqttClient, count: number): Promise<Received[]> =>
  new Promise((resolve, reject) => {
    const received: Received[] = []
    const timer = setTimeout(() => reject(new Error(`${received.length} of ${count} messages`)), 15_000)
    const listener = (topic: string, payload: Buffer, packet: IPublishPacket) => {
      received.push({ topic, text: payload.toString(), qos: packet.qos, retain: packet.retain })
      if (received.length < count) return
      clearTimeout(timer)
      client.off('message', listener)
      resolve(received)
    }
    client.on('message', listener)
  })

for (const protocol of [{ protocolId: 'MQIsdp', protocolVersion: 3 }, { protocolVersion: 4 }] as IClientOptions[]) {
  for (const qos of [0, 1, 2] as const) {
    test(`publish and subscribe with QoS ${qos} in protocol level ${protocol.protocolVersion}`, async () => {
      const [subscriber, publisher] = [await connect(protocol), await connect(protocol)]
      const [granted] = await subscriber.subscribeAsync('greeting/+', { qos })
      assert.is(granted!.qos, qos)
      const received = messages(subscriber, 1)
      await publisher.publishAsync('greeting/x', 'hello', { qos })
      assert.equal(await received, [{ topic: 'greeting/x', text: 'hello', qos, retain: false }])
    })
  }
}

for (const qos of [0, 1, 2] as const) {
  const given = qos === 2 ? unlessMosquitto(test, 'it drops beyond 20 in flight towards it') : test
  given(`1,000 messages of QoS ${qos} published at once arrive complete and in order`, async () => {
    const [subscriber, publisher] = [await connect(), await connect()]
    await subscriber.subscribeAsync('many', { qos })
    const received = messages(subscriber, 1000)
    await Promise.all(Array.from({ length: 1000 }, (_, n) => publisher.publishAsync('many', `${n}`, { qos })))
    assert.equal(
      (await received).map(({ text }) => Number(text)),
      Array.from({ length: 1000 }, (_, n) => n),
    )
  })
}

test('retained: set, replayed, cleared', async () => {
  const publisher = await connect()
  await publisher.publishAsync('retained/a', 'kept', { qos: 1, retain: true })
  const first = await connect()
  const received = messages(first, 1)
  await first.subscribeAsync('retained/#', { qos: 1 })
  assert.equal(await received, [{ topic: 'retained/a', text: 'kept', qos: 1, retain: true }])
  await publisher.publishAsync('retained/a', '', { qos: 1, retain: true })
  const second = await connect()
  const next = messages(second, 1)
  await second.subscribeAsync('retained/#', { qos: 1 })
  await publisher.publishAsync('retained/b', 'live', { qos: 1 })
  assert.equal(await next, [{ topic: 'retained/b', text: 'live', qos: 1, retain: false }])
})

test('a will is published when the stream is destroyed, and not after end()', async () => {
  const watcher = await connect()
  await watcher.subscribeAsync('will/#', { qos: 2 })
  const will = (topic: string): IClientOptions => ({
    will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false },
  })
  const polite = await connect(will('will/polite'))
  await polite.endAsync()
  const received = messages(watcher, 1)
  const lost = await connect(will('will/lost'))
  lost.stream.destroy()
  assert.equal(await received, [{ topic: 'will/lost', text: 'gone', qos: 1, retain: false }])
})

const mortal = `
  const { default: mqtt } = await import('mqtt')
  const will = { topic: 'will/killed', payload: Buffer.from('gone'), qos: 2, retain: true }
  await mqtt.connectAsync({ host: process.argv[1], port: Number(process.argv[2]), will })
  console.log('connected')
`
test('kill -9 of a process that uses it publishes its will, which is retained', async () => {
  const watcher = await connect()
  await watcher.subscribeAsync('will/killed', { qos: 2 })
  const words = ['--input-type=module', '-e', mortal, broker.host, `${broker.port}`]
  const peer = new PeerProcess(process.execPath, words)
  await peer.waitForLines(/connected/)
  const received = messages(watcher, 1)
  peer.kill9()
  assert.equal(await received, [{ topic: 'will/killed', text: 'gone', qos: 2, retain: false }])
  const later = await connect()
  const kept = messages(later, 1)
  await later.subscribeAsync('will/killed', { qos: 1 })
  assert.equal(await kept, [{ topic: 'will/killed', text: 'gone', qos: 1, retain: true }])
  await later.publishAsync('will/killed', '', { retain: true })
})

test('clean: false resumes the session with the messages queued while away', async () => {
  const session: IClientOptions = { clientId: 'node-away', clean: false }
  const first = await connect(session)
  await first.subscribeAsync('node/away', { qos: 2 })
  await first.endAsync()
  const publisher = await connect()
  for (let n = 0; n < 20; n++) await publisher.publishAsync('node/away', `${n}`, { qos: 2 })
  const second = mqtt.connect({ host: broker.host, port: broker.port, reconnectPeriod: 0, ...session })
  clients.add(second)
  const received = messages(second, 20)
  const present = new Promise((resolve) => second.once('connect', ({ sessionPresent }) => resolve(sessionPresent)))
  assert.is(await present, true)
  assert.equal(
    (await received).map(({ text }) => Number(text)),
    Array.from({ length: 20 }, (_, n) => n),
  )
})

for (const qos of [1, 2] as const) {
  test(`[MQTT-4.4.0-1] what it had not acknowledged comes again with DUP when it is back, QoS ${qos}`, async () => {
    const session: IClientOptions = { clientId: `node-dup-${qos}`, clean: false }
    const first = await connect(session)
    // Told of the packet before it acknowledges: the connection ends instead.
    const unacknowledged = new Promise<boolean>((resolve) => {
      first.on('packetreceive', (packet) => {
        if (packet.cmd !== 'publish') return
        first.stream.destroy()
        resolve(packet.dup)
      })
    })
    await first.subscribeAsync('node/dup', { qos })
    const publisher = await connect()
    await publisher.publishAsync('node/dup', 'again', { qos })
    assert.is(await unacknowledged, false)
    const second = mqtt.connect({ host: broker.host, port: broker.port, reconnectPeriod: 0, ...session })
    clients.add(second)
    const dup = await new Promise((resolve) => {
      second.on('packetreceive', (packet) => packet.cmd === 'publish' && resolve(packet.dup))
    })
    assert.is(dup, true)
  })
}

test('the client reconnects by itself after it was taken over, and finds its session', async () => {
  const session: IClientOptions = { clientId: 'node-again', clean: false }
  const first = await connect({ ...session, reconnectPeriod: 50 })
  await first.subscribeAsync('node/again', { qos: 1 })
  const reconnected = new Promise((resolve) => first.once('connect', ({ sessionPresent }) => resolve(sessionPresent)))
  const second = await connect(session)
  assert.is(await reconnected, true)
  second.end(true)
  const received = messages(first, 1)
  const publisher = await connect()
  await publisher.publishAsync('node/again', 'found', { qos: 1 })
  assert.is((await received)[0]!.text, 'found')
})

test('a large payload arrives unchanged', async () => {
  const [subscriber, publisher] = [await connect(), await connect()]
  await subscriber.subscribeAsync('large', { qos: 1 })
  const payload = 'x'.repeat(sized(1_000_000, 100_000))
  const received = messages(subscriber, 1)
  await publisher.publishAsync('large', payload, { qos: 1 })
  assert.is((await received)[0]!.text.length, payload.length)
})

test.run()
