// What the fuzzed clients do, as plain data that fast-check can make and shrink: packets mostly right, of all three
// versions, and now and then anything at all.
import fc from 'fast-check'
import * as packets from '../support/packets.ts'
import { answer5, auth5, connect5, disconnect5, p, publish5, subscribe5, unsubscribe5 } from '../support/packets5.ts'

export const CLIENTS = 4
export const TOPICS = ['a', 'a/b', 'a/b/c', 'b', '', 'a/+', 'long/'.repeat(30)] as const
const FILTERS = [
  '#',
  'a/#',
  '+/b',
  'a',
  'a/b',
  '$share/g/a/#',
  '$share/g/a/b',
  '$share/h/a',
  'a/#/b',
  '$share/g',
  '',
] as const

/** How a fuzzed client introduces itself. */
export interface Introduction {
  version: packets.ProtocolVersion
  clean: boolean
  expiry: number
  receiveMaximum: number
  aliases: number
  maximumPacketSize: number
  will: boolean
  willDelay: number
}

interface Message {
  topic: number
  qos: packets.QoS
  retain: boolean
  dup: boolean
  id: number
  size: number
  alias: number
  expiry: number
  users: number
  format: number
}

export type Step =
  | { do: 'connect'; who: number; as: Introduction }
  | { do: 'publish'; who: number; message: Message }
  | { do: 'subscribe'; who: number; id: number; filters: { filter: number; bits: number }[]; identifier: number }
  | { do: 'unsubscribe'; who: number; id: number; filter: number }
  | { do: 'answer'; who: number; type: 'PUBACK' | 'PUBREC' | 'PUBREL' | 'PUBCOMP'; id: number; code: number }
  | { do: 'acknowledge'; who: number; most: number }
  | { do: 'other'; who: number; what: 'ping' | 'disconnect' | 'with will' | 'auth' | 'connack' }
  | { do: 'bytes'; who: number; bytes: Uint8Array }
  | { do: 'leave'; who: number; how: 'end' | 'reset' }
  | { do: 'read'; who: number; reads: boolean }
  | { do: 'look' }

const who = fc.nat({ max: CLIENTS - 1 })
const id = fc.integer({ min: 0, max: 4 })
const qos = fc.constantFrom(0, 1, 2) as fc.Arbitrary<packets.QoS>
const mostly = <T>(usual: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })

const introduction: fc.Arbitrary<Introduction> = fc.record({
  version: fc.constantFrom('3.1', '3.1.1', '5', '5', '5'),
  clean: fc.boolean(),
  expiry: fc.constantFrom(0, 100, 0xffffffff),
  receiveMaximum: fc.constantFrom(1, 2, 65535),
  aliases: fc.constantFrom(0, 1, 8),
  maximumPacketSize: mostly(0, fc.constantFrom(20, 60, 300)),
  will: fc.boolean(),
  willDelay: fc.constantFrom(0, 0, 1000),
})

