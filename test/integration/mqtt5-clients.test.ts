// Other people's MQTT 5 clients against the broker: mosquitto_pub, mosquitto_sub and mosquitto_rr, the mqtt package,
// python3-paho-mqtt. What they send, the broker did not write; what they print, it did not read.
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import {
  closePeers,
  messagesOf,
  mosquittoPub,
  mosquittoRr,
  mosquittoSub,
  PahoPeer,
  withPeer,
} from '../support/peers.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker()
const clients = new Set<MqttClient>()
const mosquitto = withPeer(uvu, 'mosquitto_pub')
const paho = withPeer(uvu, 'paho')
uvu.after.each(() => {
  for (const client of clients) client.end(true)
  clients.clear()
  closePeers()
})
uvu.after(() => broker.stopCleanly())

const connect = async (options: IClientOptions = {}): Promise<MqttClient> => {
  const { host, port } = broker
  const client = await mqtt.connectAsync({ host, port, protocolVersion: 5, reconnectPeriod: 0, ...options })
  clients.add(client)
  return client
}

/** The next message of an mqtt package's client; call before it can arrive. */
const nextMessage = (client: MqttClient): Promise<IPublishPacket> =>
  new Promise((resolve) => client.once('message', (_topic, _payload, packet) => resolve(packet)))

/** `-D publish NAME VALUE` of mosquitto_pub for every property a PUBLISH of it may have. */
const everything = [
  ['content-type', 'text/plain'],
  ['correlation-data', 'c-1'],
  ['payload-format-indicator', '1'],
  ['response-topic', 'answers/c-1'],
  ['user-property', 'b', '1'],
  ['user-property', 'a', '2'],
  ['user-property', 'b', '3'],
].flatMap((words) => ['-D', 'publish', ...words])

const printed = 'text/plain c-1 1 answers/c-1 b:1 a:2 b:3'

for (const qos of ['0', '1', '2']) {
  mosquitto(`[MQTT-3.3.2-18] properties of mosquitto_pub -V mqttv5 -q ${qos} reach mosquitto_sub`, async () => {
    const format = ['-F', '= %t %q %C %D %F %R %P']
    const subscriber = await mosquittoSub(broker, ['-V', 'mqttv5', '-t', 'v5/+', '-q', qos, ...format])
    await mosquittoPub(broker, ['-V', 'mqttv5', '-t', `v5/${qos}`, '-m', 'x', '-q', qos, ...everything])
    assert.equal(await messagesOf(subscriber, 1), [`v5/${qos} ${qos} ${printed}`])
  })
}

mosquitto(
  'a session with an expiry interval keeps what mosquitto_pub sent meanwhile, its expiry counting',
  async () => {
    const session = ['-V', 'mqttv5', '-c', '-i', 'away-5', '-x', '600', '-t', 'away/5', '-q', '1', '-F', '= %E %p']
    const first = await mosquittoSub(broker, session)
    first.terminate()
    await first.exit()
    const expiry = ['-D', 'publish', 'message-expiry-interval', '1000']
    await mosquittoPub(broker, ['-V', 'mqttv5', '-t', 'away/5', '-m', 'kept', '-q', '1', ...expiry])
    const second = await mosquittoSub(broker, session)
    const [seconds, payload] = (await messagesOf(second, 1))[0]!.split(' ')
    assert.is(payload, 'kept')
    assert.ok(Number(seconds) > 0 && Number(seconds) <= 1000, seconds)
  },
)

mosquitto('subscription identifiers, retain as published and no local of mosquitto_sub are kept to', async () => {
  const words = ['-t', 'options', '-D', 'subscribe', 'subscription-identifier', '268435455', '--retain-as-published']
  const subscriber = await mosquittoSub(broker, ['-V', 'mqttv5', ...words, '-F', '= %r %S %p'])
  await mosquittoPub(broker, ['-V', 'mqttv5', '-t', 'options', '-m', 'x', '-r'])
  assert.equal(await messagesOf(subscriber, 1), ['1 268435455 x'])
})

