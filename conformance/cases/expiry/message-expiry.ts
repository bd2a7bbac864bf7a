// Message Expiry Interval: counted down while a message waits, and its end.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import { prop } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { marker, pair, retain, text, timePasses } from '../common.ts'

const expiry = (seconds: number) => [property('messageExpiryInterval', seconds)]

defineCase({
  id: 'forwarded-at-once',
  area: 'expiry',
  title: 'A message delivered at once carries its Message Expiry Interval',
  clauses: { '5': ['MQTT-3.3.2-6'] },
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic)
    await publisher.publish({ topic, payload: 'x', properties: expiry(1000) })
    const value = Number(prop(await subscriber.receive('the message'), 'messageExpiryInterval') ?? -1)
    t.check(value >= 990 && value <= 1000, 'Message Expiry Interval 1000, or a little less', `${value}`)
  },
})

defineCase({
  id: 'counted-down-in-the-session',
  area: 'expiry',
  title: 'The time a message waited in a session is taken off its Message Expiry Interval',
  clauses: { '5': ['MQTT-3.3.2-6'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'x', qos: 1, properties: expiry(1000) })
    await timePasses(3000)
    const second = await t.connectPersistent({ label: 'second' })
    const value = Number(prop(await second.receive('the stored message'), 'messageExpiryInterval') ?? -1)
    // Whole seconds leave a server one second of rounding.
    t.check(value >= 980 && value <= 998, 'Message Expiry Interval 997 after 3 s (998 at most)', `${value}`)
  },
})

defineCase({
  id: 'counted-down-while-retained',
  area: 'expiry',
  title: 'The time a message was retained is taken off its Message Expiry Interval',
  clauses: { '5': ['MQTT-3.3.2-6'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'x', properties: expiry(1000) })
    await timePasses(3000)
    const late = await t.connect({ label: 'subscribes later' })
    await late.subscribe(topic, 0)
    const value = Number(prop(await late.receive('the retained message'), 'messageExpiryInterval') ?? -1)
    t.check(value >= 980 && value <= 998, 'Message Expiry Interval 997 after 3 s (998 at most)', `${value}`)
  },
})

defineCase({
  id: 'expired-in-the-session',
  area: 'expiry',
  title: 'A message that expired while its session was away is not delivered; one without expiry is',
  clauses: { '5': ['MQTT-3.3.2-5'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'short', qos: 1, properties: expiry(1) })
    await publisher.publish({ topic, payload: 'long', qos: 1, properties: expiry(1000) })
    await publisher.publish({ topic, payload: 'for ever', qos: 1 })
    await timePasses(3000)
    const second = await t.connectPersistent({ label: 'second' })
    const settled = await marker(t, second, publisher, 1)
    t.equal((await settled('the messages that have not expired', 2)).map(text), ['long', 'for ever'], 'the messages')
  },
})

defineCase({
  id: 'expired-while-retained',
  area: 'expiry',
  title: 'A retained message that has expired is not sent to new subscribers',
  clauses: { '5': ['MQTT-3.3.2-5'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'short', properties: expiry(1) })
    await timePasses(3000)
    const late = await t.connect({ label: 'subscribes later' })
    await late.subscribe(topic, 0)
    t.none(await late.flush(), 'no retained message after its expiry')
  },
})

/** The payloads that come when the window opens after the second of three waiting messages has expired. */
async function behindFullWindow(t: Context): Promise<string[]> {
  const topic = t.topic('a')
  const subscriber = await t.connect({ label: 'Receive Maximum 1', properties: [property('receiveMaximum', 1)] })
  await subscriber.subscribe(topic, 1)
  const publisher = await t.connect({ label: 'publisher' })
  await publisher.publish({ topic, payload: 'first', qos: 1 })
  const first = await subscriber.take('publish', { why: 'the first message, not acknowledged yet' })
  await publisher.publish({ topic, payload: 'short', qos: 1, properties: expiry(1) })
  await publisher.publish({ topic, payload: 'second', qos: 1 })
  await timePasses(3000)
  await subscriber.acknowledge(first)
  // Something to do for a server that looks at its queue only when a message comes.
  await publisher.publish({ topic, payload: 'third', qos: 1 })
  const got: string[] = []
  while (!got.includes('second') || !got.includes('third')) got.push(text(await subscriber.receive('the next message')))
  return got
}

defineCase({
  id: 'expired-behind-a-full-window',
  area: 'expiry',
  title: 'A message that expires while it waits for the window of a connected client is not delivered',
  clauses: { '5': ['MQTT-3.3.2-5'] },
  needs: ['qos1'],
  async run(t) {
    const got = await behindFullWindow(t)
    t.check(!got.includes('short'), 'no message after its expiry', got.join(', '))
  },
})

defineCase({
  id: 'order-behind-an-expired-message',
  area: 'expiry',
  title: 'Messages behind one that expired keep their order',
  clauses: { '5': ['MQTT-4.6.0-5'] },
  needs: ['qos1'],
  async run(t) {
    const got = (await behindFullWindow(t)).filter((payload) => payload !== 'short')
    t.equal(got, ['second', 'third'], 'the messages')
  },
})

for (const qos of [1, 2] as const) {
  defineCase({
    id: `never-once-begun-qos-${qos}`,
    area: 'expiry',
    title: `A QoS ${qos} message that expires after it was sent ${qos === 2 ? 'is' : 'should be'} sent again on resuming`,
    clauses: { '5': qos === 2 ? ['MQTT-4.3.3-7', 'MQTT-4.3.3-13', 'MQTT-4.4.0-1'] : ['MQTT-4.4.0-1'] },
    needs: ['sessions', qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const first = await t.connectPersistent({ label: 'first' })
      await first.subscribe(topic, qos)
      const publisher = await t.connect({ label: 'publisher' })
      await publisher.publish({ topic, payload: 'begun', qos, properties: expiry(1) })
      const message = await first.take('publish', { why: 'the message, not acknowledged' })
      first.drop()
      await timePasses(3000)
      const second = await t.connectPersistent({ label: 'second' })
      const why = 'the message again, although it has expired'
      const again = qos === 2 ? await second.take('publish', { why }) : await second.takeIfAny('publish')
      // Only for QoS 2 is expiry after the first PUBLISH forbidden in so many words.
      if (again === undefined) return t.remark('a QoS 1 message that had been sent expired before it was acknowledged')
      t.equal([text(again), again.packetId, again.dup], ['begun', message.packetId, true], 'payload, id and DUP')
      await second.acknowledge(again)
    },
  })
}

defineCase({
  id: 'exchange-goes-on',
  area: 'expiry',
  title: 'The QoS 2 exchange goes on after the message has expired',
  clauses: { '5': ['MQTT-4.3.3-7', 'MQTT-4.3.3-13'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, 2)
    publisher.send(wire.publish(5, { topic, payload: 'x', qos: 2, packetId: 7, properties: expiry(1) }))
    await publisher.take('pubrec', { where: (p) => p.packetId === 7, why: 'PUBREC with id 7' })
    const own = await t.connect({ label: 'second publisher' })
    await own.publish({ topic, payload: 'y', qos: 2, properties: expiry(1) })
    const message = await subscriber.take('publish', { where: (p) => text(p) === 'y', why: 'the message' })
    await timePasses(2000)
    publisher.send(wire.pubrel(7))
    await publisher.take('pubcomp', {
      where: (p) => p.packetId === 7,
      why: 'PUBCOMP with id 7 after the message has expired',
    })
    await subscriber.acknowledge(message)
  },
})
