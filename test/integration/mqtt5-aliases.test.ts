// Topic aliases both ways: what a client may set, and what the broker sets for it, which a client of this test follows
// strictly: an alias it was never told, a number over its maximum, or an empty topic without alias is a failure.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { connect, publish, type QoS } from '../support/packets.ts'
import { Client5, p, publish5, type Received5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

/** Resolves the aliases of one connection as a strict client does. */
class Aliases {
  readonly known = new Map<number, string>()
  readonly maximum: number
  /** Packets that came without their topic. */
  saved = 0

  constructor(maximum: number) {
    this.maximum = maximum
  }

  topicOf(message: Received5): string {
    const told = message.properties.filter((text) => text.startsWith('topicAlias '))
    if (told.length === 0) {
      assert.is.not(message.topic, '', 'an empty topic without an alias')
      return message.topic
    }
    assert.is(told.length, 1)
    const alias = Number(told[0]!.slice('topicAlias '.length))
    assert.ok(alias > 0 && alias <= this.maximum, `alias ${alias} of ${this.maximum}`)
    if (message.topic !== '') {
      this.known.set(alias, message.topic)
      return message.topic
    }
    this.saved++
    const topic = this.known.get(alias)
    if (topic === undefined) throw new Error(`alias ${alias} was never set`)
    return topic
  }
}

test('[MQTT-3.3.2-7] [MQTT-3.3.2-10] a client sets, uses and changes aliases, each connection its own', async () => {
  const broker = await listen({ maxTopicAlias: 2 })
  const receiver = await Client5.connect(broker, { clientId: 'r' })
  await receiver.subscribe([], ['#', 0])
  const a = await Client5.connect(broker, { clientId: 'a' })
  const b = await Client5.connect(broker, { clientId: 'b' })
  assert.ok(a.properties.includes('topicAliasMaximum 2'))
  const say = (client: Client5, topic: string, alias: number, payload: string) =>
    client.publish({ topic, payload, properties: [p.topicAlias(alias)] })
  await say(a, 'one', 1, '1')
  await say(b, 'other', 1, '2')
  await say(a, '', 1, '3')
  await say(b, '', 1, '4')
  await say(a, 'two', 2, '5')
  await say(a, 'three', 1, '6')
  await say(a, '', 1, '7')
  await say(a, '', 2, '8')
  const arrived = await receiver.messages(8)
  assert.equal(
    arrived.map(({ topic, text }) => `${text} ${topic}`),
    ['1 one', '2 other', '3 one', '4 other', '5 two', '6 three', '7 three', '8 two'],
  )
  assert.ok(arrived.every(({ properties }) => properties.length === 0))
})

for (const [what, bytes, code] of [
  ['an alias over the maximum', publish5({ topic: 't', payload: '', properties: [p.topicAlias(3)] }), 0x94],
  ['alias 0', publish5({ topic: 't', payload: '', properties: [p.topicAlias(0)] }), 0x94],
  ['an alias never set', publish5({ topic: '', payload: '', properties: [p.topicAlias(1)] }), 0x82],
  ['an empty topic without alias', publish5({ topic: '', payload: '' }), 0x82],
] as const) {
  test(`[MQTT-3.3.2-8] ${what} ends the connection with 0x${code.toString(16)}`, async () => {
    const broker = await listen({ maxTopicAlias: 2 })
    const client = await Client5.connect(broker, { clientId: 'c' })
    client.raw.send(bytes)
    await client.disconnected(code)
  })
}

test('[MQTT-3.3.2-7] the aliases a client set are gone with its connection, its session may live on', async () => {
  const broker = await listen()
  const session = [p.sessionExpiry(100)]
  const first = await Client5.connect(broker, { clientId: 'c', properties: session })
  await first.publish({ topic: 't', payload: '', properties: [p.topicAlias(1)] })
  await first.leave()
  const second = await Client5.connect(broker, { clientId: 'c', clean: false, properties: session })
  assert.ok(second.present)
  second.raw.send(publish5({ topic: '', payload: '', properties: [p.topicAlias(1)] }))
  await second.disconnected(0x82)
})

test('[MQTT-3.1.2-26] [MQTT-3.1.2-27] the broker sets no alias for a client that takes none', async () => {
  const broker = await listen()
  const client = await Client5.connect(broker, { clientId: 'c' })
  await client.subscribe([], ['t', 1])
  for (let n = 0; n < 10; n++) client.raw.send(publish5({ topic: 't', payload: 'x' }))
  for (const { topic, properties } of await client.messages(10)) assert.equal([topic, ...properties], ['t'])
})

for (const qos of [0, 1, 2] as const) {
  test(`[MQTT-3.1.2-26] QoS ${qos}: more frequent topics than aliases; every message finds its topic`, async () => {
    const broker = await listen()
    const publisher = await Client5.connect(broker, { clientId: 'p' })
    const receiver = await Client5.connect(broker, { clientId: 'r', properties: [p.topicAliasMaximum(3)] })
    await receiver.subscribe([], ['topic/#', qos])
    const aliases = new Aliases(3)
    for (let round = 0; round < 60; round++) {
      const topic = `topic/${(round * round) % 11}`
      await publisher.publish({ topic, payload: topic, qos, properties: [p.user('round', `${round}`)] })
      const message = await receiver.receive({ qos })
      assert.is(aliases.topicOf(message), topic)
      assert.is(message.text, topic)
      assert.is(message.properties[0], `user round=${round}`)
    }
    assert.ok(aliases.saved > 0, 'no alias was ever used')
    assert.ok(aliases.known.size <= 3)
  })
}

test('max_topic_alias_broker 0: none are set, whatever the client takes', async () => {
  const broker = await listen({ maxTopicAliasBroker: 0 })
  const client = await Client5.connect(broker, { clientId: 'c', properties: [p.topicAliasMaximum(100)] })
  await client.subscribe([], ['t', 1])
  for (let n = 0; n < 10; n++) client.raw.send(publish5({ topic: 't', payload: 'x' }))
  for (const { topic, properties } of await client.messages(10)) assert.equal([topic, ...properties], ['t'])
})

test('a resumed session: queued and resent messages carry their topic, new aliases are set anew', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const properties = [p.sessionExpiry(100), p.topicAliasMaximum(5)]
  let receiver = await Client5.connect(broker, { clientId: 'r', properties })
  await receiver.subscribe([], ['t', 1])
  for (let connection = 0; connection < 3; connection++) {
    const aliases = new Aliases(5)
    const live = async (text: string, qos: QoS) => {
      await publisher.publish({ topic: 't', payload: text, qos })
      assert.is(aliases.topicOf(await receiver.receive({ text })), 't')
    }
    for (let n = 0; n < 5; n++) await live(`live ${n}`, n % 2 === 0 ? 0 : 1)
    await publisher.publish({ topic: 't', payload: 'in flight', qos: 1 })
    assert.is(aliases.topicOf(await receiver.message({ text: 'in flight' })), 't')
    await receiver.lose()
    await publisher.publish({ topic: 't', payload: 'queued', qos: 1 })
    receiver = await Client5.connect(broker, { clientId: 'r', clean: false, properties })
    await receiver.receive({ text: 'in flight', topic: 't', dup: true })
    await receiver.receive({ text: 'queued', topic: 't' })
  }
})

