// Real MQTT 5 clients against the broker: the mqtt package, python3-paho-mqtt, mosquitto_pub, mosquitto_sub and
// mosquitto_rr, with what their users would use of the protocol.
import mqtt, { type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import {
  closePeers,
  messagesOf,
  mosquittoPub,
  mosquittoSub,
  PahoPeer,
  PeerProcess,
  withPeer,
} from '../support/peers.ts'
import { unlessMosquitto } from '../support/target.ts'

const broker = await startBroker()
const clients = new Set<MqttClient>()
test.after.each(() => {
  for (const client of clients) client.end(true)
  clients.clear()
  closePeers()
})
test.after(() => broker.stopCleanly())

// ── the mqtt package ─────────────────────────────────────────────────────────────────────────────────────────────────

const connect = async (options: IClientOptions = {}): Promise<MqttClient & { connack: IConnackPacket }> => {
  const { host, port } = broker
  const client = mqtt.connect({ host, port, protocolVersion: 5, reconnectPeriod: 0, ...options })
  clients.add(client)
  const connack = await new Promise<IConnackPacket>((resolve, reject) => {
    client.once('connect', resolve)
    client.once('error', reject)
  })
  return Object.assign(client, { connack })
}

/** The next `count` messages; call before they can arrive. */
const messages = (client: MqttClient, count: number): Promise<IPublishPacket[]> =>
  new Promise((resolve, reject) => {
    const received: IPublishPacket[] = []
    const timer = setTimeout(() => reject(new Error(`${received.length} of ${count} messages`)), 15_000)
    client.on('message', (_topic, _payload, packet) => {
      received.push(packet)
      if (received.length < count) return
      clearTimeout(timer)
      resolve(received)
    })
  })

for (const qos of [0, 1, 2] as const) {
  test(`the mqtt package with QoS ${qos}: properties go and come`, async () => {
    const [subscriber, publisher] = [await connect(), await connect()]
    await subscriber.subscribeAsync('five/+', { qos, properties: { subscriptionIdentifier: 42 } })
    const received = messages(subscriber, 1)
    const properties = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 300,
      contentType: 'text/plain',
      responseTopic: 'answer/here',
      correlationData: Buffer.from([1, 2, 3]),
      userProperties: { b: ['2', '1'], a: '0' },
    }
    await publisher.publishAsync('five/x', 'hello', { qos, properties })
    const [message] = await received
    assert.is(message!.payload.toString(), 'hello')
    assert.is(message!.qos, qos)
    const { userProperties, subscriptionIdentifier, ...told } = message!.properties!
    const { userProperties: wanted, ...rest } = properties
    assert.equal(told, rest)
    assert.equal({ ...userProperties }, wanted)
    assert.is(subscriptionIdentifier, 42)
  })
}

test('the mqtt package with aliases of its own and of the broker, a thousand messages complete and in order', async () => {
  const subscriber = await connect({ properties: { topicAliasMaximum: 10 } })
  const publisher = await connect({ autoUseTopicAlias: true, autoAssignTopicAlias: true })
  assert.ok(publisher.connack.properties!.topicAliasMaximum! > 0)
  await subscriber.subscribeAsync('alias/#', { qos: 1 })
  const received = messages(subscriber, 1000)
  const send = (n: number) => publisher.publishAsync(`alias/${n % 20}`, `${n}`, { qos: n % 2 === 0 ? 0 : 1 })
  await Promise.all(Array.from({ length: 1000 }, (_, n) => send(n)))
  // Order holds for one topic and QoS [MQTT-4.6.0-5].
  const next = new Map<number, number>()
  for (const { topic, payload } of await received) {
    const n = Number(payload.toString())
    assert.ok(topic === '' || topic === `alias/${n % 20}`, topic)
    assert.is(n, next.get(n % 20) ?? n % 20)
    next.set(n % 20, n + 20)
  }
})

test('the mqtt package with a Receive Maximum of 3 receives all, and hears codes for what it may not do', async () => {
  const subscriber = await connect({ properties: { receiveMaximum: 3 } })
  const publisher = await connect()
  await subscriber.subscribeAsync('window', { qos: 2 })
  const received = messages(subscriber, 100)
  for (let n = 0; n < 100; n++) void publisher.publishAsync('window', `${n}`, { qos: n % 2 === 0 ? 1 : 2 })
  assert.is((await received).length, 100)
  const refused = new Promise<number | undefined>((resolve) =>
    subscriber.once('disconnect', ({ reasonCode }) => resolve(reasonCode)),
  )
  subscriber.publish('$SYS/not/yours/+', 'x')
  assert.ok([0x90, 0x87].includes((await refused)!))
})

