// Receive Maximum: how many QoS 1 and 2 messages may be on their way, in both directions.

import { defineCase, defineInvariant } from '../../case.ts'
import type { Client } from '../../client.ts'
import type { Context } from '../../context.ts'
import { prop } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { text } from '../common.ts'

defineInvariant({
  id: 'receive-maximum-kept',
  area: 'flow-control',
  title: 'Never more unacknowledged QoS 1 and 2 messages than the Receive Maximum of the client',
  clauses: { '5': ['MQTT-3.3.4-9', 'MQTT-4.9.0-2'] },
  judge: (log) => {
    const open = new Set<number>()
    const broken: string[] = []
    let limit = 65_535
    let applied = 0
    for (const { direction, packet } of log.entries) {
      const id = packet.packetId ?? 0
      if (direction === 'sent') {
        if (packet.kind === 'connect') limit = Number(prop(packet, 'receiveMaximum') ?? 65_535)
        if (packet.kind === 'puback' || packet.kind === 'pubcomp') open.delete(id)
        if (packet.kind === 'pubrec' && (packet.code ?? 0) >= 0x80) open.delete(id)
        continue
      }
      if (packet.kind !== 'publish' || packet.qos === 0) continue
      open.add(id)
      if (limit < 65_535) applied++
      if (open.size > limit) broken.push(`${open.size} in flight with a Receive Maximum of ${limit}, ${log.label}`)
    }
    return { applied, broken }
  },
})

/** A subscriber with Receive Maximum 2 to whom five messages are published. */
async function crowded(t: Context, qos: 1 | 2): Promise<{ subscriber: Client; publisher: Client }> {
  const topic = t.topic('a')
  const subscriber = await t.connect({ label: 'subscriber', properties: [property('receiveMaximum', 2)] })
  await subscriber.subscribe(topic, qos)
  const publisher = await t.connect({ label: 'publisher' })
  for (const payload of ['one', 'two', 'three', 'four', 'five']) await publisher.publish({ topic, payload, qos })
  return { subscriber, publisher }
}

for (const qos of [1, 2] as const) {
  defineCase({
    id: `initial-quota-qos-${qos}`,
    area: 'flow-control',
    title: `With Receive Maximum 2 two QoS ${qos} messages come, and no third without an acknowledgement`,
    clauses: { '5': ['MQTT-3.3.4-9', 'MQTT-4.9.0-1'] },
    needs: [qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const { subscriber } = await crowded(t, qos)
      const first = await subscriber.take('publish', { why: 'the first message' })
      const second = await subscriber.take('publish', { why: 'the second message' })
      t.equal([text(first), text(second)], ['one', 'two'], 'the messages')
      t.none(await subscriber.flush(), 'no third message while two are not acknowledged')
    },
  })

  defineCase({
    id: `one-for-one-qos-${qos}`,
    area: 'flow-control',
    title: `With Receive Maximum 2 each acknowledgement lets exactly one more QoS ${qos} message come`,
    clauses: { '5': ['MQTT-3.3.4-9', 'MQTT-4.9.0-2'] },
    needs: [qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const { subscriber } = await crowded(t, qos)
      const first = await subscriber.take('publish', { why: 'the first message' })
      const second = await subscriber.take('publish', { why: 'the second message' })
      await subscriber.acknowledge(first)
      const third = await subscriber.take('publish', { why: 'the third message after one acknowledgement' })
      t.none(await subscriber.flush(), 'no fourth message while two are not acknowledged')
      await subscriber.acknowledge(second)
      await subscriber.acknowledge(third)
      for (const payload of ['four', 'five']) {
        t.equal(text(await subscriber.receive('the next message')), payload, 'the payload')
      }
    },
  })
}

defineCase({
  id: 'pubrec-does-not-free',
  area: 'flow-control',
  title: 'A successful PUBREC does not free its place, PUBCOMP does',
  clauses: { '5': ['MQTT-3.3.4-9', 'MQTT-4.9.0-2'] },
  needs: ['qos2'],
  async run(t) {
    const { subscriber } = await crowded(t, 2)
    const first = await subscriber.take('publish', { why: 'the first message' })
    const second = await subscriber.take('publish', { why: 'the second message' })
    for (const message of [first, second]) {
      subscriber.send(wire.pubrec(message.packetId ?? 0))
      await subscriber.take('pubrel', { where: (p) => p.packetId === message.packetId, why: 'PUBREL' })
    }
    t.none(await subscriber.flush(), 'no third message before a PUBCOMP')
    subscriber.send(wire.pubcomp(first.packetId ?? 0))
    t.equal(text(await subscriber.take('publish', { why: 'the third message after PUBCOMP' })), 'three', 'the payload')
  },
})

