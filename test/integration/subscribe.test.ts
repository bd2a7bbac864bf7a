// Subscriptions as seen from outside: which messages reach whom, with which QoS, and how SUBSCRIBE and UNSUBSCRIBE are
// answered. Retained messages are in retained.test.ts, invalid filters in malformed.test.ts.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { publish, subscribe, unsubscribe } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { unlessMosquitto } from '../support/target.ts'

// The order of messages is tested with clients that take each other's place, over and over.
const broker = await startBroker({ settings: { takeover_delay: 0 } })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const connect = (clientId: string) => RawClient.connect(broker, { clientId })

test('[MQTT-3.8.4-1] SUBSCRIBE is answered with SUBACK, [MQTT-3.8.4-2] with its packet id', async () => {
  const client = await connect('s')
  client.send('82 06 12 34 00 01 61 01')
  await client.expect('90 03 12 34 01')
})

test('[MQTT-3.8.4-5] a SUBACK has one return code for each filter, in order', async () => {
  const client = await connect('s')
  client.send(subscribe(7, ['a', 0], ['b/+', 1], ['c/#', 2], ['a', 1]))
  await client.expect('90 06 00 07 00 01 02 01')
})

test('[MQTT-3.10.4-4] UNSUBSCRIBE is answered with UNSUBACK, [MQTT-3.10.4-5] even where nothing was subscribed', async () => {
  const client = await connect('s')
  client.send(unsubscribe(0xfffe, 'never', 'subscribed/+'))
  await client.expect('b0 02 ff fe')
})

test('[MQTT-3.10.4-2] after UNSUBSCRIBE nothing more is sent for the filter', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['u/a', 0], ['u/b', 0])
  await subscriber.unsubscribe('u/a')
  await publisher.publish({ topic: 'u/a', payload: '1' })
  await publisher.publish({ topic: 'u/b', payload: '2' })
  await subscriber.expectPublish({ topic: 'u/b' })
  await subscriber.expectNothing()
})

test('[MQTT-3.10.4-1] UNSUBSCRIBE compares filters character by character', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['c/+', 0])
  await subscriber.unsubscribe('c/#', 'c/x', 'C/+', 'c/+/')
  await publisher.publish({ topic: 'c/x', payload: '1' })
  await subscriber.expectPublish({ topic: 'c/x' })
})

test('[MQTT-3.10.4-6] UNSUBSCRIBE of several filters removes each and is answered once', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['m/a', 0], ['m/b', 0], ['m/c', 0])
  await subscriber.unsubscribe('m/a', 'm/b', 'm/c')
  for (const topic of ['m/a', 'm/b', 'm/c']) await publisher.publish({ topic, payload: 'x' })
  await subscriber.expectNothing()
})

const matches: [filter: string, topics: string[], others: string[]][] = [
  ['sport/tennis', ['sport/tennis'], ['sport', 'sport/tennis/x', '/sport/tennis', 'Sport/tennis', 'sport/tennis/']],
  ['sport/+', ['sport/a', 'sport/'], ['sport', 'sport/a/b', 'sports/a']],
  ['sport/#', ['sport', 'sport/', 'sport/a', 'sport/a/b/c'], ['sports', 'spor', '/sport']],
  ['+/+', ['/finance', 'a/b', '/'], ['a', 'a/b/c']],
  ['/+', ['/finance', '/'], ['finance', '/a/b']],
  ['+', ['a', ' '], ['/a', 'a/', '$a']],
  ['#', ['a', '/', 'a/b/c', '/a'], ['$a', '$a/b']],
  ['+/monitor/#', ['a/monitor', 'b/monitor/x/y'], ['$a/monitor', 'a/b/monitor']],
  ['$a/#', ['$a', '$a/b'], ['a', '$b/a']],
  ['$a/+', ['$a/b'], ['$a', 'x/b']],
  ['a//b', ['a//b'], ['a/b', 'a/x/b']],
  ['a/+/b', ['a//b', 'a/x/b'], ['a/b', 'a/x/y/b']],
  ['/', ['/'], ['//', 'a']],
  ['a/b/', ['a/b/'], ['a/b', 'a/b/c']],
  ['\u00e9', ['\u00e9'], ['e\u0301']],
  ['\ufeffa', ['\ufeffa'], ['a']],
  ['+/x/#', ['a/x', 'a/x/y', '/x'], ['a/y/x']],
]

for (const [filter, topics, others] of matches) {
  test(`[MQTT-4.7.1-2] [MQTT-4.7.2-1] the filter ${filter} gets ${topics.length} topics and not ${others.length} others`, async () => {
    const [subscriber, publisher] = [await connect('s'), await connect('p')]
    await subscriber.subscribe([filter, 0])
    // Twice, because a topic may be routed another way the first time it is seen.
    for (const topic of [...others, ...topics, ...others, ...topics]) {
      publisher.send(publish({ topic, payload: topic }))
    }
    await publisher.settled()
    for (const topic of [...topics, ...topics]) await subscriber.expectPublish({ topic, text: topic })
    await subscriber.expectNothing()
  })
}