mosquitto('two mosquitto_sub of one shared subscription get each message once between them', async () => {
  const shared = ['-V', 'mqttv5', '-t', '$share/workers/jobs', '-q', '1']
  const [one, two] = [await mosquittoSub(broker, shared), await mosquittoSub(broker, shared)]
  const lines = Array.from({ length: 100 }, (_, n) => `${n}`)
  await mosquittoPub(broker, ['-V', 'mqttv5', '-t', 'jobs', '-q', '1', '-l'], `${lines.join('\n')}\n`)
  const plain = ['-V', 'mqttv5', '-t', 'jobs', '-q', '1', '-m', 'end']
  // An end for each: the members take turns.
  await mosquittoPub(broker, plain)
  await mosquittoPub(broker, plain)
  await one.waitForLines(/^= .* end$/)
  await two.waitForLines(/^= .* end$/)
  const payloads = [one, two].flatMap(({ lines: told }) => told.filter((line) => line.startsWith('= ')))
  const numbers = payloads.map((line) => Number(line.split(' ').at(-1))).filter((n) => !Number.isNaN(n))
  assert.equal(
    numbers.sort((a, b) => a - b),
    lines.map(Number),
  )
})

mosquitto(
  'mosquitto_rr asks, the mqtt package answers: response topic and correlation data go there and back',
  async () => {
    const responder = await connect()
    await responder.subscribeAsync('questions', { qos: 1 })
    const asked = nextMessage(responder)
    const answer = asked.then(async ({ payload, properties = {} }) => {
      assert.is(properties.responseTopic, 'answers/rr')
      assert.is(properties.correlationData?.toString(), 'rr-1')
      const { correlationData } = properties
      const reply = { qos: 1 as const, ...(correlationData && { properties: { correlationData } }) }
      await responder.publishAsync('answers/rr', `${payload.toString()} indeed`, reply)
    })
    const correlation = ['-D', 'publish', 'correlation-data', 'rr-1']
    const words = ['-t', 'questions', '-e', 'answers/rr', '-m', 'is it', '-q', '1', '-W', '10', ...correlation]
    assert.is(await mosquittoRr(broker, words), 'is it indeed')
    await answer
  },
)

for (const qos of [0, 1, 2] as const) {
  uvu(`[MQTT-3.3.2-18] all properties of the mqtt package arrive with QoS ${qos}`, async () => {
    const [subscriber, publisher] = [await connect(), await connect()]
    await subscriber.subscribeAsync('all/+', { qos, properties: { subscriptionIdentifier: 9 } })
    const received = nextMessage(subscriber)
    const properties = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 100,
      responseTopic: 'answers',
      correlationData: Buffer.from([0, 255]),
      userProperties: { a: ['1', '2'], b: '3' },
      contentType: 'text/plain',
    }
    await publisher.publishAsync('all/x', 'hello', { qos, properties })
    const { payload, properties: told, qos: delivered } = await received
    assert.is(payload.toString(), 'hello')
    assert.is(delivered, qos)
    assert.equal({ ...told, userProperties: { ...told!.userProperties } }, { ...properties, subscriptionIdentifier: 9 })
  })
}

uvu('the mqtt package resumes a session by its expiry interval', async () => {
  const session: IClientOptions = { clientId: 'node-5', clean: false, properties: { sessionExpiryInterval: 600 } }
  const first = await connect(session)
  await first.subscribeAsync('node/5', { qos: 2 })
  await first.endAsync()
  const publisher = await connect()
  await publisher.publishAsync('node/5', 'while away', { qos: 2 })
  const second = mqtt.connect({
    host: broker.host,
    port: broker.port,
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...session,
  })
  clients.add(second)
  const received = nextMessage(second)
  const present = new Promise((resolve) => second.once('connect', ({ sessionPresent }) => resolve(sessionPresent)))
  assert.is(await present, true)
  assert.is((await received).payload.toString(), 'while away')
})

