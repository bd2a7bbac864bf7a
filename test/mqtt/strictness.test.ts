// Every packet a client can send × every field × every way in which that field can be wrong, derived from the layout of the
// packets as the specification draws them. The fixtures say what each refusal is called; here none may be missing.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MqttError } from '../../src/mqtt/mqtt-error.ts'
import type { ProtocolVersion } from '../../src/mqtt/protocol-version.ts'
import { decode } from './decode.ts'

type Kind =
  | 'name'
  | 'level'
  | 'flags'
  | 'number'
  | 'id'
  | 'string'
  | 'topic'
  | 'binary'
  | 'properties'
  | 'code'
  | 'options'
  | 'payload'

interface Field {
  readonly name: string
  readonly kind: Kind
  readonly bytes: readonly number[]
  /** The packet may end before it: what is optional at its end. */
  readonly mayEnd?: true
  /** Values of a one-byte field that are allowed. */
  readonly allowed?: readonly number[]
}

interface Layout {
  readonly name: string
  readonly first: number
  readonly versions: readonly ProtocolVersion[]
  readonly fields: readonly Field[]
}

const text = (word: string): number[] => [0, word.length, ...Buffer.from(word)]
const field = (name: string, kind: Kind, bytes: readonly number[], more: Partial<Field> = {}): Field => ({
  name,
  kind,
  bytes,
  ...more,
})
const properties = (...bytes: number[]): Field => field('Properties', 'properties', [bytes.length, ...bytes])
const identifier = field('Packet Identifier', 'id', [0, 1])
const BYTES = Array.from({ length: 256 }, (_, value) => value)

/** Subscription Options of 5.0, the Requested QoS before. */
const optionsOf = (version: ProtocolVersion): number[] =>
  BYTES.filter((o) => (version === 5 ? (o & 3) < 3 && (o & 0x30) < 0x30 && o < 0x40 : o < 3))

/** CONNECT with everything in it. 0xce: User Name, Password, Will QoS 1, Will, Clean Start. */
const connect = (version: ProtocolVersion): Layout => ({
  name: 'CONNECT',
  first: 0x10,
  versions: [version],
  fields: [
    field('Protocol Name', 'name', text(version === 3 ? 'MQIsdp' : 'MQTT')),
    field('Protocol Level', 'level', [version]),
    // Of their bits 3.1 leaves the last one without a meaning.
    field('Connect Flags', 'flags', [0xce], version === 3 ? { allowed: [0xcf] } : {}),
    field('Keep Alive', 'number', [0, 60]),
    ...(version === 5 ? [properties(0x21, 0, 9)] : []),
    field('ClientID', 'string', text('c1')),
    ...(version === 5 ? [{ ...properties(0x01, 1), name: 'Will Properties' }] : []),
    field('Will Topic', 'topic', text('w')),
    field('Will Payload', 'binary', text('x')),
    // 3.1 lets them be announced and then missing.
    field('User Name', 'string', text('u'), version === 3 ? { mayEnd: true } : {}),
    field('Password', 'binary', text('p'), version === 3 ? { mayEnd: true } : {}),
  ],
})

const acknowledgement = (name: string, first: number, codes: readonly number[]): Layout[] => [
  { name, first, versions: [3, 4], fields: [identifier] },
  {
    name,
    first,
    versions: [5],
    fields: [
      identifier,
      field('Reason Code', 'code', [0], { mayEnd: true, allowed: codes }),
      { ...properties(0x1f, 0, 1, 0x78), mayEnd: true },
    ],
  },
]

const PUBLISHED = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const RELEASED = [0x00, 0x92]
const LEFT = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]

