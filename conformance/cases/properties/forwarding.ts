// Properties that travel with a message, and those that answer a request.

import { defineCase, defineInvariant } from '../../case.ts'
import { describe, type Packet, prop, props } from '../../packet.ts'
import { SERVER_REASON_CODES } from '../../protocol.ts'
import * as wire from '../../wire.ts'
import { property } from '../../wire.ts'
import { pair, retain, text } from '../common.ts'

const FORWARDED: [id: string, name: string, clauses: string[], values: (number | string | Buffer)[]][] = [
  ['payload-format-indicator', 'payloadFormatIndicator', ['MQTT-3.3.2-4'], [0, 1]],
  ['content-type', 'contentType', ['MQTT-3.3.2-20', 'MQTT-3.3.2-19'], ['text/plain', '', 'ü/☃']],
  ['response-topic', 'responseTopic', ['MQTT-3.3.2-15', 'MQTT-3.3.2-13'], ['conformance/answers', '/']],
  [
    'correlation-data',
    'correlationData',
    ['MQTT-3.3.2-16'],
    [Buffer.from('id'), Buffer.of(0, 255, 128), Buffer.alloc(0)],
  ],
]

for (const [id, name, clauses, values] of FORWARDED) {
  defineCase({
    id: `${id}-is-forwarded`,
    area: 'properties',
    title: `${id.replaceAll('-', ' ')} reaches subscribers unaltered`,
    clauses: { '5': clauses },
    async run(t) {
      const topic = t.topic('a')
      const { subscriber, publisher } = await pair(t, topic)
      for (const value of values) {
        await publisher.publish({ topic, payload: 'x', properties: [property(name, value)] })
        const message = await subscriber.receive('the message')
        // An indicator of 0 says what its absence says.
        if (name === 'payloadFormatIndicator' && value === 0 && prop(message, name) === undefined) continue
        t.equal(prop(message, name), value, name)
      }
      await publisher.publish({ topic, payload: 'x' })
      t.equal(prop(await subscriber.receive('a message without the property'), name), undefined, name)
    },
  })
}

defineCase({
  id: 'user-properties-are-forwarded',
  area: 'properties',
  title: 'User Properties reach subscribers unaltered and in their order, repeated names included',
  clauses: { '5': ['MQTT-3.3.2-17', 'MQTT-3.3.2-18'] },
  async run(t) {
    const pairs: [string, string][] = [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
      ['', 'empty name'],
      ['a', ''],
      ['ü', '☃'],
      ['b', '1'],
    ]
    const topic = t.topic('a')
    const { subscriber, publisher } = await pair(t, topic)
    await publisher.publish({ topic, payload: 'x', properties: pairs.map((one) => property('userProperty', one)) })
    t.equal(props(await subscriber.receive('the message'), 'userProperty'), pairs, 'User Properties')
  },
})

defineCase({
  id: 'all-survive-retention',
  area: 'properties',
  title: 'A retained message keeps its properties',
  clauses: { '5': ['MQTT-3.3.2-4', 'MQTT-3.3.2-15', 'MQTT-3.3.2-16', 'MQTT-3.3.2-17', 'MQTT-3.3.2-20'] },
  needs: ['retain'],
  async run(t) {
    const topic = t.topic('a')
    const publisher = await t.connect({ label: 'publisher' })
    await retain(t, publisher, {
      topic,
      payload: 'kept',
      properties: [
        property('payloadFormatIndicator', 1),
        property('contentType', 'text/plain'),
        property('responseTopic', 'answers'),
        property('correlationData', Buffer.of(0, 1)),
        property('userProperty', ['a', 'b']),
      ],
    })
    const late = await t.connect({ label: 'subscribes later' })
    await late.subscribe(topic, 0)
    const message = await late.receive('the retained message')
    const names = ['payloadFormatIndicator', 'contentType', 'responseTopic', 'correlationData', 'userProperty']
    t.equal(
      names.map((name) => prop(message, name)),
      [1, 'text/plain', 'answers', Buffer.of(0, 1), ['a', 'b']],
      'the properties',
    )
  },
})

defineCase({
  id: 'all-survive-the-session-queue',
  area: 'properties',
  title: 'A message stored for a session that is away keeps its properties',
  clauses: { '5': ['MQTT-3.3.2-4', 'MQTT-3.3.2-15', 'MQTT-3.3.2-16', 'MQTT-3.3.2-17', 'MQTT-3.3.2-20'] },
  needs: ['sessions', 'qos1'],
  async run(t) {
    const topic = t.topic('a')
    const first = await t.connectPersistent({ label: 'first' })
    await first.subscribe(topic, 1)
    await first.disconnect()
    const publisher = await t.connect({ label: 'publisher' })
    const list = [
      property('payloadFormatIndicator', 1),
      property('contentType', 'text/plain'),
      property('responseTopic', 'answers'),
      property('correlationData', Buffer.of(0, 1)),
      property('userProperty', ['z', '1']),
      property('userProperty', ['a', '2']),
    ]
    await publisher.publish({ topic, payload: 'stored', qos: 1, properties: list })
    const second = await t.connectPersistent({ label: 'second' })
    const message = await second.receive('the stored message')
    const names = ['payloadFormatIndicator', 'contentType', 'responseTopic', 'correlationData']
    t.equal(
      names.map((name) => prop(message, name)),
      [1, 'text/plain', 'answers', Buffer.of(0, 1)],
      'the properties',
    )
    t.equal(
      props(message, 'userProperty'),
      [
        ['z', '1'],
        ['a', '2'],
      ],
      'User Properties',
    )
  },
})

