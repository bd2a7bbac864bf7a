// Long: everything at once, again and again: QoS 0, 1 and 2 with the mqtt package, clients that come and go in every way,
// retained messages, wills, sessions with messages queued while away. Every message is accounted for, and when all are gone
// the broker holds what it held before.
import mqtt, { type MqttClient } from 'mqtt'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
const clients = new Set<MqttClient>()

uvu.after.each(async () => {
  for (const client of clients) client.end(true)
  clients.clear()
  closeClients()
  await closeBrokers()
})

const rounds = longSize(300)
const MESSAGES = 30

test(`${rounds} rounds of traffic, comings and goings lose nothing and leave nothing behind`, async () => {
  const { broker, host, port } = await listen()
  const connect = async (clientId: string, clean: boolean, protocolVersion: 4 | 5): Promise<MqttClient> => {
    const properties = protocolVersion === 5 && !clean ? { sessionExpiryInterval: 600 } : {}
    const options = { clientId, clean, protocolVersion, properties, reconnectPeriod: 0 } as const
    const client = await mqtt.connectAsync(`mqtt://${host}:${port}`, options)
    clients.add(client)
    return client
  }
  const leave = async (client: MqttClient): Promise<void> => {
    await client.endAsync()
    clients.delete(client)
  }

  const watcher = await connect('watcher', true, 5)
  const wills: string[] = []
  watcher.on('message', (topic) => wills.push(topic))
  await watcher.subscribeAsync('will/#', { qos: 1 })
  const before = { ...broker.counters }

  for (let round = 0; round < rounds; round++) {
    const version = round % 2 === 0 ? 4 : 5
    const expected = Array.from({ length: MESSAGES }, (_, n) => `${round}/${n}`)
    const online = await connect('online', true, version)
    const atOnce = collect(online, MESSAGES)
    await online.subscribeAsync('soak/+', { qos: 2 })
    const away = await connect('away', false, version)
    await away.subscribeAsync('soak/1', { qos: 1 })
    await leave(away)

    const publisher = await connect('publisher', true, version === 4 ? 5 : 4)
    await Promise.all(
      expected.map((payload, n) => publisher.publishAsync(`soak/${n % 3}`, payload, { qos: (n % 3) as 0 | 1 | 2 })),
    )
    await publisher.publishAsync('soak/retained', `${round}`, { qos: 1, retain: true })
    await publisher.publishAsync('soak/retained', '', { qos: 1, retain: true })
    // soak/retained is heard twice more, by the one who subscribed to soak/+
    assert.equal((await atOnce).filter((text) => text.includes('/')).sort(), [...expected].sort())

    const raw = await RawClient.connect(
      { host, port },
      { clientId: 'dies', will: { topic: `will/${round}`, payload: 'gone', qos: 1 } },
    )
    raw.reset()
    const back = mqtt.connect(`mqtt://${host}:${port}`, {
      clientId: 'away',
      clean: false,
      protocolVersion: version,
      properties: version === 5 ? { sessionExpiryInterval: 600 } : {},
      reconnectPeriod: 0,
    })
    clients.add(back)
    assert.equal(
      await collect(back, MESSAGES / 3),
      expected.filter((_, n) => n % 3 === 1),
    )
    await leave(back)
    await leave(await connect('away', true, version))
    await leave(online)
    await leave(publisher)
  }

  const marker = await connect('marker', true, 4)
  await marker.publishAsync('will/marker', '', { qos: 1 })
  while (!wills.includes('will/marker')) await new Promise((resolve) => watcher.once('message', resolve))
  assert.is(wills.length, rounds + 1)
  await leave(marker)
  const { counters } = broker
  for (const gauge of [
    'sessions',
    'clientsConnected',
    'messagesQueued',
    'bytesQueued',
    'retained',
    'retainedBytes',
  ] as const) {
    assert.is(counters[gauge], before[gauge], gauge)
  }
  assert.is(counters.dropped, 0)
  assert.is(counters.internalErrors, 0)
})

/** The payloads of the next `count` messages with a slash in them. */
function collect(client: MqttClient, count: number): Promise<string[]> {
  return new Promise((resolve) => {
    const texts: string[] = []
    client.on('message', (_, payload) => {
      const text = payload.toString()
      if (text.includes('/')) texts.push(text)
      if (texts.length === count) resolve(texts)
    })
  })
}

uvu.run()