defineCase({
  id: 'refusing-pubrec-frees',
  area: 'flow-control',
  title: 'A PUBREC of 0x80 or more frees its place',
  clauses: { '5': ['MQTT-3.3.4-9', 'MQTT-4.9.0-2'] },
  needs: ['qos2'],
  async run(t) {
    const { subscriber } = await crowded(t, 2)
    const first = await subscriber.take('publish', { why: 'the first message' })
    await subscriber.take('publish', { why: 'the second message' })
    subscriber.send(wire.pubrec(first.packetId ?? 0, 0x80))
    t.equal(
      text(await subscriber.take('publish', { why: 'the third message after a refusal' })),
      'three',
      'the payload',
    )
  },
})

defineCase({
  id: 'nothing-else-waits',
  area: 'flow-control',
  title: 'While its window is full the server still answers PINGREQ, SUBSCRIBE, UNSUBSCRIBE and PUBLISH',
  clauses: { '5': ['MQTT-3.3.4-10', 'MQTT-4.9.0-3'] },
  needs: ['qos2'],
  async run(t) {
    const { subscriber } = await crowded(t, 1)
    await subscriber.take('publish', { why: 'the first message' })
    await subscriber.take('publish', { why: 'the second message' })
    await subscriber.flush('PINGRESP although the window is full')
    await subscriber.subscribe(t.topic('b'), 0)
    await subscriber.unsubscribe([t.topic('b')])
    await subscriber.publish({ topic: t.topic('c'), payload: 'x', qos: 1 })
    await subscriber.publish({ topic: t.topic('c'), payload: 'x', qos: 2 })
  },
})

defineCase({
  id: 'window-is-of-the-connection',
  area: 'flow-control',
  title: 'Receive Maximum belongs to the connection: a new one brings its own',
  clauses: { '5': ['MQTT-4.9.0-1', 'MQTT-3.3.4-9'] },
  needs: ['qos1', 'sessions'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'Receive Maximum 5', properties: [property('receiveMaximum', 5)] })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    for (const payload of ['one', 'two', 'three']) await publisher.publish({ topic, payload, qos: 1 })
    const second = await t.connectPersistent({
      label: 'Receive Maximum 1',
      properties: [property('receiveMaximum', 1)],
    })
    for (const payload of ['one', 'two', 'three']) {
      const message = await second.take('publish', { why: `message ${payload}` })
      t.equal(text(message), payload, 'the payload')
      t.none(await second.flush(), 'one message at a time')
      await second.acknowledge(message)
    }
  },
})

defineCase({
  id: 'client-exceeds-it',
  area: 'flow-control',
  title: 'More QoS 2 messages under way than the Receive Maximum of the server are not accepted',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  needs: ['qos2'],
  async run(t) {
    const limit = t.features.receiveMaximum
    if (limit > 1000) t.skip(`the Receive Maximum of the server is ${limit}`)
    const client = await t.connect()
    for (let id = 1; id <= limit + 1; id++) {
      client.send(wire.publish(5, { topic: t.topic('a'), payload: 'x', qos: 2, packetId: id }))
    }
    const excess = await client.takeIfAny('pubrec', { where: (p) => p.packetId === limit + 1 })
    if (excess !== undefined) {
      // Refused at once it takes no place in the window; not what 3.3.4 describes, but nothing is lost or exceeded.
      t.check(
        (excess.code ?? 0) >= 0x80,
        'the connection closed, or the message too many refused with 0x80 or more',
        excess,
      )
      return t.remark('a message beyond the Receive Maximum is refused; the specification names DISCONNECT 0x93')
    }
    const before = await client.closed(`${limit + 1} QoS 2 messages without PUBREL, one more than the Receive Maximum`)
    const disconnect = before.find((p) => p.kind === 'disconnect')
    if (disconnect === undefined) t.remark('closed without DISCONNECT 0x93')
    else t.check(disconnect.code === 0x93, 'DISCONNECT with 0x93 Receive Maximum exceeded', disconnect)
  },
})

defineCase({
  id: 'client-uses-it-fully',
  area: 'flow-control',
  title: 'A client may have as many QoS 2 messages under way as the Receive Maximum of the server',
  clauses: { '5': ['MQTT-4.3.3-8'] },
  needs: ['qos2'],
  async run(t) {
    // A window of thousands is tried with its first thousand.
    const count = Math.min(t.features.receiveMaximum, 1000)
    const client = await t.connect()
    for (let id = 1; id <= count; id++) {
      client.send(wire.publish(5, { topic: t.topic('a'), payload: 'x', qos: 2, packetId: id }))
    }
    for (let id = 1; id <= count; id++)
      await client.take('pubrec', { where: (p) => p.packetId === id, why: `PUBREC with id ${id}` })
    for (let id = 1; id <= count; id++) client.send(wire.pubrel(id))
    for (let id = 1; id <= count; id++)
      await client.take('pubcomp', { where: (p) => p.packetId === id, why: `PUBCOMP with id ${id}` })
  },
})
