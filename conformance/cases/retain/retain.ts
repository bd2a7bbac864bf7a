// Retained messages: stored, replaced, removed, and told apart from live ones by their RETAIN flag.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import type { Packet } from '../../packet.ts'
import { property } from '../../wire.ts'
import { pair, retain, text } from '../common.ts'

/** What a new subscriber gets for the filter: `count` messages it has to get, and any others that come. */
async function retainedFor(t: Context, filter: string, count: number, label = 'subscribes now'): Promise<Packet[]> {
  const client = await t.connect({ label })
  await client.subscribe(filter, 0)
  const messages: Packet[] = []
  for (let n = 0; n < count; n++) messages.push(await client.receive(`retained message ${n + 1} of ${count}`))
  return [...messages, ...(await client.flush()).filter((p) => p.kind === 'publish')]
}

/** The retained message must come; a server may take a moment after SUBACK. */
async function receiveRetained(t: Context, filter: string, qos = 0): Promise<Packet> {
  const client = await t.connect({ label: 'subscribes now' })
  await client.subscribe(filter, qos)
  return client.receive('the retained message')
}

for (const qos of [0, 1, 2] as const) {
  defineCase({
    id: `stored-qos-${qos}`,
    area: 'retain',
    title: `A QoS ${qos} message published with RETAIN reaches later subscribers with RETAIN 1 and its QoS`,
    clauses: {
      '3.1.1': ['MQTT-3.3.1-5', 'MQTT-3.3.1-6', 'MQTT-3.3.1-8'],
      '5': ['MQTT-3.3.1-5', 'MQTT-3.3.1-9'],
    },
    needs: ['retain', 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const publisher = await t.connect({ label: 'publisher' })
      await retain(t, publisher, { topic, payload: 'kept', qos })
      const message = await receiveRetained(t, topic, 2)
      t.equal(
        [message.topic, text(message), message.retain, message.qos],
        [topic, 'kept', true, qos],
        'topic, payload, RETAIN and QoS',
      )
    },
  })
}

defineCase({
  id: 'survives-its-publisher',
  area: 'retain',
  title: 'A retained message is still there when the session that published it has ended',
  clauses: { '3.1.1': ['MQTT-3.1.2-7'], '5': ['MQTT-3.3.1-5'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'kept' })
    await publisher.disconnect()
    t.equal(text(await receiveRetained(t, topic)), 'kept', 'the payload')
  },
})

defineCase({
  id: 'replaced',
  area: 'retain',
  title: 'A later retained message replaces the earlier one of its topic',
  clauses: { '3.1.1': ['MQTT-3.3.1-5', 'MQTT-3.3.1-6'], '5': ['MQTT-3.3.1-5'] },
  needs: ['retain', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'old', qos: 1 })
    await retain(t, publisher, { topic, payload: 'new', qos: 1 })
    t.equal((await retainedFor(t, topic, 1)).map(text), ['new'], 'the retained messages')
  },
})

defineCase({
  id: 'replaced-by-qos-0',
  area: 'retain',
  title: 'A retained QoS 0 message displaces what was retained before, even if it is not kept itself',
  clauses: { '3.1.1': ['MQTT-3.3.1-7'], '5': ['MQTT-3.3.1-5'] },
  needs: ['retain', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'old', qos: 1 })
    await retain(t, publisher, { topic, payload: 'new', qos: 0 })
    const messages = (await retainedFor(t, topic, 0)).map(text)
    t.check(!messages.includes('old'), 'the old message gone', messages.join(', '))
  },
})

defineCase({
  id: 'live-messages-have-retain-0',
  area: 'retain',
  title: 'A message reaches an existing subscription with RETAIN 0 although it was published with RETAIN 1',
  clauses: { '3.1.1': ['MQTT-3.3.1-9'], '5': ['MQTT-3.3.1-12'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic)
    await retain(t, publisher, { topic, payload: 'live' })
    t.equal((await subscriber.receive('the message')).retain, false, 'RETAIN')
  },
})

defineCase({
  id: 'removed-by-empty-payload',
  area: 'retain',
  title: 'A retained message without payload removes the one of its topic and is delivered to subscribers',
  clauses: { '3.1.1': ['MQTT-3.3.1-10', 'MQTT-3.3.1-11'], '5': ['MQTT-3.3.1-6', 'MQTT-3.3.1-7'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'kept' })
    const subscriber = await t.connect({ label: 'existing subscriber' })
    await subscriber.subscribe(topic, 0)
    t.equal(text(await subscriber.receive('the retained message')), 'kept', 'the payload')
    await retain(t, publisher, { topic, payload: '' })
    const removal = await subscriber.receive('the message without payload, for the existing subscription')
    t.equal([removal.payload?.length, removal.retain], [0, false], 'length of the payload and RETAIN')
    t.equal((await retainedFor(t, topic, 0)).length, 0, 'number of retained messages for a new subscriber')
  },
})

defineCase({
  id: 'empty-is-not-stored',
  area: 'retain',
  title: 'A message without payload is never stored as retained',
  clauses: { '3.1.1': ['MQTT-3.3.1-11'], '5': ['MQTT-3.3.1-7'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: '' })
    t.equal((await retainedFor(t, topic, 0)).length, 0, 'number of retained messages')
  },
})