test('the mqtt package resumes its session, and its delayed will is not sent meanwhile', async () => {
  const watcher = await connect()
  await watcher.subscribeAsync(['five/will', 'five/after'], { qos: 1 })
  const options: IClientOptions = {
    clientId: 'five-session',
    clean: false,
    properties: { sessionExpiryInterval: 3600 },
    will: {
      topic: 'five/will',
      payload: Buffer.from('gone'),
      qos: 1,
      retain: false,
      properties: { willDelayInterval: 60 },
    },
  }
  const first = await connect(options)
  assert.is(first.connack.sessionPresent, false)
  await first.subscribeAsync('five/queue', { qos: 1 })
  first.stream.destroy()
  await watcher.publishAsync('five/queue', 'queued', { qos: 1 })
  const seen = messages(watcher, 1)
  const second = mqtt.connect({
    host: broker.host,
    port: broker.port,
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options,
  })
  clients.add(second)
  assert.is((await messages(second, 1))[0]!.payload.toString(), 'queued')
  await second.publishAsync('five/after', 'x', { qos: 1 })
  assert.is((await seen)[0]!.topic, 'five/after')
})

unlessMosquitto(test, '2.0.11 ends a connection that is taken over without a word')(
  'the mqtt package reads why it was taken over: 0x8E',
  async () => {
    const first = await connect({ clientId: 'five-taken' })
    const reason = new Promise((resolve) => first.once('disconnect', ({ reasonCode }) => resolve(reasonCode)))
    await connect({ clientId: 'five-taken' })
    assert.is(await reason, 0x8e)
  },
)

// ── paho ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const withPaho = withPeer(test, 'paho')

withPaho('paho with MQTT 5: properties, options, a shared subscription and a will with its properties', async () => {
  const subscriber = new PahoPeer()
  const connected = await subscriber.connect(broker, {
    clientId: 'paho-5',
    version: '5',
    properties: { SessionExpiryInterval: 60, ReceiveMaximum: 5, TopicAliasMaximum: 4, RequestResponseInformation: 1 },
  })
  assert.is(connected.code, 0)
  assert.is((connected.properties as Record<string, unknown>).ReceiveMaximum, 256)
  subscriber.do('subscribe', {
    filters: [['paho5/#', 2]],
    options: { noLocal: true, retainAsPublished: true },
    properties: { SubscriptionIdentifier: 7 },
  })
  assert.equal((await subscriber.expect('subscribed')).granted, [2])
  const user = [
    ['b', '1'],
    ['a', '2'],
    ['b', '3'],
  ]
  const properties = { UserProperty: user, ContentType: 'text', CorrelationData: 'corr', ResponseTopic: 'r' }
  const mortal = new PahoPeer()
  const will = {
    topic: 'paho5/will',
    payload: 'gone',
    qos: 1,
    properties: { UserProperty: user, WillDelayInterval: 0 },
  }
  assert.is((await mortal.connect(broker, { clientId: 'paho-mortal', version: '5', will })).code, 0)
  for (const qos of [0, 1, 2]) {
    mortal.do('publish', { topic: `paho5/${qos}`, payload: 'hello', qos, retain: qos === 2, properties })
    await mortal.expect('published')
    const { event, properties: told, ...message } = await subscriber.expect('message')
    assert.equal(message, { topic: `paho5/${qos}`, payload: 'hello', qos, retain: qos === 2, dup: false })
    const { SubscriptionIdentifier, TopicAlias, ...rest } = told as Record<string, unknown>
    assert.equal(SubscriptionIdentifier, [7])
    assert.equal(rest, properties)
  }
  mortal.kill9()
  const gone = await subscriber.expect('message')
  assert.is(gone.topic, 'paho5/will')
  assert.equal((gone.properties as Record<string, unknown>).UserProperty, user)
  const members = [new PahoPeer(), new PahoPeer()]
  for (const [n, member] of members.entries()) {
    await member.connect(broker, { clientId: `paho-member-${n}`, version: '5' })
    member.do('subscribe', { filters: [['$share/paho/work', 1]] })
    await member.expect('subscribed')
  }
  for (let n = 0; n < 4; n++) {
    subscriber.do('publish', { topic: 'work', payload: `${n}`, qos: 1 })
    await subscriber.expect('published')
  }
  for (const member of members) for (let n = 0; n < 2; n++) assert.is((await member.expect('message')).topic, 'work')
})

withPaho('[MQTT-4.4.0-1] paho that died before its PUBACK gets the message again with DUP', async () => {
  const session = { clientId: 'paho-5-dying', version: '5', clean: false, properties: { SessionExpiryInterval: 600 } }
  const dying = new PahoPeer()
  await dying.connect(broker, { ...session, dieOnMessage: true })
  dying.do('subscribe', { filters: [['paho5-dup', 1]] })
  await dying.expect('subscribed')
  const publisher = new PahoPeer()
  await publisher.connect(broker, { clientId: 'paho-5-publisher', version: '5' })
  publisher.do('publish', { topic: 'paho5-dup', payload: 'again', qos: 1 })
  assert.is((await dying.expect('message')).dup, false)
  const back = new PahoPeer()
  assert.is((await back.connect(broker, session)).present, 1)
  const again = await back.expect('message')
  assert.equal([again.payload, again.dup], ['again', true])
})

