// SUBSCRIBE and SUBACK.

import { defineCase, defineInvariant } from '../../case.ts'
import type { Packet } from '../../packet.ts'
import { SERVER_REASON_CODES, SUBACK_RETURN_CODES_311 } from '../../protocol.ts'
import * as wire from '../../wire.ts'
import { hex, packet, property, str, u16 } from '../../wire.ts'
import { judgeCodes, marker, pair, publishAll, retain, text } from '../common.ts'

defineInvariant({
  id: 'suback-codes',
  area: 'subscribe',
  title: 'SUBACK has one code for each filter asked for, each a code that exists for it',
  clauses: {
    '3.1.1': ['MQTT-3.8.4-5', 'MQTT-3.9.3-2'],
    '5': ['MQTT-3.8.4-6', 'MQTT-3.8.4-7', 'MQTT-3.9.3-2'],
  },
  judge: (log) => {
    const allowed: readonly number[] = log.version === 5 ? (SERVER_REASON_CODES.suback ?? []) : SUBACK_RETURN_CODES_311
    return judgeCodes(log, 'subscribe', allowed)
  },
})

defineCase({
  id: 'acknowledged',
  area: 'subscribe',
  title: 'SUBSCRIBE is answered with SUBACK carrying its identifier',
  clauses: {
    '3.1.1': ['MQTT-3.8.4-1', 'MQTT-3.8.4-2', 'MQTT-2.3.1-7'],
    '5': ['MQTT-3.8.4-1', 'MQTT-3.8.4-2', 'MQTT-2.2.1-6'],
  },
  async run(t) {
    const client = await t.connect()
    for (const id of [1, 65_535, 256]) {
      client.send(wire.subscribe(t.version, id, [[t.topic(`${id}`), 0]]))
      const suback = await client.take('suback', { where: (p) => p.packetId === id, why: `SUBACK with id ${id}` })
      t.equal(suback.codes?.length, 1, 'number of codes')
    }
  },
})

defineCase({
  id: 'several-filters',
  area: 'subscribe',
  title: 'A SUBSCRIBE with several filters gets one SUBACK, its codes in their order, and all filters work',
  clauses: {
    '3.1.1': ['MQTT-3.8.4-4', 'MQTT-3.8.4-5', 'MQTT-3.9.3-1'],
    '5': ['MQTT-3.8.4-5', 'MQTT-3.8.4-6', 'MQTT-3.9.3-1'],
  },
  needs: ['qos2'],
  async run(t) {
    const wanted = [2, 0, 1, 1, 0]
    const client = await t.connect()
    const suback = await client.subscribe(wanted.map((qos, n) => [t.topic(`${n}`), qos] as const))
    t.equal(suback.codes, wanted, 'the codes')
    for (const [n, qos] of wanted.entries()) {
      await client.publish({ topic: t.topic(`${n}`), payload: `${n}`, qos: 2 })
      const message = await client.receive(`the message for filter ${n}`)
      t.equal([text(message), message.qos], [`${n}`, qos], 'payload and QoS')
    }
    t.equal((await client.flush()).length, 0, 'number of further packets')
  },
})

defineCase({
  id: 'two-hundred-filters',
  area: 'subscribe',
  title: 'A SUBSCRIBE with two hundred filters gets two hundred codes',
  clauses: { '3.1.1': ['MQTT-3.8.4-4', 'MQTT-3.8.4-5'], '5': ['MQTT-3.8.4-5', 'MQTT-3.8.4-6'] },
  async run(t) {
    const client = await t.connect()
    const filters = Array.from({ length: 200 }, (_, n) => [t.topic(`${n}`), 0] as const)
    const bytes = wire.subscribe(t.version, 1, filters).length
    if (bytes > t.features.maximumPacketSize) t.skip(`the server takes no packets of ${bytes} bytes`)
    const suback = await client.subscribe(filters, 0, { anyCode: true })
    t.equal(suback.codes?.length, 200, 'number of codes')
    if (suback.codes?.some((code) => code >= 0x80)) t.skip('the server does not grant so many subscriptions')
    await client.publish({ topic: t.topic('199'), payload: 'x' })
    t.equal(text(await client.receive('the message for the last filter')), 'x', 'the payload')
  },
})