const layouts: readonly Layout[] = [
  connect(3),
  connect(4),
  connect(5),
  ...[0x30, 0x32, 0x34].flatMap((first): Layout[] => {
    const start = [field('Topic Name', 'topic', text('a/b')), ...(first > 0x30 ? [identifier] : [])]
    const payload = field('Payload', 'payload', [1, 2], { mayEnd: true })
    const name = `PUBLISH of QoS ${(first >> 1) & 3}`
    return [
      { name, first, versions: [3, 4], fields: [...start, payload] },
      { name, first, versions: [5], fields: [...start, properties(0x02, 0, 0, 0, 9), payload] },
    ]
  }),
  ...acknowledgement('PUBACK', 0x40, PUBLISHED),
  ...acknowledgement('PUBREC', 0x50, PUBLISHED),
  ...acknowledgement('PUBREL', 0x62, RELEASED),
  ...acknowledgement('PUBCOMP', 0x70, RELEASED),
  ...([3, 4, 5] as const).map(
    (version): Layout => ({
      name: 'SUBSCRIBE',
      first: 0x82,
      versions: [version],
      fields: [
        identifier,
        ...(version === 5 ? [properties(0x0b, 7)] : []),
        field('Topic Filter', 'string', text('a/+')),
        field('Options', 'options', [1], { allowed: optionsOf(version) }),
        field('second Topic Filter', 'string', text('b'), { mayEnd: true }),
        field('second Options', 'options', [0], { allowed: optionsOf(version) }),
      ],
    }),
  ),
  ...([3, 4, 5] as const).map(
    (version): Layout => ({
      name: 'UNSUBSCRIBE',
      first: 0xa2,
      versions: [version],
      fields: [
        identifier,
        ...(version === 5 ? [properties(0x26, 0, 1, 0x6b, 0, 1, 0x76)] : []),
        field('Topic Filter', 'string', text('a/+')),
        field('second Topic Filter', 'string', text('b'), { mayEnd: true }),
      ],
    }),
  ),
  { name: 'PINGREQ', first: 0xc0, versions: [3, 4, 5], fields: [] },
  { name: 'DISCONNECT', first: 0xe0, versions: [3, 4], fields: [] },
  {
    name: 'DISCONNECT',
    first: 0xe0,
    versions: [5],
    fields: [
      field('Reason Code', 'code', [0], { mayEnd: true, allowed: LEFT }),
      { ...properties(0x11, 0, 0, 0, 9), mayEnd: true },
    ],
  },
  {
    name: 'AUTH',
    first: 0xf0,
    versions: [5],
    fields: [field('Reason Code', 'code', [0x18], { allowed: [0x18, 0x19] }), properties(0x15, 0, 1, 0x4d)],
  },
]