// ---- Request Problem Information ------------------------------------------------------------------------------

const declinesProblems = (connect: Packet | undefined): boolean =>
  connect !== undefined && prop(connect, 'requestProblemInformation') === 0

defineInvariant({
  id: 'no-problem-information-unless-asked',
  area: 'properties',
  title:
    'With Request Problem Information 0, Reason String and User Properties stand only in PUBLISH, CONNACK and DISCONNECT',
  clauses: { '5': ['MQTT-3.1.2-29'] },
  judge: (log) => {
    const connect = log.entries.find((e) => e.direction === 'sent' && e.packet.kind === 'connect')?.packet
    if (!declinesProblems(connect)) return { applied: 0, broken: [] }
    const relevant = log.entries
      .filter((e) => e.direction === 'received')
      .map((e) => e.packet)
      .filter((p) => !['publish', 'connack', 'disconnect', 'pingresp'].includes(p.kind))
    const wrong = relevant.filter((p) => prop(p, 'reasonString') !== undefined || prop(p, 'userProperty') !== undefined)
    return { applied: relevant.length, broken: wrong.map(describe) }
  },
})

defineCase({
  id: 'request-problem-information-0',
  area: 'properties',
  title: 'A client that declines problem information gets none with its errors',
  clauses: { '5': ['MQTT-3.1.2-29'] },
  needs: ['qos2'],
  async run(t) {
    const client = await t.connect({ properties: [property('requestProblemInformation', 0)] })
    await client.unsubscribe([t.topic('never subscribed to')])
    await client.publish({ topic: t.topic('nobody'), payload: 'x', qos: 1 }, true)
    await client.publish({ topic: t.topic('nobody'), payload: 'x', qos: 2 }, true)
    client.send(wire.pubrel(77))
    await client.take('pubcomp', { where: (p) => p.packetId === 77, why: 'PUBCOMP with id 77' })
    client.send(wire.subscribe(5, 99, [['$share//x', 0]]), 'a filter that is not valid')
    const suback = await client.takeIfAny('suback', { within: 1000 })
    for (const { direction, packet } of client.log.entries) {
      if (direction === 'sent' || ['publish', 'connack', 'disconnect', 'pingresp'].includes(packet.kind)) continue
      const told = prop(packet, 'reasonString') ?? prop(packet, 'userProperty')
      t.check(told === undefined, `no Reason String or User Property in ${packet.kind.toUpperCase()}`, packet)
    }
    if (suback === undefined) await client.closed('a filter is not valid')
  },
})

// ---- reason codes of the acknowledgements ---------------------------------------------------------------------

for (const [kind, clause] of [
  ['puback', 'MQTT-3.4.2-1'],
  ['pubrec', 'MQTT-3.5.2-1'],
  ['pubrel', 'MQTT-3.6.2-1'],
  ['pubcomp', 'MQTT-3.7.2-1'],
  ['auth', 'MQTT-3.15.2-1'],
] as const) {
  defineInvariant({
    id: `${kind}-codes`,
    area: 'properties',
    title: `${kind.toUpperCase()} from the server carries a reason code that exists for it`,
    clauses: { '5': [clause] },
    judge: (log) => {
      const allowed = SERVER_REASON_CODES[kind] ?? []
      const all = log.entries.filter((e) => e.direction === 'received' && e.packet.kind === kind).map((e) => e.packet)
      return { applied: all.length, broken: all.filter((p) => !allowed.includes(p.code ?? 0)).map(describe) }
    },
  })
}

for (const [kind, form, bytes] of [
  [
    'puback',
    'long',
    (id: number) => wire.puback(id, 0, [property('reasonString', 'fine'), property('userProperty', ['a', 'b'])]),
  ],
  ['puback', 'code only', (id: number) => wire.puback(id, 0)],
] as const) {
  defineCase({
    id: `${kind}-${form.replace(' ', '-')}-form`,
    area: 'properties',
    title: `${kind.toUpperCase()} in its ${form} form is understood`,
    clauses: { '5': ['MQTT-4.3.2-3'] },
    needs: ['qos1'],
    async run(t) {
      const topic = t.topic('a')
      const { subscriber, publisher } = await pair(t, topic, 1, {
        subscriber: { properties: [property('receiveMaximum', 1)] },
      })
      for (const payload of ['one', 'two']) {
        await publisher.publish({ topic, payload, qos: 1 })
        const message = await subscriber.take('publish', { why: `message ${payload}` })
        t.equal(text(message), payload, 'the payload')
        subscriber.send(bytes(message.packetId ?? 0))
      }
      t.equal((await subscriber.flush()).length, 0, 'number of further packets')
    },
  })
}
