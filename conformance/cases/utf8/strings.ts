// Strings that are no UTF-8, strings with U+0000, and the character U+FEFF that must survive.

import { defineCase } from '../../case.ts'
import type { Context } from '../../context.ts'
import * as wire from '../../wire.ts'
import { cat, hex, property } from '../../wire.ts'
import { pair, text } from '../common.ts'

/** Byte sequences that are not well-formed UTF-8. */
const ILL_FORMED: [name: string, bytes: Buffer][] = [
  ['surrogate', hex('ed a0 80')],
  ['surrogate-low', hex('ed bf bf')],
  ['overlong', hex('c0 af')],
  ['overlong-null', hex('c0 80')],
  ['beyond-unicode', hex('f4 90 80 80')],
  ['cut-short', hex('e2 82')],
  ['stray-continuation', hex('80')],
  ['byte-ff', hex('ff')],
]

const U0000 = hex('61 00 62')

/** Places a string can stand in; each builds the connection and the packet that carries the bytes. */
type Place = [
  name: string,
  clauses: { '3.1.1'?: string[]; '5': string[] },
  send: (t: Context, bytes: Buffer) => Promise<{ client: Awaited<ReturnType<Context['open']>>; packet: Buffer }>,
]

const connected =
  (build: (t: Context, bytes: Buffer) => Buffer): Place[2] =>
  async (t, bytes) => ({ client: await t.connect(), packet: build(t, bytes) })

const connecting =
  (build: (t: Context, bytes: Buffer) => wire.ConnectOptions): Place[2] =>
  async (t, bytes) => ({
    client: await t.open(),
    packet: wire.connect(t.version, { ...t.connectOptions({ clientId: t.id() }), ...build(t, bytes) }),
  })

const PLACES: Place[] = [
  [
    'topic-name',
    { '3.1.1': ['MQTT-3.3.2-1'], '5': ['MQTT-3.3.2-1'] },
    connected((t, bytes) => wire.publish(t.version, { topic: cat(Buffer.from(t.topic('')), bytes) })),
  ],
  [
    'topic-filter',
    { '3.1.1': ['MQTT-3.8.3-1'], '5': ['MQTT-3.8.3-1'] },
    connected((t, bytes) => wire.subscribe(t.version, 1, [[cat(Buffer.from(t.topic('')), bytes), 0]])),
  ],
  [
    'unsubscribe-filter',
    { '3.1.1': ['MQTT-3.10.3-1'], '5': ['MQTT-3.10.3-1'] },
    connected((t, bytes) => wire.unsubscribe(t.version, 1, [cat(Buffer.from(t.topic('')), bytes)])),
  ],
  [
    'client-id',
    { '3.1.1': ['MQTT-3.1.3-4', 'MQTT-3.1.4-1'], '5': ['MQTT-3.1.3-4', 'MQTT-3.1.4-1'] },
    connecting((t, bytes) => ({ clientId: cat(Buffer.from(t.id()), bytes) })),
  ],
  [
    'will-topic',
    { '3.1.1': ['MQTT-3.1.3-10', 'MQTT-3.1.4-1'], '5': ['MQTT-3.1.3-11', 'MQTT-3.1.4-1'] },
    connecting((t, bytes) => ({ will: { topic: cat(Buffer.from(t.topic('')), bytes), payload: 'will' } })),
  ],
  [
    'user-name',
    { '3.1.1': ['MQTT-3.1.3-11', 'MQTT-3.1.4-1'], '5': ['MQTT-3.1.3-12', 'MQTT-3.1.4-1'] },
    connecting((_, bytes) => ({ username: bytes, password: 'x' })),
  ],
]

