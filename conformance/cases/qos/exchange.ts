// The QoS 1 and 2 exchanges in both directions, order, and what identifiers mean afterwards.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import * as wire from '../../wire.ts'
import { exactlyOne, pair, publishAll, text } from '../common.ts'

defineCase({
  id: 'identifier-reused-after-puback',
  area: 'qos',
  title: 'After PUBACK the same identifier means a new message, DUP or not',
  clauses: { '3.1.1': ['MQTT-4.3.2-2'], '5': ['MQTT-4.3.2-5'] },
  needs: ['qos1'],
  async run(t) {
    const topic = t.topic('a')
    const { publisher, settled } = await pair(t, topic, 1)
    await publisher.publish({ topic, payload: 'one', qos: 1, packetId: 5 })
    await publisher.publish({ topic, payload: 'two', qos: 1, packetId: 5 })
    await publisher.publish({ topic, payload: 'three', qos: 1, packetId: 5, dup: true })
    t.equal((await settled('three messages', 3)).map(text), ['one', 'two', 'three'], 'the messages')
  },
})

/** PUBLISH QoS 2 with id 5 once and `times` more with DUP, a PUBREC each, then PUBREL: one copy at the subscriber. */
async function repeated(t: Context, times: number): Promise<void> {
  const topic = t.topic('a')
  const { publisher, settled } = await pair(t, topic, 2)
  for (let n = 0; n <= times; n++) {
    publisher.send(wire.publish(t.version, { topic, payload: 'once', qos: 2, packetId: 5, dup: n > 0 }))
    if (t.v5 && n > 0) {
      // In 5.0 a client must not repeat itself on one connection, so the server may close it for that.
      const pubrec = await publisher.takeIfAny('pubrec', { where: (p) => p.packetId === 5 })
      if (pubrec === undefined && publisher.isClosed) {
        t.remark('closed because a client repeated a PUBLISH')
        return
      }
      t.check(pubrec !== undefined, 'PUBREC with id 5, or the connection closed', 'neither')
    } else await publisher.take('pubrec', { where: (p) => p.packetId === 5, why: 'PUBREC with id 5' })
  }
  publisher.send(wire.pubrel(5))
  await publisher.take('pubcomp', { where: (p) => p.packetId === 5, why: 'PUBCOMP with id 5' })
  exactlyOne(t, await settled('one copy', 1), 'once', 'exactly one copy delivered')
}

defineCase({
  id: 'qos-2-repeated-before-pubrel',
  area: 'qos',
  title: 'A QoS 2 PUBLISH repeated before PUBREL is answered with PUBREC and delivered once',
  clauses: { '3.1.1': ['MQTT-4.3.3-2'], '5': ['MQTT-4.3.3-10', 'MQTT-4.3.3-8'] },
  needs: ['qos2'],
  run: (t) => repeated(t, 1),
})

defineCase({
  id: 'qos-2-repeated-often',
  area: 'qos',
  title: 'However often a QoS 2 PUBLISH is repeated before PUBREL, each is answered with PUBREC',
  clauses: { '3.1.1': ['MQTT-4.3.3-2'] },
  needs: ['qos2'],
  run: (t) => repeated(t, 5),
})

