// Shared subscriptions: one member gets each message, in turn among those who can take it; what nobody can take waits once
// for the whole group; what was not acknowledged comes back.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, type EmbeddedBroker, listen } from '../support/embedded.ts'
import type { QoS } from '../support/packets.ts'
import { answer5, Client5, options, p, publish5, subscribe5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'

test.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const lasting = [p.sessionExpiry(1000)]
const group = '$share/g/t'

const member = async (broker: EmbeddedBroker, clientId: string, qos: QoS = 1, also: Uint8Array[] = []) => {
  const client = await Client5.connect(broker, { clientId, clean: false, properties: [...lasting, ...also] })
  if (!client.present) await client.subscribe([], [group, qos])
  return client
}

const publishing = async (broker: EmbeddedBroker) => {
  const publisher = await Client5.connect(broker, { clientId: 'publisher' })
  return (text: string, qos: QoS = 1) => publisher.publish({ topic: 't', payload: text, qos })
}

for (const qos of [0, 1, 2] as const) {
  test(`[MQTT-4.8.2-1] QoS ${qos}: each message goes to one member, and all have their share`, async () => {
    const broker = await listen()
    const publish = await publishing(broker)
    const members = [await member(broker, 'a', qos), await member(broker, 'b', qos), await member(broker, 'c', qos)]
    for (let n = 0; n < 30; n++) await publish(`${n}`, qos)
    const texts = new Set<string>()
    for (const each of members) {
      for (let n = 0; n < 10; n++) texts.add((await each.receive({ qos })).text)
      await each.expectNothing()
    }
    assert.is(texts.size, 30)
  })
}

test('two groups and a plain subscription get a copy each, with their own identifier', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const client = await Client5.connect(broker, { clientId: 'c' })
  await client.subscribe([p.subscriptionId(1)], ['$share/one/t', 1])
  await client.subscribe([p.subscriptionId(2)], ['$share/two/t', 0])
  await client.subscribe([p.subscriptionId(3)], ['t', 2])
  await publish('x', 2)
  const got = [await client.receive(), await client.receive(), await client.receive()]
  assert.equal(got.map(({ qos, properties }) => `${qos} ${properties}`).sort(), [
    '0 subscriptionId 2',
    '1 subscriptionId 1',
    '2 subscriptionId 3',
  ])
  await client.expectNothing()
})

test('a member whose window is full is passed over, and nothing is lost when all are full', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const slow = await member(broker, 'slow', 1, [p.receiveMaximum(1)])
  const quick = await member(broker, 'quick', 1, [p.receiveMaximum(2)])
  for (let n = 0; n < 9; n++) await publish(`${n}`)
  const held = await slow.message()
  const got = [held.text]
  for (let n = 0; n < 8; n++) got.push((await quick.receive()).text)
  await slow.expectNothing()
  assert.is(new Set(got).size, 9)
  slow.raw.send(answer5('PUBACK', held.id))
  await publish('more')
  await publish('and more')
  assert.equal([(await slow.receive()).text, (await quick.receive()).text].sort(), ['and more', 'more'])
})

test('an offline member gets nothing while one is online', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const away = await member(broker, 'away')
  await away.leave()
  const here = await member(broker, 'here')
  for (let n = 0; n < 10; n++) await publish(`${n}`)
  for (let n = 0; n < 10; n++) await here.receive({ text: `${n}` })
  await (await member(broker, 'away')).expectNothing()
})

test('a group that is wholly offline queues once, and who comes first gets all, in order', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  for (const clientId of ['a', 'b', 'c']) await (await member(broker, clientId)).leave()
  await publish('lost', 0)
  for (let n = 0; n < 10; n++) await publish(`${n}`)
  assert.is(broker.broker.counters.messagesQueued, 10)
  const first = await member(broker, 'b')
  for (let n = 0; n < 10; n++) await first.receive({ text: `${n}` })
  await (await member(broker, 'a')).expectNothing()
  assert.is(broker.broker.counters.messagesQueued, 0)
})

test('the queue of a group dies with its last member, and not before', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  for (const clientId of ['a', 'b']) await (await member(broker, clientId)).leave()
  await publish('x')
  await (await Client5.connect(broker, { clientId: 'a', clean: true })).leave()
  assert.is(broker.broker.counters.messagesQueued, 1)
  await (await Client5.connect(broker, { clientId: 'b', clean: true })).leave()
  assert.is(broker.broker.counters.messagesQueued, 0)
  await (await member(broker, 'c')).expectNothing()
})

