// Maximum Packet Size, both ways.

import { defineCase, defineInvariant } from '../../case.ts'
import { prop } from '../../packet.ts'
import type { PacketKind } from '../../protocol.ts'
import * as wire from '../../wire.ts'
import { hex, packet, property, str } from '../../wire.ts'
import { marker, text } from '../common.ts'

/** Packets and the clauses that keep them within the limit; most say that a property is left out instead. */
const KINDS: [kind: PacketKind, clauses: string[]][] = [
  ['publish', ['MQTT-3.1.2-24']],
  ['connack', ['MQTT-3.2.2-19', 'MQTT-3.2.2-20']],
  ['puback', ['MQTT-3.4.2-2', 'MQTT-3.4.2-3']],
  ['pubrec', ['MQTT-3.5.2-2', 'MQTT-3.5.2-3']],
  ['pubrel', ['MQTT-3.6.2-2', 'MQTT-3.6.2-3']],
  ['pubcomp', ['MQTT-3.7.2-2', 'MQTT-3.7.2-3']],
  ['suback', ['MQTT-3.9.2-1', 'MQTT-3.9.2-2']],
  ['unsuback', ['MQTT-3.11.2-1', 'MQTT-3.11.2-2']],
  ['disconnect', ['MQTT-3.14.2-3', 'MQTT-3.14.2-4']],
]

for (const [kind, clauses] of KINDS) {
  defineInvariant({
    id: `${kind}-within-the-limit`,
    area: 'packet-size',
    title: `No ${kind.toUpperCase()} from the server is larger than the Maximum Packet Size of the client`,
    clauses: { '5': clauses },
    judge: (log) => {
      const connect = log.entries.find((e) => e.direction === 'sent' && e.packet.kind === 'connect')?.packet
      const limit = connect === undefined ? undefined : prop(connect, 'maximumPacketSize')
      // A limit of 0 is the Protocol Error of another case.
      if (limit === undefined || limit === 0) return { applied: 0, broken: [] }
      const all = log.entries.filter((e) => e.direction === 'received' && e.packet.kind === kind).map((e) => e.packet)
      const wrong = all.filter((p) => p.bytes.length > Number(limit))
      return { applied: all.length, broken: wrong.map((p) => `${p.bytes.length} bytes with a limit of ${limit}`) }
    },
  })
}

defineCase({
  id: 'small-answers',
  area: 'packet-size',
  title: 'With the smallest limit its CONNACK fits in, every answer and every refusal of the server fits too',
  clauses: { '5': ['MQTT-3.1.2-24'] },
  needs: ['qos2'],
  async run(t) {
    const measure = await t.connect({ label: 'measures the CONNACK' })
    const limit = Math.max(measure.connack?.bytes.length ?? 0, 12)
    const list = [property('maximumPacketSize', limit)]
    const connect = () => t.connect({ label: `limit ${limit}`, properties: list })
    const client = await connect()
    await client.subscribe(t.topic('somebody'), 0, { anyCode: true })
    await client.unsubscribe([t.topic('never subscribed to')])
    await client.publish({ topic: t.topic('nobody'), payload: 'x', qos: 1 }, true)
    await client.publish({ topic: t.topic('nobody'), payload: 'x', qos: 2 }, true)
    client.send(wire.pubrel(77))
    await client.take('pubcomp', { where: (p) => p.packetId === 77, why: 'PUBCOMP with id 77' })
    client.send(wire.pubrec(88))
    await client.takeIfAny('pubrel', { where: (p) => p.packetId === 88, within: 500 })
    await client.subscribe([['$share//x', 0]], 0, { anyCode: true }).catch(() => undefined)
    const refusals = [hex('36 00'), packet(0x82, 0, 1, 0), wire.publish(5, { topic: 'a/+', payload: 'x' })]
    for (const bytes of refusals) {
      const other = await connect()
      await t.rejected(other, bytes, 'a packet the server has to refuse')
    }
    const refused = await t.open('refused CONNECT')
    const method = property('authenticationMethod', 'no such method')
    refused.send(wire.connect(5, t.connectOptions({ clientId: t.id('r'), properties: [...list, method] })))
    await refused.closed('the authentication method is not supported')
    for (const log of t.logs()) {
      if (log.label === measure.label) continue
      for (const { direction, packet: p } of log.entries) {
        if (direction === 'sent') continue
        t.check(p.bytes.length <= limit, `${p.kind.toUpperCase()} of at most ${limit} bytes`, `${p.bytes.length} bytes`)
      }
    }
  },
})