defineCase({
  id: 'identifier-reused-after-refusal',
  area: 'qos',
  title: 'After a PUBREC of 0x80 or more the same identifier means a new message',
  clauses: { '5': ['MQTT-4.3.3-9'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { settled } = await pair(t, topic, 2)
    // Messages a server may well refuse; which of them, if any, is its own business.
    const candidates: wire.PublishOptions[] = [
      { topic, payload: Buffer.of(0xff), properties: [wire.property('payloadFormatIndicator', 1)] },
      { topic: '$SYS/conformance', payload: 'x' },
      { topic: '$SYS/broker/uptime', payload: 'x' },
    ]
    for (const candidate of candidates) {
      const publisher = await t.connect({ label: `publishes to ${String(candidate.topic)}` })
      publisher.send(wire.publish(5, { ...candidate, qos: 2, packetId: 5 }))
      const pubrec = await publisher.takeIfAny('pubrec')
      if (pubrec === undefined || (pubrec.code ?? 0) < 0x80) continue
      await publisher.publish({ topic, payload: 'new', qos: 2, packetId: 5 })
      exactlyOne(t, await settled('the new message', 1), 'new', 'the new message delivered once')
      return
    }
    t.skip('the server refused none of the messages tried')
  },
})

defineCase({
  id: 'identifier-reused-after-pubcomp',
  area: 'qos',
  title: 'After PUBCOMP the same identifier means a new message',
  clauses: { '3.1.1': ['MQTT-4.3.3-2'], '5': ['MQTT-4.3.3-12'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { publisher, settled } = await pair(t, topic, 2)
    await publisher.publish({ topic, payload: 'one', qos: 2, packetId: 5 })
    await publisher.publish({ topic, payload: 'two', qos: 2, packetId: 5 })
    t.equal((await settled('two messages', 2)).map(text), ['one', 'two'], 'the messages')
  },
})

defineCase({
  id: 'pubrel-twice',
  area: 'qos',
  title: 'Every PUBREL is answered with PUBCOMP, also one whose exchange is over',
  clauses: { '3.1.1': ['MQTT-4.3.3-2'], '5': ['MQTT-4.3.3-11'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { publisher, settled } = await pair(t, topic, 2)
    await publisher.publish({ topic, payload: 'once', qos: 2, packetId: 5 })
    publisher.send(wire.pubrel(5))
    const pubcomp = await publisher.take('pubcomp', { where: (p) => p.packetId === 5, why: 'PUBCOMP with id 5 again' })
    if (t.v5) t.check([0x00, 0x92].includes(pubcomp.code ?? 0), 'Reason Code 0x00 or 0x92', pubcomp)
    exactlyOne(t, await settled('one copy', 1), 'once', 'exactly one copy delivered')
  },
})

defineCase({
  id: 'sender-qos-1',
  area: 'qos',
  title: 'The server delivers QoS 1 with an identifier and DUP 0, and is content with PUBACK',
  clauses: { '3.1.1': ['MQTT-4.3.2-1', 'MQTT-2.3.1-1'], '5': ['MQTT-4.3.2-1', 'MQTT-4.3.2-2', 'MQTT-2.2.1-4'] },
  needs: ['qos1'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, 1)
    await publisher.publish({ topic, payload: 'x', qos: 1 })
    const message = await subscriber.receive('the message')
    t.equal([message.qos, message.dup], [1, false], 'QoS and DUP')
    t.check((message.packetId ?? 0) > 0, 'a Packet Identifier above 0', message)
    t.equal((await subscriber.flush()).length, 0, 'number of packets after PUBACK')
  },
})

defineCase({
  id: 'sender-qos-2',
  area: 'qos',
  title: 'The server delivers QoS 2 as PUBLISH, PUBREL after our PUBREC, and is content with PUBCOMP',
  clauses: {
    '3.1.1': ['MQTT-4.3.3-1', 'MQTT-2.3.1-6'],
    '5': ['MQTT-4.3.3-1', 'MQTT-4.3.3-2', 'MQTT-4.3.3-4', 'MQTT-2.2.1-5'],
  },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, 2)
    await publisher.publish({ topic, payload: 'x', qos: 2 })
    const message = await subscriber.take('publish', { why: 'the message' })
    t.equal([message.qos, message.dup], [2, false], 'QoS and DUP')
    t.equal((await subscriber.flush()).length, 0, 'number of packets before our PUBREC')
    await subscriber.acknowledge(message)
    t.equal((await subscriber.flush()).length, 0, 'number of packets after PUBCOMP')
  },
})