defineCase({
  id: 'several-filters-order-with-a-bad-one',
  area: 'subscribe',
  title: 'If one of several filters is refused, its code alone says so, at its place',
  clauses: { '3.1.1': ['MQTT-3.9.3-1'], '5': ['MQTT-3.9.3-1'] },
  async run(t) {
    const client = await t.connect()
    const packetId = client.nextId()
    client.send(
      wire.subscribe(t.version, packetId, [
        [t.topic('a'), 0],
        [t.topic('a#'), 0],
        [t.topic('b'), 0],
        [t.topic('c'), 0],
      ]),
      'the second filter is not valid',
    )
    const suback = await client.takeIfAny('suback')
    if (suback === undefined) {
      await client.closed('a filter is not valid; a SUBACK that refuses it is the other answer allowed')
      return
    }
    const refused = suback.codes?.map((code) => code >= 0x80)
    t.equal(refused, [false, true, false, false], 'which filters are refused:')
  },
})

defineCase({
  id: 'replaced',
  area: 'subscribe',
  title: 'Subscribing to a filter again replaces the subscription: new QoS, still one copy',
  clauses: { '3.1.1': ['MQTT-3.8.4-3'], '5': ['MQTT-3.8.4-3'] },
  needs: ['qos2'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    for (const qos of [0, 2, 1, 0]) {
      await client.subscribe(topic, qos)
      await client.publish({ topic, payload: `${qos}`, qos: 2 })
      const message = await client.receive('the message')
      t.equal([text(message), message.qos], [`${qos}`, qos], 'payload and QoS')
      t.equal((await client.flush()).length, 0, 'number of further copies')
    }
  },
})

defineCase({
  id: 'replaced-without-loss',
  area: 'subscribe',
  title: 'No message is lost while a subscription is replaced',
  clauses: { '3.1.1': ['MQTT-3.8.4-3'], '5': ['MQTT-3.8.4-4'] },
  needs: ['qos1'],
  async run(t) {
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic, 1)
    const all = Array.from({ length: 40 }, (_, n) => `${n}`)
    const got: string[] = []
    const receiving = async (): Promise<void> => {
      for (const payload of all) {
        if (Number(payload) % 8 === 0) subscriber.send(wire.subscribe(t.version, 1000 + Number(payload), [[topic, 1]]))
        got.push(text(await subscriber.receive(`message ${payload}`)))
      }
    }
    await Promise.all([publishAll(publisher, topic, all, 1), receiving()])
    t.equal(got, all, 'the messages')
  },
})

defineCase({
  id: 'overlapping',
  area: 'subscribe',
  title: 'Overlapping subscriptions: the message comes with the highest QoS among them',
  clauses: { '3.1.1': ['MQTT-3.3.5-1'], '5': ['MQTT-3.3.4-2'] },
  needs: ['qos2', 'wildcards'],
  async run(t) {
    const filters = [
      [t.topic('a', '#'), 2],
      [t.topic('a', '+'), 1],
      [t.topic('a', 'b'), 0],
    ] as const
    const { publisher, settled } = await pair(t, filters)
    await publisher.publish({ topic: t.topic('a', 'b'), payload: 'x', qos: 2 })
    const messages = await settled('one to three copies', 1)
    t.check(messages.length >= 1 && messages.length <= 3, 'one to three copies', `${messages.length}`)
    t.equal(Math.max(...messages.map((m) => m.qos ?? 0)), 2, 'the highest QoS among the copies')
  },
})