for (const qos of [0, 1, 2] as const) {
  defineCase({
    id: `too-large-message-qos-${qos}`,
    area: 'packet-size',
    title: `A QoS ${qos} message too large for a client is left out; later ones come, and others get it`,
    clauses: { '5': ['MQTT-3.1.2-25'] },
    needs: qos === 0 ? [] : [qos === 1 ? 'qos1' : 'qos2'],
    async run(t) {
      const topic = t.topic('a')
      const small = await t.connect({
        label: 'limit 200, Receive Maximum 1',
        properties: [property('maximumPacketSize', 200), property('receiveMaximum', 1)],
      })
      await small.subscribe(topic, qos)
      const large = await t.connect({ label: 'no limit' })
      await large.subscribe(topic, qos)
      const publisher = await t.connect({ label: 'publisher' })
      const settled = await marker(t, small, publisher, qos)
      await publisher.publish({ topic, payload: 'x'.repeat(300), qos })
      await publisher.publish({ topic, payload: 'fits', qos })
      t.equal((await large.receive('the large message at the other client')).payload?.length, 300, 'the length')
      t.equal((await settled('only the message that fits', 1)).map(text), ['fits'], 'the messages')
    },
  })
}

defineCase({
  id: 'exact-size',
  area: 'packet-size',
  title: 'A message of exactly the Maximum Packet Size is delivered, one byte more is not',
  clauses: { '5': ['MQTT-3.1.2-24'] },
  async run(t) {
    const topic = t.topic('a')
    const limit = 100
    const client = await t.connect({ label: `limit ${limit}`, properties: [property('maximumPacketSize', limit)] })
    await client.subscribe(topic, 0)
    const publisher = await t.connect({ label: 'publisher' })
    const overhead = wire.publish(5, { topic, payload: '' }).length
    const settled = await marker(t, client, publisher, 0)
    await publisher.publish({ topic, payload: 'l'.repeat(limit - overhead + 1) })
    await publisher.publish({ topic, payload: 'f'.repeat(limit - overhead) })
    t.equal(
      (await settled('the message that just fits', 1)).map((m) => text(m)[0]),
      ['f'],
      'the messages',
    )
  },
})

defineCase({
  id: 'too-large-while-away',
  area: 'packet-size',
  title: 'A stored message too large for the new connection is left out and does not block the others',
  clauses: { '5': ['MQTT-3.1.2-25'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    await publisher.publish({ topic, payload: 'x'.repeat(300), qos: 1 })
    await publisher.publish({ topic, payload: 'fits', qos: 1 })
    const list = [property('maximumPacketSize', 200), property('receiveMaximum', 1)]
    const second = await t.connectPersistent({ label: 'second, limit 200', properties: list })
    t.equal(text(await second.receive('the message that fits')), 'fits', 'the payload')
  },
})

defineCase({
  id: 'client-exceeds-the-servers',
  area: 'packet-size',
  title: 'A packet above the Maximum Packet Size of the server closes the connection',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const limit = t.features.maximumPacketSize
    if (limit > 1_000_000)
      t.skip(limit === Number.POSITIVE_INFINITY ? 'the server announces no limit' : `the limit is ${limit} bytes`)
    const client = await t.connect()
    const body = Buffer.concat([str(t.topic('a')), Buffer.of(0), Buffer.alloc(limit)])
    await t.rejected(client, packet(0x30, body), `a PUBLISH of more than ${limit} bytes`, [0x95])
  },
})