const ILL: readonly (readonly [what: string, bytes: readonly number[]])[] = [
  ['a lone byte FF', [0xff]],
  ['a continuation byte alone', [0x80]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['an overlong null', [0xc0, 0x80]],
  ['a code point beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
  ['a character cut short', [0x61, 0xe2, 0x82]],
  ['U+0000', [0x61, 0x00]],
]

/** What the rest of the CONNECT contradicts, or the specification. */
const FLAGS = [
  ['the reserved bit', 0xcf],
  ['Will QoS 3', 0xde],
  ['Will QoS without a Will', 0xca],
  ['Will Retain without a Will', 0xe2],
  ['no User Name announced', 0x4e],
  ['no Password announced', 0x8e],
  ['nothing announced', 0x02],
] as const

const prefixed = (bytes: readonly number[]): number[] => [0, bytes.length, ...bytes]

/** The field's wrong values: what is wrong, and its bytes. `rest` is what stands behind it. */
function faultsOf(
  { kind, bytes, allowed }: Field,
  rest: number,
): (readonly [what: string, bytes: readonly number[]])[] {
  const beyond = bytes.length - 2 + rest + 1
  const tooLong = ['a length beyond the end of the packet', [beyond >> 8, beyond & 0xff, ...bytes.slice(2)]] as const
  switch (kind) {
    case 'string':
      return [tooLong, ...ILL.map(([what, ill]) => [what, prefixed(ill)] as const)]
    case 'topic':
      return [
        tooLong,
        ...ILL.map(([what, ill]) => [what, prefixed(ill)] as const),
        ['no character', [0, 0]],
        ...['+', '#', 'a/+', 'a/#', 'a+', 'a#b'].map((topic) => [`the wildcard in ${topic}`, text(topic)] as const),
      ]
    case 'binary':
      return [tooLong]
    case 'id':
      return [['0', [0, 0]]]
    case 'properties':
      return [
        ['a length beyond the end of the packet', [bytes.length - 1 + rest + 1, ...bytes.slice(1)]],
        ['a length of two bytes where one will do', [bytes[0]! | 0x80, 0, ...bytes.slice(1)]],
        ['a length of five bytes', [0x80, 0x80, 0x80, 0x80, 0x01, ...bytes.slice(1)]],
        ['a length that cuts off its last value', [bytes[0]! - 1, ...bytes.slice(1)]],
        ['an identifier nobody defined', [2, 0x7f, 0]],
        ['identifier 0', [2, 0, 0]],
        ['an identifier of two bytes', [3, 0xa6, 0x01, 0]],
      ]
    case 'code':
    case 'options':
      return BYTES.filter((value) => !allowed?.includes(value)).map(
        (value) => [`0x${value.toString(16)}`, [value]] as const,
      )
    case 'name':
      return ['mqtt', 'MQTX', 'MQT', 'MQTTT', ''].map((name) => [JSON.stringify(name), text(name)] as const)
    case 'level':
      return [0, 1, 2, 6, 0x7f, 0xff].map((level) => [`${level}`, [level]] as const)
    case 'flags':
      return FLAGS.filter(([, value]) => !allowed?.includes(value)).map(([what, value]) => [what, [value]] as const)
    case 'number':
    case 'payload':
      return []
  }
}

const packet = (first: number, body: readonly number[]): Uint8Array =>
  Uint8Array.from([
    first,
    ...(body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7]),
    ...body,
  ])

/** undefined if the bytes are refused as they should be: by an MqttError, never by another exception. */
function accepted(bytes: Uint8Array, version: ProtocolVersion): string | undefined {
  try {
    return JSON.stringify(decode(bytes, version))
  } catch (error) {
    if (error instanceof MqttError && error.reasonCode >= 0x80) return undefined
    throw error
  }
}

const bodyOf = (fields: readonly Field[]): number[] => fields.flatMap((one) => [...one.bytes])

/** Everything accepted that should not have been. */
function wrongly(version: ProtocolVersion, packets: readonly (readonly [what: string, bytes: Uint8Array])[]): string[] {
  return packets.flatMap(([what, bytes]) => {
    const said = accepted(bytes, version)
    return said === undefined ? [] : [`${what}: ${Buffer.from(bytes).toString('hex')} is read as ${said}`]
  })
}

for (const { name, first, versions, fields } of layouts) {
  for (const version of versions) {
    const body = bodyOf(fields)

    test(`version ${version}: ${name} is read as it should be`, () => {
      assert.type(accepted(packet(first, body), version), 'string')
    })

    // MQTT 3.1 left the flags of most packets without a meaning, and clients set them.
    if (!name.startsWith('PUBLISH') && version > 3) {
      test(`version ${version}: ${name} with any other flags in its first byte is refused`, () => {
        const others = BYTES.filter((byte) => byte >> 4 === first >> 4 && byte !== first)
        const packets = others.map((byte) => [`first byte 0x${byte.toString(16)}`, packet(byte, body)] as const)
        assert.equal(wrongly(version, packets), [])
      })
    }

    test(`version ${version}: ${name} that ends too early or too late is refused`, () => {
      const ends = new Set<number>()
      let at = 0
      for (const { bytes, kind, mayEnd } of fields) {
        // A payload may end anywhere.
        for (let cut = 0; cut < (kind === 'payload' ? bytes.length : 1); cut++) if (mayEnd) ends.add(at + cut)
        at += bytes.length
      }
      const cuts = body.map((_, length) => length).filter((length) => !ends.has(length))
      const packets = cuts.map((cut) => [`${cut} of ${body.length} bytes`, packet(first, body.slice(0, cut))] as const)
      const longer = name.startsWith('PUBLISH') ? [] : [['a byte more', packet(first, [...body, 0])] as const]
      assert.equal(wrongly(version, [...packets, ...longer]), [])
    })

    for (const [index, one] of fields.entries()) {
      const behind = bodyOf(fields.slice(index + 1))
      const faults = faultsOf(one, behind.length)
      if (faults.length === 0) continue
      test(`version ${version}: ${name} with a wrong ${one.name} is refused, ${faults.length} ways`, () => {
        const before = bodyOf(fields.slice(0, index))
        const packets = faults.map(([what, bytes]) => [what, packet(first, [...before, ...bytes, ...behind])] as const)
        assert.equal(wrongly(version, packets), [])
      })
    }
  }
}

test.run()
