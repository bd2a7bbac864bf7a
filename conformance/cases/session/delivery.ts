// What a session keeps while its client is away: messages, and exchanges broken off in the middle.

import { defineCase } from '../../case.ts'
import type { Client } from '../../client.ts'
import type { Packet } from '../../packet.ts'
import * as wire from '../../wire.ts'
import { exactlyOne, marker, pair, text } from '../common.ts'

for (const qos of [1, 2] as const) {
  defineCase({
    id: `qos-${qos}-stored-while-away`,
    area: 'session',
    title: `QoS ${qos} messages for a session that is away are delivered when it comes back, in order`,
    clauses: {
      '3.1.1': ['MQTT-3.1.2-5', 'MQTT-4.5.0-1', 'MQTT-4.6.0-6'],
      '5': ['MQTT-4.5.0-1', 'MQTT-4.6.0-5', 'MQTT-3.1.2-23'],
    },
    needs: ['sessions', qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const first = await t.connectPersistent({ label: 'first' })
      await first.subscribe(topic, qos)
      await first.disconnect()
      const publisher = await t.connect({ label: 'publisher' })
      const payloads = ['one', 'two', 'three', 'four', 'five']
      for (const payload of payloads) await publisher.publish({ topic, payload, qos })
      const second = await t.connectPersistent({ label: 'second' })
      for (const payload of payloads) {
        const message = await second.receive(`the stored message ${payload}`)
        t.equal([text(message), message.qos, message.dup], [payload, qos, false], 'payload, QoS and DUP')
      }
    },
  })
}

const resendClauses = {
  '3.1.1': ['MQTT-4.4.0-1', 'MQTT-2.3.1-4', 'MQTT-3.3.1-1', 'MQTT-4.6.0-1', 'MQTT-4.6.0-6'],
  '5': ['MQTT-4.4.0-1', 'MQTT-3.3.1-1'],
}

for (const qos of [1, 2] as const) {
  defineCase({
    id: `qos-${qos}-sent-again`,
    area: 'session',
    title: `Unacknowledged QoS ${qos} messages are sent again on resuming: DUP, same identifiers, same order`,
    clauses: {
      '3.1.1': [...resendClauses['3.1.1'], qos === 1 ? 'MQTT-4.3.2-1' : 'MQTT-4.3.3-1'],
      '5': [...resendClauses['5'], qos === 1 ? 'MQTT-4.3.2-3' : 'MQTT-4.3.3-3'],
    },
    needs: ['sessions', qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const first = await t.connectPersistent({ label: 'first' })
      await first.subscribe(topic, qos)
      const publisher = await t.connect({ label: 'publisher' })
      const before: Packet[] = []
      for (const payload of ['one', 'two', 'three']) {
        await publisher.publish({ topic, payload, qos })
        before.push(await first.take('publish', { why: `message ${payload}, not acknowledged by us` }))
      }
      first.drop()
      const second = await t.connectPersistent({ label: 'second' })
      for (const original of before) {
        const again = await second.receive(`message ${text(original)} again`)
        t.equal(
          [text(again), again.packetId, again.dup],
          [text(original), original.packetId, true],
          'payload, identifier and DUP',
        )
      }
    },
  })
}

defineCase({
  id: 'acknowledged-is-not-sent-again',
  area: 'session',
  title: 'What was acknowledged before the connection broke is not sent again',
  clauses: { '3.1.1': ['MQTT-4.3.2-1'], '5': ['MQTT-4.3.2-3', 'MQTT-4.4.0-1'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'acknowledged', qos: 1 })
    await first.receive('the message')
    await first.flush('PINGRESP: our PUBACK has arrived')
    first.drop()
    const second = await t.connectPersistent({ label: 'second' })
    const settled = await marker(t, second, publisher, 1)
    t.none(await settled('no message'), 'no message')
  },
})