const MALFORMED: [id: string, title: string, v3: string[], v5: string[], bytes: (v5: boolean) => Buffer][] = [
  ['no-filter', 'no Topic Filter', ['MQTT-3.8.3-3'], ['MQTT-3.8.3-2'], (v5) => packet(0x82, u16(1), v5 ? 0 : [])],
  [
    'no-options',
    'a Topic Filter without its QoS or options',
    ['MQTT-3.8.3-3'],
    ['MQTT-3.8.3-2'],
    (v5) => packet(0x82, u16(1), v5 ? 0 : [], str('conformance/a')),
  ],
  [
    'qos-3',
    'a Requested QoS of 3',
    ['MQTT-3.8.3-4'],
    ['MQTT-4.13.1-1'],
    (v5) => packet(0x82, u16(1), v5 ? 0 : [], str('conformance/a'), 3),
  ],
  [
    'reserved-bits',
    'reserved bits set behind the filter',
    ['MQTT-3.8.3-4'],
    ['MQTT-3.8.3-5'],
    (v5) => packet(0x82, u16(1), v5 ? 0 : [], str('conformance/a'), v5 ? 0xc0 : 0x04),
  ],
  [
    'identifier-0',
    'Packet Identifier 0',
    ['MQTT-2.3.1-1'],
    ['MQTT-4.13.1-1'],
    (v5) => packet(0x82, u16(0), v5 ? 0 : [], str('conformance/a'), 0),
  ],
  [
    'filter-beyond-the-end',
    'a Topic Filter longer than the packet',
    ['MQTT-4.8.0-1'],
    ['MQTT-4.13.1-1'],
    (v5) => packet(0x82, u16(1), v5 ? 0 : [], hex('00 40 61 62 63')),
  ],
]

for (const [id, title, v3, v5, bytes] of MALFORMED) {
  defineCase({
    id,
    area: 'subscribe',
    title: `SUBSCRIBE with ${title} closes the connection`,
    clauses: { '3.1.1': ['MQTT-4.8.0-1', ...v3], '5': ['MQTT-4.13.1-1', ...v5] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, bytes(t.v5), title, [0x81, 0x82])
    },
  })
}

defineCase({
  id: 'retain-handling-3',
  area: 'subscribe',
  title: 'Retain Handling 3 is a Protocol Error and closes the connection',
  clauses: { '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const client = await t.connect()
    await t.rejected(client, wire.subscribe(5, 1, [[t.topic('a'), 0x30]]), 'Retain Handling is 3', [0x81, 0x82])
  },
})

defineCase({
  id: 'wildcards-unsupported',
  area: 'subscribe',
  title: 'A server without wildcard support refuses filters with wildcards',
  clauses: { '3.1.1': ['MQTT-3.8.3-2'], '5': [] },
  async run(t) {
    if (t.features.wildcards) t.skip('the server supports wildcards')
    const client = await t.connect()
    for (const filter of [t.topic('+'), t.topic('#')]) {
      const suback = await client.subscribe([[filter, 0]], 0, { anyCode: true })
      t.check((suback.codes?.[0] ?? 0) >= 0x80, 'SUBACK that refuses', suback)
    }
  },
})

defineCase({
  id: 'no-local',
  area: 'subscribe',
  title: 'With No Local a client does not get its own messages; others still do',
  clauses: { '5': ['MQTT-3.8.3-3'] },
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect({ label: 'publishes and subscribes' })
    await client.subscribe([[topic, 0x04]])
    const other = await t.connect({ label: 'other' })
    await other.subscribe(topic, 0)
    await client.publish({ topic, payload: 'mine' })
    t.equal(text(await other.receive('the message, at the other client')), 'mine', 'the payload')
    t.none(await client.flush(), 'no message of its own')
    await other.publish({ topic, payload: 'yours' })
    t.equal(text(await client.receive('the message of the other client')), 'yours', 'the payload')
  },
})

// ---- Subscription Identifiers ---------------------------------------------------------------------------------

const identifiers = (message: Packet): number[] =>
  (message.properties ?? [])
    .filter((p) => p.name === 'subscriptionIdentifier')
    .map((p) => Number(p.value))
    .sort((a, b) => a - b)