// ── mosquitto's clients ──────────────────────────────────────────────────────────────────────────────────────────────

const withMosquitto = withPeer(test, 'mosquitto_pub')
const five = ['-V', 'mqttv5']

for (const qos of ['0', '1', '2']) {
  withMosquitto(`mosquitto_pub -V mqttv5 -D … with QoS ${qos} reaches mosquitto_sub with every property`, async () => {
    const format = ['-F', '= %t %q %p|%C|%R|%D|%F|%P|%E|%S']
    const id = ['-D', 'subscribe', 'subscription-identifier', '99']
    const subscriber = await mosquittoSub(broker, [...five, '-t', 'm5/#', '-q', qos, ...id, ...format])
    const property = (name: string, ...values: string[]) => ['-D', 'publish', name, ...values]
    await mosquittoPub(broker, [
      ...[...five, '-t', 'm5/x', '-m', 'hello', '-q', qos],
      ...property('content-type', 'text/plain'),
      ...property('response-topic', 'm5/answer'),
      ...property('correlation-data', 'corr'),
      ...property('payload-format-indicator', '1'),
      ...property('user-property', 'b', '1'),
      ...property('user-property', 'a', '2'),
      ...property('message-expiry-interval', '500'),
    ])
    assert.equal(await messagesOf(subscriber, 1), [`m5/x ${qos} hello|text/plain|m5/answer|corr|1|b:1 a:2|500|99`])
  })
}

withMosquitto('mosquitto_sub -V mqttv5 -c with a session expiry gets what came while it was away', async () => {
  const session = [...five, '-c', '-i', 'm5-away', '-x', '3600', '-t', 'm5away', '-q', '1']
  const first = await mosquittoSub(broker, session)
  first.terminate()
  await first.exit()
  await mosquittoPub(broker, [...five, '-t', 'm5away', '-m', 'queued', '-q', '1'])
  assert.equal(await messagesOf(await mosquittoSub(broker, session), 1), ['m5away 1 0 queued'])
})

withMosquitto('mosquitto_sub --retain-as-published sees the RETAIN flag of live messages too', async () => {
  await mosquittoPub(broker, [...five, '-t', 'm5r', '-m', 'kept', '-r', '-q', '1'])
  const subscriber = await mosquittoSub(broker, [...five, '-t', 'm5r', '-q', '1', '--retain-as-published'])
  assert.equal(await messagesOf(subscriber, 1), ['m5r 1 1 kept'])
  await mosquittoPub(broker, [...five, '-t', 'm5r', '-m', 'live', '-r', '-q', '1'])
  assert.equal(await messagesOf(subscriber, 2), ['m5r 1 1 kept', 'm5r 1 1 live'])
})

withMosquitto('two mosquitto_sub of a shared subscription divide the messages between them', async () => {
  const workers = []
  for (let n = 0; n < 2; n++) workers.push(await mosquittoSub(broker, [...five, '-t', '$share/m5/work', '-q', '1']))
  await mosquittoPub(broker, [...five, '-t', 'work', '-l', '-q', '1'], '0\n1\n2\n3\n')
  const got = [...(await messagesOf(workers[0]!, 2)), ...(await messagesOf(workers[1]!, 2))]
  assert.equal(got.sort(), ['work 1 0 0', 'work 1 0 1', 'work 1 0 2', 'work 1 0 3'])
})

withMosquitto('mosquitto_rr: a request is answered with its correlation data, to its response topic', async () => {
  const server = await connect()
  await server.subscribeAsync('request', { qos: 1 })
  server.on('message', (_topic, payload, { properties }) => {
    const { responseTopic, correlationData } = properties!
    server.publish(responseTopic!, `answer to ${payload}`, {
      qos: 1,
      properties: { correlationData: correlationData! },
    })
  })
  const address = ['-h', broker.host, '-p', `${broker.port}`]
  const request = ['-t', 'request', '-e', 'm5/response', '-m', 'question', '-q', '1', '-W', '10']
  const correlation = ['-D', 'publish', 'correlation-data', 'c-1', '-F', '= %p %D']
  const client = new PeerProcess('mosquitto_rr', [...address, ...five, ...request, ...correlation])
  assert.is(await client.exit(), 0)
  assert.equal(
    client.lines.filter((line) => line.startsWith('= ')),
    ['= answer to question c-1'],
  )
})

test.run()