defineCase({
  id: 'pubrel-sent-again',
  area: 'session',
  title: 'Between PUBREC and PUBCOMP it is PUBREL that is sent again on resuming, never the PUBLISH',
  clauses: {
    '3.1.1': ['MQTT-4.4.0-1', 'MQTT-4.3.3-1', 'MQTT-2.3.1-6'],
    '5': ['MQTT-4.4.0-1', 'MQTT-4.3.3-5', 'MQTT-4.3.3-6'],
  },
  needs: ['sessions', 'qos2'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 2)
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'once', qos: 2 })
    const message = await first.take('publish', { why: 'the message' })
    const id = message.packetId ?? 0
    first.send(wire.pubrec(id))
    await first.take('pubrel', { where: (p) => p.packetId === id, why: `PUBREL with id ${id}` })
    first.drop()
    const second = await t.connectPersistent({ label: 'second' })
    await second.take('pubrel', { where: (p) => p.packetId === id, why: `PUBREL with id ${id} again` })
    second.send(wire.pubcomp(id))
    t.none(await second.flush(), 'no PUBLISH: its delivery was past that')
    second.drop()
    const third = await t.connectPersistent({ label: 'third' })
    const rest = await third.flush()
    t.check(!rest.some((p) => p.kind === 'pubrel' || p.kind === 'publish'), 'nothing left after PUBCOMP', rest[0])
  },
})

defineCase({
  id: 'pubrel-order',
  area: 'session',
  title: 'PUBREL packets go out in the order of our PUBREC packets',
  clauses: { '3.1.1': ['MQTT-4.6.0-4', 'MQTT-4.6.0-6'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, 2)
    const ids: number[] = []
    for (const payload of ['one', 'two', 'three']) {
      await publisher.publish({ topic, payload, qos: 2 })
      ids.push((await subscriber.take('publish', { why: `message ${payload}` })).packetId ?? 0)
    }
    for (const id of ids) subscriber.send(wire.pubrec(id))
    const order: number[] = []
    for (const _ of ids) order.push((await subscriber.take('pubrel', { why: 'PUBREL' })).packetId ?? 0)
    t.equal(order, ids, 'the identifiers of the PUBREL packets')
    for (const id of ids) subscriber.send(wire.pubcomp(id))
  },
})

/** Publishes QoS 2 with id 7 and waits for its PUBREC. */
async function beginQos2(client: Client, version: 4 | 5, topic: string, dup: boolean): Promise<void> {
  client.send(wire.publish(version, { topic, payload: 'once', qos: 2, packetId: 7, dup }))
  await client.take('pubrec', { where: (p) => p.packetId === 7, why: 'PUBREC with id 7' })
}

defineCase({
  id: 'inbound-qos-2-remembered',
  area: 'session',
  title: 'A QoS 2 PUBLISH repeated after a reconnection is answered and not delivered twice',
  clauses: { '3.1.1': ['MQTT-4.3.3-2', 'MQTT-4.1.0-1'], '5': ['MQTT-4.3.3-10', 'MQTT-3.1.2-23'] },
  needs: ['sessions', 'qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { settled } = await pair(t, topic, 2)
    const first = await t.connectPersistent({ label: 'sender, first connection' })
    await beginQos2(first, t.version, topic, false)
    first.drop()
    const second = await t.connectPersistent({ label: 'sender, second connection' })
    t.check(second.connack?.sessionPresent === true, 'Session Present 1', second.connack)
    await beginQos2(second, t.version, topic, true)
    second.send(wire.pubrel(7))
    await second.take('pubcomp', { where: (p) => p.packetId === 7, why: 'PUBCOMP with id 7' })
    exactlyOne(t, await settled('one copy', 1), 'once', 'exactly one copy delivered')
  },
})

defineCase({
  id: 'pubrel-repeated-after-reconnection',
  area: 'session',
  title: 'A PUBREL repeated after a reconnection is answered with PUBCOMP',
  clauses: { '3.1.1': ['MQTT-4.3.3-2'], '5': ['MQTT-4.3.3-11'] },
  needs: ['sessions', 'qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { settled } = await pair(t, topic, 2)
    const first = await t.connectPersistent({ label: 'sender, first connection' })
    await beginQos2(first, t.version, topic, false)
    first.send(wire.pubrel(7))
    await first.take('pubcomp', { why: 'PUBCOMP with id 7, which we pretend to have missed' })
    first.drop()
    const second = await t.connectPersistent({ label: 'sender, second connection' })
    second.send(wire.pubrel(7))
    await second.take('pubcomp', { where: (p) => p.packetId === 7, why: 'PUBCOMP with id 7 again' })
    exactlyOne(t, await settled('one copy', 1), 'once', 'exactly one copy delivered')
  },
})