for (const value of [1, 127, 128, 268_435_455]) {
  defineCase({
    id: `identifier-${value}`,
    area: 'subscribe',
    title: `A message carries the Subscription Identifier ${value} of its subscription`,
    clauses: { '5': ['MQTT-3.3.4-3', 'MQTT-3.3.4-4'] },
    needs: ['subscription-ids'],
    async run(t) {
      const topic = t.topic('a')
      const client = await t.connect()
      await client.subscribe([[topic, 0]], 0, { properties: [property('subscriptionIdentifier', value)] })
      await client.publish({ topic, payload: 'x' })
      t.equal(identifiers(await client.receive('the message')), [value], 'the identifiers')
    },
  })
}

defineCase({
  id: 'identifiers-of-overlapping-subscriptions',
  area: 'subscribe',
  title: 'A message for overlapping subscriptions carries the identifiers of all of them, in one copy or in several',
  clauses: { '5': ['MQTT-3.3.4-3', 'MQTT-3.3.4-4', 'MQTT-3.3.4-5'] },
  needs: ['subscription-ids', 'wildcards'],
  async run(t) {
    const subscriber = await t.connect({ label: 'subscriber' })
    const publisher = await t.connect({ label: 'publisher' })
    const settled = await marker(t, subscriber, publisher, 0)
    const filters = [t.topic('a', 'b'), t.topic('a', '+'), t.topic('a', '#'), t.topic('other')]
    for (const [n, filter] of filters.entries()) {
      await subscriber.subscribe([[filter, 0]], 0, { properties: [property('subscriptionIdentifier', n + 11)] })
    }
    await subscriber.subscribe(t.topic('+', 'b'), 0)
    await publisher.publish({ topic: t.topic('a', 'b'), payload: 'x' })
    const messages = await settled('one to four copies', 1)
    // Copies, if there are several, need not come together.
    messages.push(...(await settled('further copies')))
    t.check(messages.length >= 1 && messages.length <= 4, 'one to four copies', `${messages.length}`)
    const all = messages.flatMap(identifiers).sort((a, b) => a - b)
    t.equal(all, [11, 12, 13], 'the identifiers of all copies together')
  },
})

defineCase({
  id: 'identifier-replaced',
  area: 'subscribe',
  title: 'A repeated SUBSCRIBE replaces or removes the Subscription Identifier',
  clauses: { '5': ['MQTT-3.8.4-3', 'MQTT-3.3.4-3'] },
  needs: ['subscription-ids'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    for (const list of [[5], [6], []]) {
      await client.subscribe([[topic, 0]], 0, { properties: list.map((id) => property('subscriptionIdentifier', id)) })
      await client.publish({ topic, payload: 'x' })
      t.equal(identifiers(await client.receive('the message')), list, 'the identifiers')
    }
  },
})

defineCase({
  id: 'identifier-of-a-resumed-session',
  area: 'subscribe',
  title: 'Subscription Identifiers belong to the session and survive a reconnection',
  clauses: { '5': ['MQTT-3.3.4-3', 'MQTT-3.1.2-5'] },
  needs: ['subscription-ids', 'sessions'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe([[topic, 0]], 0, { properties: [property('subscriptionIdentifier', 42)] })
    await first.disconnect()
    const second = await t.connectPersistent({ label: 'second' })
    await second.publish({ topic, payload: 'x' })
    t.equal(identifiers(await second.receive('the message')), [42], 'the identifiers')
  },
})

defineCase({
  id: 'identifier-with-retained',
  area: 'subscribe',
  title: 'A retained message carries the Subscription Identifier of the new subscription',
  clauses: { '5': ['MQTT-3.3.4-3'] },
  needs: ['subscription-ids', 'retain'],
  async run(t) {
    const topic = t.topic('a')
    const client = await t.connect()
    await retain(t, client, { topic, payload: 'kept' })
    await client.subscribe([[topic, 0]], 0, { properties: [property('subscriptionIdentifier', 7)] })
    t.equal(identifiers(await client.receive('the retained message')), [7], 'the identifiers')
  },
})
