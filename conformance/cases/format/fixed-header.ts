// The fixed header: reserved flags, reserved types, Remaining Length, and packets in the wrong direction.

import { defineCase } from '../../case.ts'
import * as wire from '../../wire.ts'
import { cat, hex, str, u16 } from '../../wire.ts'

const FLAGS = { '3.1.1': ['MQTT-2.2.2-2', 'MQTT-2.2.2-1'], '5': ['MQTT-2.1.3-1', 'MQTT-4.13.1-1'] }

/** Packets right in everything but the four flag bits. `bytes` starts with the wrong first byte. */
const WRONG_FLAGS: [name: string, more: { '3.1.1'?: string[]; '5'?: string[] }, bytes: (v5: boolean) => Buffer][] = [
  ['puback', {}, () => hex('41 02 00 01')],
  ['pubrec', {}, () => hex('52 02 00 01')],
  ['pubrel', { '3.1.1': ['MQTT-3.6.1-1'], '5': ['MQTT-3.6.1-1'] }, () => hex('60 02 00 01')],
  ['pubcomp', {}, () => hex('71 02 00 01')],
  [
    'subscribe',
    { '3.1.1': ['MQTT-3.8.1-1'], '5': ['MQTT-3.8.1-1'] },
    (v5) => wire.packet(0x80, u16(1), v5 ? 0 : [], str('conformance/flags'), 0),
  ],
  [
    'unsubscribe',
    { '3.1.1': ['MQTT-3.10.1-1'], '5': ['MQTT-3.10.1-1'] },
    (v5) => wire.packet(0xa0, u16(1), v5 ? 0 : [], str('conformance/flags')),
  ],
  ['pingreq', {}, () => hex('c1 00')],
  ['disconnect', { '3.1.1': ['MQTT-3.14.1-1'], '5': ['MQTT-3.14.1-1'] }, () => hex('e1 00')],
]

for (const [name, more, bytes] of WRONG_FLAGS) {
  defineCase({
    id: `${name}-flags`,
    area: 'format',
    title: `${name.toUpperCase()} with wrong fixed-header flags closes the connection`,
    clauses: { '3.1.1': [...FLAGS['3.1.1'], ...(more['3.1.1'] ?? [])], '5': [...FLAGS['5'], ...(more['5'] ?? [])] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, bytes(t.v5), `the reserved flags of ${name.toUpperCase()} are wrong`, [0x81])
    },
  })
}

defineCase({
  id: 'connect-flags',
  area: 'format',
  title: 'CONNECT with wrong fixed-header flags closes the connection',
  clauses: { '3.1.1': FLAGS['3.1.1'], '5': FLAGS['5'] },
  async run(t) {
    const client = await t.open()
    const bytes = wire.connect(t.version, t.connectOptions({ clientId: t.id() }))
    bytes[0] = 0x11
    await t.rejected(client, bytes, 'the reserved flags of CONNECT are 0001 instead of 0000', [0x81])
  },
})

defineCase({
  id: 'reserved-type-0',
  area: 'format',
  title: 'A packet of the reserved type 0 closes the connection',
  clauses: { '3.1.1': ['MQTT-4.8.0-1'], '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const client = await t.connect()
    await t.rejected(client, hex('00 00'), 'packet type 0 is reserved', [0x81, 0x82])
  },
})

defineCase({
  id: 'reserved-type-15',
  area: 'format',
  title: 'A packet of type 15, reserved in 3.1.1, closes the connection',
  clauses: { '3.1.1': ['MQTT-4.8.0-1'] },
  async run(t) {
    const client = await t.connect()
    await t.rejected(client, hex('f0 00'), 'packet type 15 is reserved')
  },
})

defineCase({
  id: 'remaining-length-of-five-bytes',
  area: 'format',
  title: 'A Remaining Length of five bytes closes the connection',
  clauses: { '3.1.1': ['MQTT-4.8.0-1'], '5': ['MQTT-4.13.1-1'] },
  async run(t) {
    const client = await t.connect()
    await t.rejected(client, hex('30 80 80 80 80 01'), 'Remaining Length has more than four bytes', [0x81])
  },
})

/** Packets that only a server sends. */
const WRONG_DIRECTION: [name: string, bytes: (v5: boolean) => Buffer][] = [
  ['connack', (v5) => (v5 ? hex('20 03 00 00 00') : hex('20 02 00 00'))],
  ['suback', (v5) => (v5 ? hex('90 04 00 01 00 00') : hex('90 03 00 01 00'))],
  ['unsuback', (v5) => (v5 ? hex('b0 04 00 01 00 00') : hex('b0 02 00 01'))],
  ['pingresp', () => hex('d0 00')],
]

for (const [name, bytes] of WRONG_DIRECTION) {
  defineCase({
    id: `${name}-from-client`,
    area: 'format',
    title: `${name.toUpperCase()} from a client is a protocol violation and closes the connection`,
    clauses: { '3.1.1': ['MQTT-4.8.0-1'], '5': ['MQTT-4.13.1-1'] },
    async run(t) {
      const client = await t.connect()
      await t.rejected(client, bytes(t.v5), `${name.toUpperCase()} flows from server to client only`, [0x81, 0x82])
    },
  })
}

defineCase({
  id: 'byte-by-byte',
  area: 'format',
  title: 'Packets that arrive one byte at a time are put together',
  clauses: { '3.1.1': ['MQTT-7.1.1-1'], '5': ['MQTT-4.2-1'] },
  async run(t) {
    const client = await t.open()
    const bytes = cat(
      wire.connect(t.version, t.connectOptions({ clientId: t.id() })),
      wire.subscribe(t.version, 1, [[t.topic('a'), 0]]),
      wire.publish(t.version, { topic: t.topic('a'), payload: 'in pieces' }),
      wire.PINGREQ,
    )
    for (const byte of bytes) {
      client.send(Buffer.of(byte))
      // One macrotask between the bytes gives the kernel the chance to send them apart.
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    await client.take('connack', { why: 'CONNACK' })
    await client.take('suback', { why: 'SUBACK' })
    const message = await client.take('publish', { why: 'the message back' })
    t.equal(message.payload?.toString(), 'in pieces', 'the payload')
    await client.take('pingresp', { why: 'PINGRESP' })
  },
})

defineCase({
  id: 'many-packets-in-one-write',
  area: 'format',
  title: 'Many packets in one segment are all handled, in their order',
  clauses: { '3.1.1': ['MQTT-7.1.1-1'], '5': ['MQTT-4.2-1'] },
  async run(t) {
    const client = await t.connect()
    const topic = t.topic('a')
    const messages = Array.from({ length: 100 }, (_, n) => wire.publish(t.version, { topic, payload: `${n}` }))
    client.send(cat(wire.subscribe(t.version, 1, [[topic, 0]]), ...messages, wire.PINGREQ))
    await client.take('suback', { why: 'SUBACK' })
    for (let n = 0; n < 100; n++) {
      const message = await client.take('publish')
      if (message.payload?.toString() !== `${n}`) t.fail(`message ${n} next`, `${message.payload}`)
    }
    await client.take('pingresp', { why: 'PINGRESP after 100 messages in order' })
  },
})
