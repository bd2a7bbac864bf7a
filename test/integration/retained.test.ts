// Retained messages as seen from outside: set, replace, clear; the RETAIN flag of live and of replayed messages; and
// that the replay to a wildcard subscription is complete, however large.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { puback, publish } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { sized, unlessMosquitto } from '../support/target.ts'

const broker = await startBroker({ settings: { max_packet_size: 4_000_000 }, findsLeaks: true })
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

const connect = (clientId: string) => RawClient.connect(broker, { clientId })
const retain = (topic: string, payload: string, qos: 0 | 1 | 2 = 1) => ({ topic, payload, qos, retain: true })

test('[MQTT-3.3.1-6] a new subscription gets the retained message, [MQTT-3.3.1-8] with RETAIN 1', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await publisher.publish(retain('r/a', 'kept'))
  subscriber.send('82 08 00 01 00 03 72 2f 61 00')
  await subscriber.expect('90 03 00 01 00')
  await subscriber.expectPublish({ topic: 'r/a', text: 'kept', retain: true, qos: 0, dup: false })
  await subscriber.expectNothing()
})

test('[MQTT-3.3.1-9] an established subscription gets it with RETAIN 0', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await subscriber.subscribe(['r/live', 1])
  await publisher.publish(retain('r/live', 'live'))
  await subscriber.expectPublish({ topic: 'r/live', text: 'live', retain: false, qos: 1 })
  await subscriber.expectNothing()
})

test('[MQTT-3.3.1-5] a later retained message replaces the earlier', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  for (const [payload, qos] of [
    ['one', 2],
    ['two', 0],
    ['three', 1],
  ] as const) {
    await publisher.publish(retain('r/replace', payload, qos))
  }
  await subscriber.subscribe(['r/replace', 2])
  await subscriber.expectPublish({ text: 'three', retain: true, qos: 1 })
  await subscriber.expectNothing()
})

test('[MQTT-3.3.1-12] a message with RETAIN 0 leaves the retained one alone', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await publisher.publish(retain('r/stays', 'stays'))
  await publisher.publish({ topic: 'r/stays', payload: 'passes', qos: 1 })
  await publisher.publish({ topic: 'r/stays', payload: '', qos: 1 })
  await subscriber.subscribe(['r/stays', 0])
  await subscriber.expectPublish({ text: 'stays', retain: true })
  await subscriber.expectNothing()
})

test('[MQTT-3.3.1-10] an empty payload with RETAIN 1 clears it and is delivered, [MQTT-3.3.1-11] never retained', async () => {
  const [publisher, present] = [await connect('p'), await connect('present')]
  await publisher.publish(retain('r/clear', 'old'))
  await present.subscribe(['r/clear', 0])
  await present.expectPublish({ text: 'old', retain: true })
  await publisher.publish(retain('r/clear', '', 0))
  await present.expectPublish({ topic: 'r/clear', text: '', retain: false })
  const later = await connect('later')
  await later.subscribe(['r/clear', 0])
  await later.expectNothing()
})

test('[MQTT-3.8.4-3] subscribing again sends the retained messages again', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await publisher.publish(retain('r/again', 'again'))
  for (let times = 0; times < 3; times++) {
    await subscriber.subscribe(['r/again', 0])
    await subscriber.expectPublish({ text: 'again', retain: true })
  }
})

test('[MQTT-3.1.2-7] retained messages outlive the clean session that published them', async () => {
  const publisher = await connect('leaves')
  await publisher.publish(retain('r/outlives', 'still here'))
  await publisher.disconnect()
  const subscriber = await connect('s')
  await subscriber.subscribe(['r/outlives', 0])
  await subscriber.expectPublish({ text: 'still here', retain: true })
})

for (const [filter, topics] of [
  ['w/#', ['w', 'w/a', 'w/a/b', 'w//x', 'w/$a']],
  ['w/+', ['w/a', 'w/$a']],
  ['w/+/+', ['w/a/b', 'w//x']],
  ['w/a', ['w/a']],
  ['+/a/b', ['w/a/b']],
  ['w/nothing/#', []],
  ['$w/#', ['$w/a']],
] as [string, string[]][]) {
  test(`[MQTT-3.3.1-6] [MQTT-4.7.2-1] the filter ${filter} replays exactly the ${topics.length} retained messages it matches`, async () => {
    const [publisher, subscriber] = [await connect('p'), await connect('s')]
    for (const topic of ['w', 'w/a', 'w/a/b', 'w//x', 'w/$a', '$w/a']) await publisher.publish(retain(topic, topic))
    await subscriber.subscribe([filter, 0])
    const received: string[] = []
    for (const _ of topics) received.push((await subscriber.expectPublish({ retain: true })).topic)
    assert.equal(received.sort(), [...topics].sort())
    await subscriber.expectNothing()
  })
}