uvu('the mqtt package sends and receives topic aliases', async () => {
  const taker = await connect({ properties: { topicAliasMaximum: 4 } })
  const sender = await connect({ properties: { topicAliasMaximum: 4 }, autoAssignTopicAlias: true })
  await taker.subscribeAsync('aliased/#', { qos: 1 })
  for (let n = 0; n < 50; n++) {
    const received = nextMessage(taker)
    await sender.publishAsync(`aliased/${n % 6}`, `${n}`, { qos: 1 })
    const { payload, topic } = await received
    assert.is(`${topic} ${payload.toString()}`, `aliased/${n % 6} ${n}`)
  }
})

const told = unlessMosquitto(uvu, '2.0.11 ends a connection that is taken over without a word')
told('the mqtt package reads why it was taken over: 0x8E', async () => {
  const first = await connect({ clientId: 'node-taken' })
  const reason = new Promise((resolve) => first.once('disconnect', ({ reasonCode }) => resolve(reasonCode)))
  await connect({ clientId: 'node-taken' })
  assert.is(await reason, 0x8e)
})

const pahoClient = async (options: Record<string, unknown>): Promise<PahoPeer> => {
  const peer = new PahoPeer()
  assert.is((await peer.connect(broker, { version: '5', ...options })).code, 0)
  return peer
}

paho('paho publishes and subscribes with QoS 0, 1 and 2 in MQTT 5, properties included', async () => {
  const subscriber = await pahoClient({ clientId: 'paho-5-subscriber' })
  const publisher = await pahoClient({ clientId: 'paho-5-publisher' })
  subscriber.do('subscribe5', { filter: 'paho5/#', options: { qos: 2 }, properties: { SubscriptionIdentifier: 3 } })
  assert.equal((await subscriber.expect('subscribed')).granted, [2])
  const pairs = [
    ['b', '1'],
    ['a', '2'],
    ['b', '3'],
  ]
  const properties = { ContentType: 'text/plain', ResponseTopic: 'answers', UserProperty: pairs }
  for (const qos of [0, 1, 2]) {
    publisher.do('publish', { topic: `paho5/${qos}`, payload: 'hello', qos, properties })
    await publisher.expect('published')
    const { event, ...message } = await subscriber.expect('message')
    assert.equal(message, {
      topic: `paho5/${qos}`,
      payload: 'hello',
      qos,
      retain: false,
      dup: false,
      properties: { ...properties, SubscriptionIdentifier: [3] },
    })
  }
})

paho('paho in MQTT 5: a retained will with properties after kill -9', async () => {
  const watcher = await pahoClient({ clientId: 'paho-5-watcher' })
  watcher.do('subscribe5', { filter: 'paho5-will', options: { qos: 1, retainAsPublished: true } })
  await watcher.expect('subscribed')
  const properties = { ContentType: 'text/plain', UserProperty: [['why', 'killed']] }
  const killed = await pahoClient({
    clientId: 'paho-5-killed',
    will: { topic: 'paho5-will', payload: 'offline', qos: 1, retain: true, properties },
  })
  killed.kill9()
  const told = await watcher.expect('message')
  assert.equal([told.payload, told.retain, told.properties], ['offline', true, properties])
})

paho('[MQTT-4.4.0-1] paho that died before its PUBACK gets the message again in MQTT 5, with DUP', async () => {
  const session = { clientId: 'paho-5-dying', clean: false, properties: { SessionExpiryInterval: 600 } }
  const dying = await pahoClient({ ...session, dieOnMessage: true })
  dying.do('subscribe5', { filter: 'paho5-dup', options: { qos: 1 } })
  await dying.expect('subscribed')
  const publisher = await pahoClient({ clientId: 'paho-5-publisher' })
  publisher.do('publish', { topic: 'paho5-dup', payload: 'again', qos: 1 })
  assert.is((await dying.expect('message')).dup, false)
  const back = new PahoPeer()
  assert.is((await back.connect(broker, { version: '5', ...session })).present, 1)
  const again = await back.expect('message')
  assert.equal([again.payload, again.dup], ['again', true])
})

uvu.run()
