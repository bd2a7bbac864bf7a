// UNSUBSCRIBE and UNSUBACK.

import { defineCase, defineInvariant } from '../../case.ts'
import { SERVER_REASON_CODES } from '../../protocol.ts'
import * as wire from '../../wire.ts'
import { hex, packet, str, u16 } from '../../wire.ts'
import { judgeCodes, pair, text } from '../common.ts'

defineInvariant({
  id: 'unsuback-codes',
  area: 'unsubscribe',
  title: 'UNSUBACK has one reason code for each filter, each a code that exists for it',
  clauses: { '5': ['MQTT-3.11.3-2'] },
  judge: (log) => judgeCodes(log, 'unsubscribe', SERVER_REASON_CODES.unsuback ?? []),
})

defineCase({
  id: 'acknowledged',
  area: 'unsubscribe',
  title: 'UNSUBSCRIBE is answered with UNSUBACK carrying its identifier',
  clauses: { '3.1.1': ['MQTT-3.10.4-4', 'MQTT-2.3.1-7'], '5': ['MQTT-3.10.4-4', 'MQTT-3.10.4-5', 'MQTT-2.2.1-6'] },
  async run(t) {
    const client = await t.connect()
    for (const id of [1, 65_535, 256]) {
      await client.subscribe(t.topic(`${id}`), 0)
      client.send(wire.unsubscribe(t.version, id, [t.topic(`${id}`)]))
      await client.take('unsuback', { where: (p) => p.packetId === id, why: `UNSUBACK with id ${id}` })
    }
  },
})

defineCase({
  id: 'nothing-to-delete',
  area: 'unsubscribe',
  title: 'UNSUBACK comes even if there was no such subscription',
  clauses: { '3.1.1': ['MQTT-3.10.4-5'], '5': ['MQTT-3.10.4-5'] },
  async run(t) {
    const client = await t.connect()
    const unsuback = await client.unsubscribe([t.topic('never subscribed to')])
    if (t.v5) t.check(unsuback.codes?.[0] === 0x11 || unsuback.codes?.[0] === 0x00, 'one code, 0x11 or 0x00', unsuback)
  },
})

for (const qos of [0, 1] as const) {
  defineCase({
    id: `ends-delivery-qos-${qos}`,
    area: 'unsubscribe',
    title: `After UNSUBACK no new QoS ${qos} messages come`,
    clauses: { '3.1.1': ['MQTT-3.10.4-2', 'MQTT-3.10.4-1'], '5': ['MQTT-3.10.4-2', 'MQTT-3.10.4-1'] },
    needs: qos === 1 ? ['qos1'] : [],
    async run(t) {
      const topic = t.topic('a')
      const { subscriber, publisher, settled } = await pair(t, topic, qos)
      await publisher.publish({ topic, payload: 'before', qos })
      t.equal(text(await subscriber.receive('the message before')), 'before', 'the payload')
      await subscriber.unsubscribe([topic])
      await publisher.publish({ topic, payload: 'after', qos })
      t.none(await settled('no message after UNSUBACK'), 'no message after UNSUBACK')
    },
  })
}

defineCase({
  id: 'exact-comparison',
  area: 'unsubscribe',
  title: 'Only the filter that is equal character by character is deleted',
  clauses: { '3.1.1': ['MQTT-3.10.4-1'], '5': ['MQTT-3.10.4-1'] },
  needs: ['wildcards'],
  async run(t) {
    const kept = [t.topic('a', '+'), t.topic('a', 'b')]
    const subscriber = await t.connect({ label: 'subscriber' })
    await subscriber.subscribe(kept.map((filter) => [filter, 0] as const))
    await subscriber.unsubscribe([t.topic('a', '#'), t.topic('a', 'B'), t.topic('a', 'b '), t.topic('+', 'b')])
    await subscriber.unsubscribe([t.topic('a', 'b')])
    await subscriber.publish({ topic: t.topic('a', 'b'), payload: 'x' })
    t.equal(text(await subscriber.receive('the message, for the filter that is left')), 'x', 'the payload')
    await subscriber.unsubscribe([t.topic('a', '+')])
    await subscriber.publish({ topic: t.topic('a', 'b'), payload: 'y' })
    t.none(await subscriber.flush(), 'nothing once both filters are deleted')
  },
})