defineCase({
  id: 'without-flag-nothing-changes',
  area: 'retain',
  title: 'A message without RETAIN is not stored, and neither replaces nor removes what is',
  clauses: { '3.1.1': ['MQTT-3.3.1-12'], '5': ['MQTT-3.3.1-8'] },
  needs: ['retain', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'passing', qos: 1 })
    t.equal((await retainedFor(t, topic, 0, 'subscribes first')).length, 0, 'number of retained messages')
    await retain(t, publisher, { topic, payload: 'kept' })
    await publisher.publish({ topic, payload: 'passing', qos: 1 })
    await publisher.publish({ topic, payload: '', qos: 1 })
    const messages = await retainedFor(t, topic, 1, 'subscribes second')
    t.equal(messages.map(text), ['kept'], 'the retained messages')
  },
})

defineCase({
  id: 'wildcard-subscription',
  area: 'retain',
  title: 'A wildcard subscription gets the retained message of every matching topic, and of no other',
  clauses: { '3.1.1': ['MQTT-3.3.1-6', 'MQTT-3.3.1-8'], '5': ['MQTT-3.3.1-9'] },
  needs: ['retain', 'wildcards'],
  async run(t) {
    const publisher = await t.connect({ label: 'publisher' })
    for (const path of ['a', 'a/b', 'a/b/c', 'x/b']) {
      await retain(t, publisher, { topic: t.topic(...path.split('/')), payload: path })
    }
    await publisher.flush()
    const all = (await retainedFor(t, t.topic('a', '#'), 3, 'subscribes to a/#')).map(text).sort()
    t.equal(all, ['a', 'a/b', 'a/b/c'], 'the retained messages for a/#')
    const level = (await retainedFor(t, t.topic('+', 'b'), 2, 'subscribes to +/b')).map(text).sort()
    t.equal(level, ['a/b', 'x/b'], 'the retained messages for +/b')
  },
})

defineCase({
  id: 'again-for-a-repeated-subscription',
  area: 'retain',
  title: 'Subscribing to the same filter again sends its retained messages again',
  clauses: { '3.1.1': ['MQTT-3.8.4-3', 'MQTT-3.3.1-6'], '5': ['MQTT-3.8.4-4', 'MQTT-3.3.1-9'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, { topic, payload: 'kept' })
    const client = await t.connect({ label: 'subscribes twice' })
    for (const time of ['first', 'second']) {
      await client.subscribe(topic, 0)
      const message = await client.receive(`the retained message for the ${time} SUBSCRIBE`)
      t.equal([text(message), message.retain], ['kept', true], 'payload and RETAIN')
    }
  },
})

// ---- MQTT 5.0 -------------------------------------------------------------------------------------------------

/** Subscription Options: Retain Handling in bits 4 and 5. */
const handling = (value: 0 | 1 | 2): number => value << 4
const RETAIN_AS_PUBLISHED = 0x08

defineCase({
  id: 'handling-0',
  area: 'retain',
  title: 'Retain Handling 0 sends the retained messages each time',
  clauses: { '5': ['MQTT-3.3.1-9', 'MQTT-3.8.4-4'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await retain(t, client, { topic, payload: 'kept' })
    for (const time of ['first', 'second']) {
      await client.subscribe([[topic, handling(0)]])
      t.equal(text(await client.receive(`the retained message for the ${time} SUBSCRIBE`)), 'kept', 'the payload')
    }
  },
})

defineCase({
  id: 'handling-1',
  area: 'retain',
  title: 'Retain Handling 1 sends the retained messages only for a new subscription',
  clauses: { '5': ['MQTT-3.3.1-10'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await retain(t, client, { topic, payload: 'kept' })
    await client.subscribe([[topic, handling(1)]])
    t.equal(text(await client.receive('the retained message for the new subscription')), 'kept', 'the payload')
    await client.subscribe([[topic, handling(1)]])
    t.none(await client.flush(), 'nothing for the subscription that existed')
    await client.unsubscribe([topic])
    await client.subscribe([[topic, handling(1)]])
    t.equal(
      text(await client.receive('the retained message: the subscription is new once more')),
      'kept',
      'the payload',
    )
  },
})

defineCase({
  id: 'handling-2',
  area: 'retain',
  title: 'Retain Handling 2 sends no retained messages',
  clauses: { '5': ['MQTT-3.3.1-11'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await retain(t, client, { topic, payload: 'kept' })
    await client.subscribe([[topic, handling(2)]])
    t.none(await client.flush(), 'no retained message')
    await client.publish({ topic, payload: 'live' })
    t.equal(text(await client.receive('the live message')), 'live', 'the payload')
  },
})

defineCase({
  id: 'retain-as-published',
  area: 'retain',
  title: 'With Retain As Published a message is forwarded with the RETAIN it came with',
  clauses: { '5': ['MQTT-3.3.1-13'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, RETAIN_AS_PUBLISHED)
    for (const retain of [true, false]) {
      await publisher.publish({ topic, payload: `${retain}`, retain })
      t.equal((await subscriber.receive('the message')).retain, retain, 'RETAIN')
    }
  },
})

defineCase({
  id: 'retained-with-rap-0',
  area: 'retain',
  title: 'A retained message sent for a new subscription has RETAIN 1 without Retain As Published too',
  clauses: { '5': ['MQTT-3.3.1-9'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    const list = [property('contentType', 'text/plain')]
    await retain(t, publisher, { topic, payload: 'kept', properties: list })
    const message = await receiveRetained(t, topic)
    t.equal([text(message), message.retain], ['kept', true], 'payload and RETAIN')
    t.equal(message.properties?.find((p) => p.name === 'contentType')?.value, 'text/plain', 'Content Type')
  },
})