defineCase({
  id: 'pubrec-refusal-ends-the-exchange',
  area: 'qos',
  title: 'After our PUBREC of 0x80 or more the server sends neither PUBREL nor the message again',
  clauses: { '5': ['MQTT-4.3.3-4', 'MQTT-4.4.0-2'] },
  needs: ['qos2', 'sessions'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 2)
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'refused', qos: 2 })
    const message = await first.take('publish', { why: 'the message' })
    first.send(wire.pubrec(message.packetId ?? 0, 0x83))
    t.equal((await first.flush()).length, 0, 'number of packets after our refusal')
    first.drop()
    const second = await t.connectPersistent({ label: 'second' })
    const rest = await second.flush()
    t.check(rest.length === 0, 'nothing sent again', rest[0])
  },
})

defineCase({
  id: 'puback-refusal-ends-the-exchange',
  area: 'qos',
  title: 'After our PUBACK of 0x80 or more the message is not sent again',
  clauses: { '5': ['MQTT-4.4.0-2'] },
  needs: ['qos1', 'sessions'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'refused', qos: 1 })
    const message = await first.take('publish', { why: 'the message' })
    first.send(wire.puback(message.packetId ?? 0, 0x83))
    await first.flush()
    first.drop()
    const second = await t.connectPersistent({ label: 'second' })
    const rest = await second.flush()
    t.check(rest.length === 0, 'nothing sent again', rest[0])
  },
})

for (const qos of [0, 1, 2] as const) {
  defineCase({
    id: `order-qos-${qos}`,
    area: 'qos',
    title: `Fifty QoS ${qos} messages on one topic arrive in their order`,
    clauses: { '3.1.1': ['MQTT-4.6.0-5', 'MQTT-4.6.0-6'], '5': ['MQTT-4.6.0-5', 'MQTT-4.6.0-6'] },
    needs: qos === 0 ? [] : [qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const { subscriber, publisher } = await pair(t, topic, qos)
      const all = Array.from({ length: 50 }, (_, n) => `${n}`)
      const got: string[] = []
      const receiving = async (): Promise<void> => {
        for (const payload of all) got.push(text(await subscriber.receive(`message ${payload}`)))
      }
      await Promise.all([publishAll(publisher, topic, all, qos), receiving()])
      t.equal(got, all, 'the messages')
    },
  })
}

defineCase({
  id: 'order-to-many',
  area: 'qos',
  title: 'Every subscriber sees the messages of a publisher in their order',
  clauses: { '3.1.1': ['MQTT-4.6.0-6', 'MQTT-4.5.0-1'], '5': ['MQTT-4.6.0-5', 'MQTT-4.5.0-1'] },
  needs: ['qos1'],
  async run(t) {
    const topic = t.topic('a')
    const subscribers = []
    for (const label of ['subscriber 1', 'subscriber 2', 'subscriber 3']) {
      const client = await t.connect({ label })
      await client.subscribe(topic, 1)
      subscribers.push(client)
    }
    const publisher = await t.connect({ label: 'publisher' })
    const all = Array.from({ length: 10 }, (_, n) => `${n}`)
    for (const payload of all) await publisher.publish({ topic, payload, qos: 1 })
    for (const subscriber of subscribers) {
      const got: string[] = []
      for (const payload of all) got.push(text(await subscriber.receive(`message ${payload}`)))
      t.equal(got, all, `the messages of ${subscriber.label}`)
    }
  },
})

for (const published of [0, 1, 2] as const) {
  for (const granted of [0, 1, 2] as const) {
    const qos = Math.min(published, granted)
    defineCase({
      id: `published-${published}-granted-${granted}`,
      area: 'qos',
      title: `A QoS ${published} message reaches a QoS ${granted} subscription with QoS ${qos}`,
      clauses: { '3.1.1': ['MQTT-3.8.4-6'], '5': ['MQTT-3.8.4-8'] },
      needs: published === 2 || granted === 2 ? ['qos2'] : published === 1 || granted === 1 ? ['qos1'] : [],
      async run(t) {
        const topic = t.topic('a')
        const { subscriber, publisher } = await pair(t, topic, granted)
        await publisher.publish({ topic, payload: 'x', qos: published })
        t.equal((await subscriber.receive('the message')).qos, qos, 'the QoS')
      },
    })
  }
}
