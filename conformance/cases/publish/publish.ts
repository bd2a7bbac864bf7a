// PUBLISH towards the server: how it is answered, and what is wrong with some.

import { defineCase } from '../../case.ts'
import * as wire from '../../wire.ts'
import { hex, packet, str, u16 } from '../../wire.ts'
import { pair, refusedPublish, text } from '../common.ts'

defineCase({
  id: 'qos-0-is-not-answered',
  area: 'publish',
  title: 'A PUBLISH with QoS 0 is delivered and not answered',
  clauses: {
    '3.1.1': ['MQTT-3.3.4-1', 'MQTT-4.3.1-1', 'MQTT-2.3.1-5'],
    '5': ['MQTT-3.3.4-1', 'MQTT-4.3.1-1', 'MQTT-2.2.1-2'],
  },
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic)
    await publisher.publish({ topic, payload: 'hello' })
    const message = await subscriber.receive('the message')
    t.equal(
      [message.topic, text(message), message.qos, message.dup],
      [topic, 'hello', 0, false],
      'topic, payload, QoS and DUP',
    )
    t.equal((await publisher.flush()).length, 0, 'number of packets in answer')
  },
})

defineCase({
  id: 'qos-1-is-acknowledged',
  area: 'publish',
  title: 'A PUBLISH with QoS 1 is answered with PUBACK carrying its identifier',
  clauses: {
    '3.1.1': ['MQTT-3.3.4-1', 'MQTT-4.3.2-2', 'MQTT-2.3.1-6'],
    '5': ['MQTT-3.3.4-1', 'MQTT-4.3.2-4', 'MQTT-2.2.1-5'],
  },
  needs: ['qos1'],
  async run(t) {
    const client = await t.connect()
    for (const packetId of [1, 65_535, 256]) {
      await client.publish({ topic: t.topic('a'), payload: 'x', qos: 1, packetId })
    }
    t.equal((await client.flush()).length, 0, 'number of further packets')
  },
})

defineCase({
  id: 'qos-2-is-acknowledged',
  area: 'publish',
  title: 'A PUBLISH with QoS 2 is answered with PUBREC, and PUBREL with PUBCOMP, all with its identifier',
  clauses: {
    '3.1.1': ['MQTT-3.3.4-1', 'MQTT-4.3.3-2', 'MQTT-2.3.1-6'],
    '5': ['MQTT-3.3.4-1', 'MQTT-4.3.3-8', 'MQTT-4.3.3-11', 'MQTT-2.2.1-5'],
  },
  needs: ['qos2'],
  async run(t) {
    const client = await t.connect()
    for (const packetId of [1, 65_535, 256]) {
      await client.publish({ topic: t.topic('a'), payload: 'x', qos: 2, packetId })
    }
    t.equal((await client.flush()).length, 0, 'number of further packets')
  },
})

for (const payload of ['', 'x', 'x'.repeat(127), 'x'.repeat(16_384)]) {
  defineCase({
    id: `payload-of-${payload.length}`,
    area: 'publish',
    title: `A payload of ${payload.length} bytes arrives as it was sent`,
    clauses: { '3.1.1': ['MQTT-7.1.1-1'], '5': ['MQTT-4.2-1'] },
    async run(t) {
      if (t.features.maximumPacketSize < payload.length + 200) t.skip('the server takes no packets of this size')
      const topic = t.topic('a')
      const { subscriber, publisher } = await pair(t, topic)
      await publisher.publish({ topic, payload })
      const message = await subscriber.receive('the message')
      t.check(text(message) === payload, 'the same payload', `${message.payload?.length} bytes`)
    },
  })
}

defineCase({
  id: 'binary-payload',
  area: 'publish',
  title: 'A payload that is no UTF-8 arrives as it was sent',
  clauses: { '3.1.1': ['MQTT-7.1.1-1'], '5': ['MQTT-4.2-1'] },
  async run(t) {
    const payload = Buffer.from(Array.from({ length: 256 }, (_, n) => n))
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic)
    await publisher.publish({ topic, payload })
    t.equal((await subscriber.receive('the message')).payload, payload, 'the payload')
  },
})

for (const qos of [1, 2] as const) {
  defineCase({
    id: `dup-is-not-propagated-qos-${qos}`,
    area: 'publish',
    title: `A QoS ${qos} message that came with DUP 1 is forwarded with DUP 0`,
    clauses: {
      '3.1.1': ['MQTT-3.3.1-3', qos === 1 ? 'MQTT-4.3.2-1' : 'MQTT-4.3.3-1'],
      '5': ['MQTT-3.3.1-3', qos === 1 ? 'MQTT-4.3.2-2' : 'MQTT-4.3.3-2'],
    },
    needs: [qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const { subscriber, publisher } = await pair(t, topic, qos)
      await publisher.publish({ topic, payload: 'x', qos, dup: true })
      const message = await subscriber.receive('the message')
      t.equal([message.qos, message.dup], [qos, false], 'QoS and DUP')
    },
  })
}

defineCase({
  id: 'qos-3',
  area: 'publish',
  title: 'A PUBLISH with QoS 3 closes the connection',
  clauses: { '3.1.1': ['MQTT-3.3.1-4'], '5': ['MQTT-3.3.1-4', 'MQTT-4.13.1-1'] },
  async run(t) {
    const client = await t.connect()
    const bytes = wire.publish(t.version, { topic: t.topic('a'), payload: 'x', qos: 3, packetId: 1 })
    await t.rejected(client, bytes, 'both QoS bits are 1', [0x81])
  },
})