defineCase({
  id: 'several-filters',
  area: 'unsubscribe',
  title: 'An UNSUBSCRIBE with several filters deletes each and gets one UNSUBACK',
  clauses: { '3.1.1': ['MQTT-3.10.4-6'], '5': ['MQTT-3.10.4-6', 'MQTT-3.11.3-1'] },
  async run(t) {
    const client = await t.connect()
    const filters = ['a', 'b', 'c', 'd'].map((level) => t.topic(level))
    await client.subscribe(filters.map((filter) => [filter, 0] as const))
    const unsuback = await client.unsubscribe([filters[0] as string, t.topic('unknown'), filters[2] as string])
    if (t.v5) {
      t.equal(unsuback.codes?.length, 3, 'number of codes')
      t.equal([unsuback.codes?.[0], unsuback.codes?.[2]], [0, 0], 'the codes of the filters that existed')
      t.check(
        [0x00, 0x11].includes(unsuback.codes?.[1] ?? -1),
        '0x11 (or 0x00) for the filter that did not exist',
        unsuback,
      )
    }
    for (const topic of filters) client.send(wire.publish(t.version, { topic, payload: topic }))
    const left = []
    for (let n = 0; n < 2; n++) left.push((await client.receive('a message for a filter that is left')).topic)
    t.equal(left.sort(), [filters[1], filters[3]], 'the topics still delivered')
    t.none(await client.flush(), 'nothing for the filters deleted')
  },
})

for (const qos of [1, 2] as const) {
  defineCase({
    id: `begun-delivery-completes-qos-${qos}`,
    area: 'unsubscribe',
    title: `A QoS ${qos} delivery begun before UNSUBSCRIBE is completed after it`,
    clauses: { '3.1.1': ['MQTT-3.10.4-3'], '5': ['MQTT-3.10.4-3'] },
    needs: [qos === 1 ? 'qos1' : 'qos2', 'sessions'],
    async run(t) {
      const topic = t.topic('a')
      const first = await t.connectPersistent({ label: 'first' })
      await first.subscribe(topic, qos)
      const publisher = await t.connect({ label: 'publisher' })
      await publisher.publish({ topic, payload: 'begun', qos })
      const begun = await first.take('publish', { why: 'the message, not acknowledged yet' })
      await first.unsubscribe([topic])
      if (qos === 2) {
        await first.acknowledge(begun)
        t.equal((await first.flush()).length, 0, 'number of packets after PUBCOMP')
        return
      }
      first.drop()
      const second = await t.connectPersistent({ label: 'second' })
      const again = await second.receive('the message again: it was never acknowledged')
      t.equal([text(again), again.packetId, again.dup], ['begun', begun.packetId, true], 'payload, identifier and DUP')
    },
  })
}

const MALFORMED: [id: string, title: string, v3: string[], v5: string[], bytes: (v5: boolean) => Buffer][] = [
  ['no-filter', 'no Topic Filter', ['MQTT-3.10.3-2'], ['MQTT-3.10.3-2'], (v5) => packet(0xa2, u16(1), v5 ? 0 : [])],
  [
    'identifier-0',
    'Packet Identifier 0',
    ['MQTT-2.3.1-1'],
    ['MQTT-4.13.1-1'],
    (v5) => packet(0xa2, u16(0), v5 ? 0 : [], str('conformance/a')),
  ],
  [
    'filter-beyond-the-end',
    'a Topic Filter longer than the packet',
    ['MQTT-4.8.0-1'],
    ['MQTT-4.13.1-1'],
    (v5) => packet(0xa2, u16(1), v5 ? 0 : [], hex('00 40 61 62 63')),
  ],
]

for (const [id, title, v3, v5, bytes] of MALFORMED) {
  defineCase({
    id,
    area: 'unsubscribe',
    title: `UNSUBSCRIBE with ${title} closes the connection`,
    clauses: { '3.1.1': ['MQTT-4.8.0-1', ...v3], '5': ['MQTT-4.13.1-1', ...v5] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, bytes(t.v5), title, [0x81, 0x82])
    },
  })
}