for (const [place, clauses, send] of PLACES) {
  const list = {
    '3.1.1': ['MQTT-1.5.3-1', ...(clauses['3.1.1'] ?? [])],
    '5': ['MQTT-1.5.4-1', 'MQTT-4.13.1-1', ...clauses['5']],
  }
  const many = place === 'topic-name' ? ILL_FORMED : ILL_FORMED.slice(0, 1)
  for (const [name, bytes] of many) {
    defineCase({
      id: `${place}-${name}`,
      area: 'utf8',
      title: `Ill-formed UTF-8 (${name}) in the ${place.replace('-', ' ')} closes the connection`,
      clauses: list,
      async run(t) {
        const { client, packet } = await send(t, bytes)
        await t.rejected(client, packet, `the ${place} ends with the bytes ${bytes.toString('hex')}, no UTF-8`, [0x81])
      },
    })
  }
  const nul = place.startsWith('topic') || place.includes('filter') || place === 'will-topic'
  defineCase({
    id: `${place}-u0000`,
    area: 'utf8',
    title: `U+0000 in the ${place.replace('-', ' ')} closes the connection`,
    clauses: {
      '3.1.1': ['MQTT-1.5.3-2', ...(nul ? ['MQTT-4.7.3-2'] : [])],
      '5': ['MQTT-1.5.4-2', 'MQTT-4.13.1-1', ...(nul ? ['MQTT-4.7.3-2'] : [])],
    },
    async run(t) {
      const { client, packet } = await send(t, U0000)
      await t.rejected(client, packet, `the ${place} contains U+0000`, [0x81])
    },
  })
}

/** Strings among the properties of MQTT 5.0. */
const PROPERTY_STRINGS: [name: string, clauses: string[], build: (bad: Buffer) => Buffer][] = [
  ['response-topic', ['MQTT-3.3.2-13'], (bad) => property('responseTopic', bad)],
  ['content-type', ['MQTT-3.3.2-19'], (bad) => property('contentType', bad)],
  ['user-property-name', ['MQTT-1.5.7-1'], (bad) => cat(0x26, wire.str(bad), wire.str('value'))],
  ['user-property-value', ['MQTT-1.5.7-1'], (bad) => cat(0x26, wire.str('name'), wire.str(bad))],
]

for (const [name, clauses, build] of PROPERTY_STRINGS) {
  for (const [what, bad, clause] of [
    ['surrogate', hex('61 ed a0 80'), 'MQTT-1.5.4-1'],
    ['u0000', U0000, 'MQTT-1.5.4-2'],
  ] as const) {
    defineCase({
      id: `${name}-${what}`,
      area: 'utf8',
      title: `A ${name.replaceAll('-', ' ')} in PUBLISH with ${what === 'u0000' ? 'U+0000' : 'a surrogate'} closes the connection`,
      clauses: { '5': [clause, 'MQTT-4.13.1-1', ...clauses] },
      async run(t) {
        const client = await t.connect()
        const bytes = wire.publish(5, { topic: t.topic('a'), payload: 'x', properties: [build(bad)] })
        await t.rejected(client, bytes, `the ${name} has the bytes ${bad.toString('hex')}`, [0x81])
      },
    })
  }
}

defineCase({
  id: 'u-feff-is-kept',
  area: 'utf8',
  title: 'EF BB BF in a Topic Name is U+FEFF: it is neither stripped nor ignored in matching',
  clauses: { '3.1.1': ['MQTT-1.5.3-3', 'MQTT-4.7.3-4'], '5': ['MQTT-1.5.4-3', 'MQTT-4.7.3-4'] },
  async run(t) {
    const plain = t.topic('bom', 'x')
    const marked = t.topic('bom', '\ufeffx')
    const { subscriber, publisher, settled } = await pair(t, marked)
    publisher.send(wire.publish(t.version, { topic: plain, payload: 'without' }), 'the same topic without U+FEFF')
    await publisher.publish({ topic: marked, payload: 'with' })
    const messages = await settled('only the message whose topic has U+FEFF', 1)
    t.equal(messages.map(text), ['with'], 'the messages')
    t.equal(Buffer.from(messages[0]?.topic ?? '').toString('hex'), Buffer.from(marked).toString('hex'), 'the topic')
    t.check(!subscriber.isClosed, 'the connection still open')
  },
})

defineCase({
  id: 'no-normalization',
  area: 'utf8',
  title: 'A composed and a decomposed é are different topics',
  clauses: { '3.1.1': ['MQTT-4.7.3-4'], '5': ['MQTT-4.7.3-4'] },
  async run(t) {
    const composed = t.topic('caf\u00e9')
    const decomposed = t.topic('cafe\u0301')
    const { publisher, settled } = await pair(t, composed)
    await publisher.publish({ topic: decomposed, payload: 'decomposed' })
    await publisher.publish({ topic: composed, payload: 'composed' })
    t.equal((await settled('only the topic subscribed to', 1)).map(text), ['composed'], 'the messages')
  },
})