const message: fc.Arbitrary<Message> = fc.record({
  topic: fc.oneof(
    { weight: 5, arbitrary: fc.nat({ max: 3 }) },
    { weight: 1, arbitrary: fc.nat({ max: TOPICS.length - 1 }) },
  ),
  qos,
  retain: fc.boolean(),
  dup: mostly(false, fc.constant(true)),
  id: mostly(1, id),
  size: fc.constantFrom(0, 1, 10, 50, 200, 1100, 5000, 70_000),
  alias: mostly(0, fc.integer({ min: 1, max: 33 })),
  expiry: mostly(-1, fc.constantFrom(0, 1, 1000)),
  users: mostly(0, fc.constantFrom(1, 3, 40)),
  format: mostly(-1, fc.constantFrom(0, 1, 2)),
})

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), who, as: introduction }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('publish' as const), who, message }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('subscribe' as const),
      who,
      id: mostly(1, id),
      filters: fc.array(
        fc.record({
          filter: fc.oneof(
            { weight: 6, arbitrary: fc.nat({ max: 7 }) },
            { weight: 1, arbitrary: fc.nat({ max: FILTERS.length - 1 }) },
          ),
          bits: mostly(1, fc.nat({ max: 63 })),
        }),
        { maxLength: 3 },
      ),
      identifier: mostly(0, fc.constantFrom(1, 300)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('unsubscribe' as const),
      who,
      id,
      filter: fc.nat({ max: FILTERS.length - 1 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      who,
      type: fc.constantFrom('PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP'),
      id,
      code: mostly(0, fc.constantFrom(0x10, 0x80, 0x92)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('acknowledge' as const), who, most: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('other' as const),
      who,
      what: fc.constantFrom('ping', 'disconnect', 'with will', 'auth', 'connack'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('bytes' as const), who, bytes: fc.uint8Array({ maxLength: 40 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who, how: fc.constantFrom('end', 'reset') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('read' as const), who, reads: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
)

export interface Story {
  sizes: 'tiny' | 'default'
  /** Bytes are written in pieces of at most so many; 0 = whole. */
  pieces: number
  steps: Step[]
}

export const story: fc.Arbitrary<Story> = fc.record({
  sizes: fc.constantFrom('tiny', 'default'),
  pieces: fc.constantFrom(0, 0, 1, 7, 100),
  steps: fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }),
})

export const clientIdOf = (who: number): string => `fuzzed-${who}`

export const connectBytes = (who: number, as: Introduction): Buffer => {
  const clientId = clientIdOf(who)
  const will = as.will ? { topic: 'a/b', payload: 'will', qos: 1 as const, retain: true } : undefined
  if (as.version !== '5') {
    return packets.connect({ clientId, version: as.version, clean: as.clean, ...(will === undefined ? {} : { will }) })
  }
  const properties = [
    p.sessionExpiry(as.expiry),
    p.receiveMaximum(as.receiveMaximum),
    p.topicAliasMaximum(as.aliases),
    ...(as.maximumPacketSize === 0 ? [] : [p.maximumPacketSize(as.maximumPacketSize)]),
  ]
  const delayed =
    will === undefined ? {} : { will: { ...will, properties: [p.willDelay(as.willDelay), p.user('k', 'v')] } }
  return connect5({ clientId, clean: as.clean, properties, ...delayed })
}

/** The bytes of a step, in the words of the version the client speaks; undefined for steps that send none. */
export const bytesOf = (step: Step, five: boolean): Buffer | undefined => {
  switch (step.do) {
    case 'publish':
      return publishBytes(step.message, five)
    case 'subscribe': {
      const filters = step.filters.map(({ filter, bits }): [string, number] => [
        FILTERS[filter]!,
        five ? bits : bits % 3,
      ])
      if (!five) return packets.subscribe(step.id, ...filters)
      return subscribe5(step.id, step.identifier === 0 ? [] : [p.subscriptionId(step.identifier)], ...filters)
    }
    case 'unsubscribe':
      return (five ? unsubscribe5 : packets.unsubscribe)(step.id, FILTERS[step.filter]!)
    case 'answer':
      return answer5(step.type, step.id, five ? step.code : 0)
    case 'other':
      return otherBytes(step.what, five)
    case 'bytes':
      return Buffer.from(step.bytes)
    default:
      return undefined
  }
}

const otherBytes = (what: (Step & { do: 'other' })['what'], five: boolean): Buffer => {
  if (what === 'ping') return packets.pingreq()
  if (what === 'connack') return packets.hex('20 02 00 00')
  if (what === 'auth') return auth5(0x18, [p.authMethod('X')])
  return five ? disconnect5(what === 'with will' ? 4 : 0) : packets.disconnect()
}

const publishBytes = (message: Message, five: boolean): Buffer => {
  const plain = { ...message, topic: TOPICS[message.topic]!, payload: Buffer.alloc(message.size, message.topic + 65) }
  if (!five) return packets.publish(plain)
  const properties = [
    ...Array.from({ length: message.users }, (_, n) => p.user(`name ${n}`, 'v'.repeat(40))),
    ...(message.alias === 0 ? [] : [p.topicAlias(message.alias)]),
    ...(message.expiry < 0 ? [] : [p.messageExpiry(message.expiry)]),
    ...(message.format < 0 ? [] : [p.payloadFormat(message.format)]),
  ]
  return publish5({ ...plain, properties })
}