test('[MQTT-4.8.2-4] QoS 1 that was not acknowledged goes to another member when the connection ends', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const a = await member(broker, 'a')
  for (let n = 0; n < 5; n++) await publish(`${n}`)
  const got = await a.messages(5)
  a.raw.send(answer5('PUBACK', got[1]!.id))
  await a.settled()
  const b = await member(broker, 'b')
  await a.lose()
  for (const text of ['0', '2', '3', '4']) await b.receive({ text, qos: 1 })
  await b.expectNothing()
  await (await member(broker, 'a')).expectNothing()
})

test('[MQTT-4.8.2-4] without another member it waits for the group, before what came later', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const a = await member(broker, 'a')
  await publish('first')
  await a.message({ text: 'first' })
  await a.lose()
  await publish('second')
  const back = await member(broker, 'a')
  await back.receive({ text: 'first' })
  await back.receive({ text: 'second' })
})

test('[MQTT-4.8.2-5] QoS 2 in flight stays with its member, and dies with its session', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const a = await member(broker, 'a', 2)
  const b = await member(broker, 'b', 2)
  await publish('0', 2)
  await publish('1', 2)
  const { text } = await a.message({ qos: 2 })
  await b.receive({ qos: 2 })
  await a.lose()
  await b.expectNothing()
  const back = await member(broker, 'a', 2)
  await back.message({ text, qos: 2, dup: true })
  await (await Client5.connect(broker, { clientId: 'a', clean: true })).expectNothing()
  await b.expectNothing()
})

for (const [qos, type] of [
  [1, 'PUBACK'],
  [2, 'PUBREC'],
] as const) {
  test(`[MQTT-4.8.2-6] QoS ${qos}: what a member refuses with ${type} 0x80 is discarded`, async () => {
    const broker = await listen()
    const publish = await publishing(broker)
    const a = await member(broker, 'a', qos)
    await publish('refused', qos)
    const { id } = await a.message()
    const b = await member(broker, 'b', qos)
    a.raw.send(answer5(type, id, 0x80))
    await a.settled()
    await a.lose()
    await b.expectNothing()
    await publish('next', qos)
    await b.receive({ text: 'next' })
  })
}

test('[MQTT-3.8.3-4] no local is a protocol error; retained messages are not sent; malformed shares end the connection', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  await publisher.publish({ topic: 't', payload: 'kept', qos: 1, retain: true })
  const a = await member(broker, 'a')
  await a.expectNothing()
  await publish('live')
  await a.receive({ text: 'live', retain: false })
  a.raw.send(subscribe5(1, [], ['$share/g/u', options(1, { noLocal: true })]))
  await a.disconnected(0x82)
  for (const filter of ['$share//t', '$share/g', '$share/g/', '$share/+/t', '$share/a#/t']) {
    const client = await Client5.connect(broker, { clientId: 'x' })
    client.raw.send(subscribe5(1, [], [filter, 1]))
    await client.disconnected(0x8f)
  }
})

test('members of three versions share: v3 clients are members too', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const five = await member(broker, 'five')
  const four = await RawClient.connect(broker, { clientId: 'four' })
  const three = await RawClient.connect(broker, { clientId: 'three', version: '3.1' })
  for (const each of [four, three]) await each.subscribe([group, 1])
  for (let n = 0; n < 9; n++) await publish(`${n}`)
  for (const each of [four, three]) assert.is((await each.receive(3)).length, 3)
  for (let n = 0; n < 3; n++) await five.receive()
})

test('a member that leaves the group with UNSUBSCRIBE gets nothing more; its unacknowledged ones stay its own', async () => {
  const broker = await listen()
  const publish = await publishing(broker)
  const a = await member(broker, 'a')
  await publish('in flight')
  const { id } = await a.message({ text: 'in flight' })
  a.raw.send(Buffer.concat([Buffer.from([0xa2, 5 + group.length, 0, 9, 0, 0, group.length]), Buffer.from(group)]))
  await a.raw.expect('b0 04 00 09 00 00')
  await publish('nobody')
  await a.expectNothing()
  a.raw.send(answer5('PUBACK', id))
  await a.lose()
  await (await member(broker, 'b')).expectNothing()
})

test('the order of a burst is kept for a single member, however it is queued', async () => {
  const broker = await listen()
  const publisher = await Client5.connect(broker, { clientId: 'p' })
  const a = await member(broker, 'a', 1, [p.receiveMaximum(3)])
  for (let n = 0; n < 100; n++) publisher.raw.send(publish5({ topic: 't', payload: `${n}`, qos: 1, id: n + 1 }))
  for (let n = 0; n < 100; n++) await a.receive({ text: `${n}` })
})

test.run()