test('[MQTT-4.7.2-1] the filter # replays no topic that begins with $', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await publisher.publish(retain('$dollar', 'x'))
  await publisher.publish(retain('end', 'y'))
  await subscriber.subscribe(['#', 0])
  for (;;) {
    const packet = await subscriber.expectPublish({ retain: true })
    assert.not(packet.topic.startsWith('$'), packet.topic)
    if (packet.topic === 'end') break
  }
})

test('a SUBSCRIBE that asks for the same retained message by several filters gets it for each of them', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await publisher.publish(retain('twice/a', 'x'))
  await subscriber.subscribe(['twice/+', 0], ['twice/a', 1])
  const qos = [
    await subscriber.expectPublish({ topic: 'twice/a' }),
    await subscriber.expectPublish({ topic: 'twice/a' }),
  ]
  assert.equal(qos.map((message) => message.qos).sort(), [0, 1])
  await subscriber.expectNothing()
})

test('a retained message larger than every buffer is kept whole', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  const payload = Buffer.alloc(sized(3_000_000, 200_000), 'large')
  publisher.send(publish({ topic: 'r/large', payload, retain: true, qos: 1, id: 5 }))
  await publisher.expect('40 02 00 05')
  await subscriber.subscribe(['r/large', 1])
  assert.ok((await subscriber.expectPublish({ retain: true })).payload.equals(payload))
})

const count = sized(5000, 1500)
const manyRetained = async (publisher: RawClient) => {
  for (let n = 0; n < count; n++) publisher.send(publish({ ...retain(`all/${n % 50}/${n}`, `${n}`, 0) }))
  await publisher.settled()
}

test(`a replay of ${count} retained messages of QoS 0 is complete, more than any queue limit`, async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  await manyRetained(publisher)
  await subscriber.subscribe(['all/#', 0])
  const seen = new Set<string>()
  while (seen.size < count) seen.add((await subscriber.expectPublish({ retain: true })).text)
  await subscriber.expectNothing()
})

unlessMosquitto(test, 'it counts the replay against max_queued_messages')(
  `a replay of ${count} retained messages of QoS 1 is complete, more than any queue limit`,
  async () => {
    const [publisher, subscriber] = [await connect('p'), await connect('s')]
    for (let n = 0; n < count; n++) publisher.send(publish({ ...retain(`all/${n % 50}/${n}`, `${n}`, 1), id: n + 1 }))
    for (let n = 0; n < count; n++) await publisher.expectPacket('PUBACK')
    await subscriber.subscribe(['all/#', 1])
    const seen = new Set<string>()
    while (seen.size < count) {
      const { id, text } = await subscriber.expectPublish({ retain: true, qos: 1 })
      seen.add(text)
      subscriber.send(puback(id))
    }
    await subscriber.expectNothing()
  },
)

const paced = unlessMosquitto(test, 'it drops what the socket does not take at once')
paced('a replay to a subscriber that does not read for a while is complete', async () => {
  const [publisher, subscriber] = [await connect('p'), await connect('s')]
  const payload = 'x'.repeat(2000)
  for (let n = 0; n < count; n++) publisher.send(publish({ ...retain(`slow/${n}`, payload, 0) }))
  await publisher.settled()
  await subscriber.subscribe(['nothing/yet', 0])
  subscriber.pause()
  subscriber.send('82 0b 00 09 00 06 73 6c 6f 77 2f 23 00')
  await publisher.settled()
  subscriber.resume()
  await subscriber.expect('90 03 00 09 00')
  for (let n = 0; n < count; n++) await subscriber.expectPublish({ retain: true })
  await subscriber.expectNothing()
  for (let n = 0; n < count; n++) publisher.send(publish({ ...retain(`slow/${n}`, '', 0) }))
  await publisher.settled()
})

test.run()