for (const qos of [1, 2] as const) {
  defineCase({
    id: `identifier-0-qos-${qos}`,
    area: 'publish',
    title: `A PUBLISH with QoS ${qos} and Packet Identifier 0 closes the connection`,
    clauses: { '3.1.1': ['MQTT-2.3.1-1', 'MQTT-4.8.0-1'], '5': ['MQTT-4.13.1-1'] },
    needs: [qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const client = await t.connect()
      const bytes = wire.publish(t.version, { topic: t.topic('a'), payload: 'x', qos, packetId: 0 })
      await t.rejected(client, bytes, 'the Packet Identifier is 0', [0x81, 0x82])
    },
  })
}

for (const wildcard of ['+', '#']) {
  for (const qos of [0, 1] as const) {
    defineCase({
      id: `topic-with-${wildcard === '+' ? 'plus' : 'hash'}-qos-${qos}`,
      area: 'publish',
      title: `A PUBLISH (QoS ${qos}) to a topic with ${wildcard} is not accepted`,
      clauses: { '3.1.1': ['MQTT-3.3.2-2', 'MQTT-4.7.1-1'], '5': ['MQTT-3.3.2-2', 'MQTT-4.7.0-1'] },
      needs: qos === 1 ? ['qos1'] : [],
      async run(t) {
        const client = await t.connect()
        await refusedPublish(
          t,
          client,
          { topic: t.topic(wildcard), payload: 'x', qos },
          `the Topic Name contains ${wildcard}`,
        )
      },
    })
  }
}

defineCase({
  id: 'empty-topic',
  area: 'publish',
  title: 'A PUBLISH without Topic Name (and without Topic Alias) closes the connection',
  clauses: { '3.1.1': ['MQTT-4.7.3-1'], '5': ['MQTT-4.7.3-1', 'MQTT-4.13.1-1'] },
  async run(t) {
    const client = await t.connect()
    await t.rejected(
      client,
      wire.publish(t.version, { topic: '', payload: 'x' }),
      'the Topic Name is empty',
      [0x81, 0x82, 0x90],
    )
  },
})

const MALFORMED: [id: string, title: string, build: (v5: boolean) => Buffer][] = [
  ['topic-beyond-the-end', 'a Topic Name longer than the packet', () => packet(0x30, hex('00 40 61 62'))],
  ['identifier-missing', 'QoS 1 and no room for a Packet Identifier', () => packet(0x32, str('conformance'), 0)],
  ['no-body', 'nothing behind the fixed header', () => hex('30 00')],
]

for (const [id, title, build] of MALFORMED) {
  defineCase({
    id,
    area: 'publish',
    title: `PUBLISH with ${title} closes the connection`,
    clauses: { '3.1.1': ['MQTT-4.8.0-1', 'MQTT-3.3.2-1'], '5': ['MQTT-4.13.1-1', 'MQTT-3.3.2-1'] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, build(t.v5), title, [0x81])
    },
  })
}

const SHORT: [name: string, first: number][] = [
  ['puback', 0x40],
  ['pubrec', 0x50],
  ['pubrel', 0x62],
  ['pubcomp', 0x70],
]

for (const [name, first] of SHORT) {
  defineCase({
    id: `${name}-without-identifier`,
    area: 'publish',
    title: `${name.toUpperCase()} without a Packet Identifier closes the connection`,
    clauses: { '3.1.1': ['MQTT-4.8.0-1'], '5': ['MQTT-4.13.1-1'] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, packet(first, 1), 'one byte where the Packet Identifier should be', [0x81])
    },
  })
}

defineCase({
  id: 'not-authorized',
  area: 'publish',
  title: 'A PUBLISH the server may not want (to $SYS) is acknowledged as usual, refused, or closes the connection',
  clauses: { '3.1.1': ['MQTT-3.3.5-2'] },
  needs: ['qos1'],
  async run(t) {
    const client = await t.connect()
    client.send(wire.publish(t.version, { topic: '$SYS/conformance', payload: '', qos: 1, packetId: 9 }))
    const answer = await client.takeIfAny('puback', { where: (p) => p.packetId === 9 })
    t.check(answer !== undefined || (await client.closes()), 'PUBACK or a closed connection', 'neither')
  },
})

defineCase({
  id: 'only-matching-topics',
  area: 'publish',
  title: 'A subscriber gets only messages whose topic matches its filter',
  clauses: { '3.1.1': ['MQTT-3.3.2-3'], '5': ['MQTT-3.3.2-3'] },
  async run(t) {
    const { publisher, settled } = await pair(t, t.topic('a'))
    for (const level of ['b', 'A', 'a ', 'aa', 'a/b']) {
      publisher.send(packet(0x30, str(t.topic(level)), t.v5 ? 0 : [], Buffer.from('not for you')))
    }
    await publisher.publish({ topic: t.topic('a'), payload: 'for you' })
    t.equal((await settled('only the matching topic', 1)).map(text), ['for you'], 'the messages')
  },
})

defineCase({
  id: 'same-identifier-both-ways',
  area: 'publish',
  title: 'An identifier the server uses towards a client may be used by the client as well',
  clauses: { '3.1.1': ['MQTT-2.3.1-4', 'MQTT-2.3.1-6'], '5': ['MQTT-2.2.1-4', 'MQTT-2.2.1-5'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, 2)
    await publisher.publish({ topic, payload: 'to the subscriber', qos: 2 })
    const message = await subscriber.take('publish', { why: 'the message, not acknowledged yet' })
    const id = message.packetId ?? 0
    await subscriber.publish({ topic: t.topic('other'), payload: 'mine', qos: 2, packetId: id })
    subscriber.send(packet(0x50, u16(id)))
    await subscriber.take('pubrel', {
      where: (p) => p.packetId === id,
      why: `PUBREL with id ${id} for the first exchange`,
    })
    subscriber.send(packet(0x70, u16(id)))
    t.equal((await subscriber.flush()).length, 0, 'number of further packets')
  },
})