test('a client that reads too slowly misses QoS 0 messages, but never the one that sets an alias', async () => {
  const broker = await listen({ outputLimit: 1024, outputHighWater: 512, outputLowWater: 256 })
  const publisher = await RawClient.dial(broker, connect({ clientId: 'p' }))
  await publisher.expect('20 02 00 00')
  const receiver = await Client5.connect(broker, { clientId: 'r', properties: [p.topicAliasMaximum(8)] })
  await receiver.subscribe([], ['t/#', 0])
  receiver.raw.pause()
  const payload = 'x'.repeat(20_000)
  for (let n = 0; broker.broker.counters.droppedOutputFull < 50; n++) {
    publisher.send(publish({ topic: `t/${n % 4}`, payload: `${payload} ${n % 4}` }))
    if (n % 8 === 0) await publisher.settled()
    assert.ok(n < 20_000, 'nothing was left out')
  }
  // New topics while its output is full: aliases are set by packets that must not be left out.
  for (let n = 0; n < 40; n++) publisher.send(publish({ topic: `t/new/${n % 4}`, payload: `y new/${n % 4}` }))
  await publisher.settled()
  receiver.raw.resume()
  publisher.send(publish({ topic: 't/end', payload: 'end end' }))
  await publisher.settled()
  const aliases = new Aliases(8)
  let last = ''
  // The end itself may be left out: it is said until it is heard.
  const again = setInterval(() => publisher.send(publish({ topic: 't/end', payload: 'end end' })), 20)
  try {
    while (last !== 'end end') {
      const message = await receiver.message()
      last = message.text
      assert.is(aliases.topicOf(message), `t/${last.split(' ')[1]}`)
    }
  } finally {
    clearInterval(again)
  }
})

test.run()