const highest = unlessMosquitto(test, 'with one copy, the first matching subscription decides the QoS')
highest('[MQTT-3.3.5-1] overlapping subscriptions get one copy, with the highest QoS of them', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['o/#', 0], ['o/+', 2], ['o/x', 1], ['+/x', 0])
  await publisher.publish({ topic: 'o/x', payload: '1', qos: 2 })
  const received = await subscriber.expectPublish({ topic: 'o/x', qos: 2 })
  assert.ok(received.id > 0)
  await subscriber.expectNothing()
  await subscriber.unsubscribe('o/+')
  await publisher.publish({ topic: 'o/x', payload: '2', qos: 2 })
  await subscriber.expectPublish({ topic: 'o/x', qos: 1, text: '2' })
  await subscriber.expectNothing()
})

test('[MQTT-3.8.4-3] the same filter again replaces the subscription and its QoS', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['r/+', 2])
  await subscriber.subscribe(['r/+', 0])
  await publisher.publish({ topic: 'r/x', payload: '1', qos: 1 })
  await subscriber.expectPublish({ topic: 'r/x', qos: 0 })
  await subscriber.subscribe(['r/+', 1])
  await publisher.publish({ topic: 'r/x', payload: '2', qos: 1 })
  await subscriber.expectPublish({ topic: 'r/x', qos: 1, text: '2' })
  await subscriber.expectNothing()
  await subscriber.unsubscribe('r/+')
  await publisher.publish({ topic: 'r/x', payload: '3', qos: 1 })
  await subscriber.expectNothing()
})

for (const published of [0, 1, 2] as const) {
  for (const subscribed of [0, 1, 2] as const) {
    const qos = Math.min(published, subscribed)
    test(`[MQTT-3.8.4-6] published with QoS ${published}, subscribed with ${subscribed}: delivered with ${qos}`, async () => {
      const [subscriber, publisher] = [await connect('s'), await connect('p')]
      await subscriber.subscribe(['q/x', subscribed])
      await publisher.publish({ topic: 'q/x', payload: 'p', qos: published })
      await subscriber.expectPublish({ topic: 'q/x', text: 'p', qos, dup: false, retain: false })
    })
  }
}

test('a publisher that subscribes to its own topic gets its message', async () => {
  const client = await connect('self')
  await client.subscribe(['self', 1])
  client.send(publish({ topic: 'self', payload: 'x', qos: 1, id: 77 }))
  const packets = [await client.nextPacket(), await client.nextPacket()].map(({ type }) => type)
  assert.equal(packets.sort(), [3, 4])
})

test('an empty payload is a message, and so is one that looks like a packet', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['e', 0])
  publisher.send('30 03 00 01 65', '30 05 00 01 65 c0 00')
  await subscriber.expect('30 03 00 01 65 30 05 00 01 65 c0 00')
})

test('[MQTT-4.7.3-3] a topic of 65,535 bytes is delivered', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  const long = 'x'.repeat(65_535)
  await subscriber.subscribe([long, 0])
  await publisher.publish({ topic: long, payload: 'long' })
  assert.is((await subscriber.expectPublish()).topic.length, 65_535)
})

test('100 levels match, level by level', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  const deep = Array.from({ length: 100 }, (_, level) => `${level}`)
  await subscriber.subscribe([deep.join('/'), 0])
  await subscriber.subscribe([deep.map((level, index) => (index % 2 ? '+' : level)).join('/'), 0])
  await publisher.publish({ topic: deep.join('/'), payload: 'x' })
  await subscriber.expectPublish({ topic: deep.join('/') })
  await subscriber.expectNothing()
})

test('500 filters in one SUBSCRIBE are answered and kept', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(...Array.from({ length: 500 }, (_, n): [string, 0] => [`many/${n}/+`, 0]))
  for (const n of [0, 250, 499]) await publisher.publish({ topic: `many/${n}/x`, payload: `${n}` })
  for (const n of [0, 250, 499]) await subscriber.expectPublish({ text: `${n}` })
})

test('[MQTT-3.1.2-6] the subscriptions of a clean session end with its connection', async () => {
  const first = await connect('comes-back')
  await first.subscribe(['gone', 0])
  await first.disconnect()
  const second = await connect('comes-back')
  const publisher = await connect('p')
  await publisher.publish({ topic: 'gone', payload: 'x' })
  await second.expectNothing()
})

test('[MQTT-4.6.0-6] a topic keeps its order, whatever joins and leaves it in between', async () => {
  const [subscriber, publisher] = [await connect('s'), await connect('p')]
  await subscriber.subscribe(['order/#', 0])
  for (let n = 0; n < 50; n++) {
    const other = await connect(`passing-${n % 3}`)
    await other.subscribe(['order/+', 0], [`order/${n}`, 1])
    for (let m = 0; m < 4; m++) publisher.send(publish({ topic: 'order/x', payload: `${n}.${m}` }))
    await publisher.settled()
    if (n % 2) await other.disconnect()
  }
  for (let n = 0; n < 50; n++) for (let m = 0; m < 4; m++) await subscriber.expectPublish({ text: `${n}.${m}` })
})

test.run()
