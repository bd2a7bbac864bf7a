// Our codec against mqtt-packet: the same meaning wherever mqtt-packet is right. Where the two differ, the difference
// stands below with its reason, and the fixture table shows each of them at least once.

import * as fc from 'fast-check'
import { generate, type IConnectPacket, type Packet, writeToStream } from 'mqtt-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MqttError } from '../../src/mqtt/mqtt-error.ts'
import type { ProtocolVersion } from '../../src/mqtt/protocol-version.ts'
import { decode } from './decode.ts'
import { fromClients } from './fixtures/index.ts'
import { bytesOf } from './fixtures/notation.ts'
import { grouped, oracle } from './oracle.ts'

writeToStream.cacheNumbers = false

/** How many mutated packets are tried; a long fuzzing run sets FUZZ_RUNS. */
const runs = Number(process.env.FUZZ_RUNS ?? 20_000)

/** What we refuse and mqtt-packet reads: our message, and why we are right. */
const stricter: readonly (readonly [message: RegExp, why: string])[] = [
  [/with DUP and QoS 0/, '[MQTT-3.3.1-2]'],
  [/Packet Identifier 0/, '[MQTT-2.3.1-1]'],
  [/without a Packet Identifier|ends (before|within) its Packet Identifier/, 'it makes up identifier -1'],
  [/ill-formed UTF-8/, 'it reads U+FFFD, so that two topics become one'],
  [/U\+0000/, '[MQTT-1.5.4-2]'],
  [/without a (character|Topic Name)/, '[MQTT-4.7.3-1]'],
  [/with a wildcard/, '[MQTT-3.3.2-2], and Will Topics are Topic Names too'],
  [/protocol level/, "'MQTT' with level 3, 'MQIsdp' with levels 4 and 5, bridges of level 5"],
  [/with Will QoS 3/, '[MQTT-3.1.2-14]'],
  [/Password but no User Name/, '[MQTT-3.1.2-22]'],
  [/bytes behind its (end|properties)|longer than its/, 'a packet says how long it is'],
  [/with a body/, 'PINGREQ has none'],
  [/without a Topic Filter/, '[MQTT-3.8.3-3] [MQTT-3.10.3-2]'],
  [/does not belong there/, 'it knows no table of properties'],
  [/with more than one/, 'it makes arrays of them'],
  [/Property Length that does not fit/, 'missing, longer than it needs, or beyond the packet'],
  [/cuts off its/, 'it reads on beyond the Property Length'],
  [/(Receive Maximum|Maximum Packet Size|Topic Alias|Subscription Identifier) 0/, 'a Protocol Error by its own words'],
  [/(Indicator|Information) \d/, 'it makes true of every byte but 0'],
  [/no Authentication Method|without an Authentication Method/, '[MQTT-3.1.2-30], section 3.15.2.2.2'],
  [/Reason Code 0x/, 'it does not ask which end may say it'],
  [/No Local on a Shared Subscription/, '[MQTT-3.8.3-4]'],
]

/**
 * What we read and mqtt-packet refuses or reads otherwise: MQTT 3.1 leaves header flags and reserved Connect Flags
 * undefined, and lets a User Name and Password be announced and then missing.
 */
function isLibertyOf31(bytes: Uint8Array, version: number): boolean {
  const type = bytes[0] >> 4
  return version === 3 && (type === 1 || (type !== 3 && (bytes[0] & 0x0f) !== ([6, 8, 10].includes(type) ? 2 : 0)))
}

function refusalOf(bytes: Uint8Array, version: ProtocolVersion): MqttError | Record<string, unknown> {
  try {
    return decode(bytes, version)
  } catch (error) {
    if (error instanceof MqttError) return error
    throw error // nothing else may ever come out, whatever the bytes
  }
}

/** Throws unless both say the same, or differ for a listed reason, which is returned. */
function compare(bytes: Uint8Array, version: ProtocolVersion): string | undefined {
  const ours = refusalOf(bytes, version)
  const theirs = oracle(bytes, version)
  const shown = `${Buffer.from(bytes).toString('hex')} (version ${version})`
  if (ours instanceof MqttError) {
    if (theirs === undefined) return undefined
    const known = stricter.find(([message]) => message.test(ours.message))
    assert.ok(known, `an unlisted refusal, "${ours.message}", of ${shown}`)
    return known[1]
  }
  const mine = grouped(ours)
  if (theirs !== undefined && isSame(mine, theirs)) return undefined
  if (isLibertyOf31(bytes, version)) return undefined
  assert.equal(mine, theirs, shown)
  return undefined
}

function isSame(mine: object, theirs: object): boolean {
  try {
    assert.equal(mine, theirs)
    return true
  } catch {
    return false
  }
}

test('every fixture is read as mqtt-packet reads it, or differs for a listed reason, and every reason is shown', () => {
  const reasons = new Set<string>()
  for (const { wire, versions } of fromClients) {
    for (const version of versions) {
      const reason = compare(bytesOf(wire), version)
      if (reason !== undefined) reasons.add(reason)
    }
  }
  for (const [message, why] of stricter) assert.ok(reasons.has(why), `no fixture shows ${message}: ${why}`)
})

test('a fixture with a few bytes changed, cut out or put in is read alike, or differs for a listed reason', () => {
  const fixture = fc.constantFrom(...fromClients)
  const edit = fc.record({ at: fc.nat(), byte: fc.nat(255), kind: fc.constantFrom('change', 'cut', 'put') })
  fc.assert(
    fc.property(fixture, fc.nat(2), fc.array(edit, { minLength: 1, maxLength: 4 }), ({ wire, versions }, v, edits) => {
      const bytes = bytesOf(wire)
      const head = bytes.findIndex((byte, i) => i > 0 && byte < 0x80) + 1
      const body = [...bytes.subarray(head)]
      for (const { at, byte, kind } of edits) {
        const place = body.length === 0 ? 0 : at % body.length
        if (kind === 'change' && body.length > 0) body[place] = byte
        else if (kind === 'cut') body.splice(place, 1)
        else if (kind === 'put') body.splice(place, 0, byte)
      }
      compare(Uint8Array.from([bytes[0], ...length(body.length), ...body]), versions[v % versions.length])
    }),
    { numRuns: runs },
  )
})

test('any bytes at all are read alike, or differ for a listed reason', () => {
  const clientTypes = fc.constantFrom(1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15)
  const version = fc.constantFrom<ProtocolVersion>(3, 4, 5)
  fc.assert(
    fc.property(clientTypes, fc.nat(15), fc.uint8Array({ maxLength: 60 }), version, (type, flags, body, v) => {
      compare(Uint8Array.from([(type << 4) | flags, ...length(body.length), ...body]), v)
    }),
    { numRuns: runs / 2 },
  )
})

function length(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, value >> 7]
}

const text = fc.string({ unit: 'binary', maxLength: 12 }).map((string) => string.replaceAll('\0', ''))
const word = text.map((string) => `t${string.replace(/[+#]/g, '')}`)
const data = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))
const uint16 = fc.integer({ min: 1, max: 65535 })
const uint32 = fc.integer({ min: 1, max: 0xffffffff })
const qos = fc.constantFrom<0 | 1 | 2>(0, 1, 2)
// mqtt-packet generates nothing at all, and says nothing, for an empty object
const userProperties = fc.dictionary(text, text, { minKeys: 1, maxKeys: 3 })
const maybe = { requiredKeys: [] }

const will = fc.record(
  {
    topic: word,
    payload: data,
    qos,
    retain: fc.boolean(),
    properties: fc.record(
      {
        willDelayInterval: uint32,
        payloadFormatIndicator: fc.boolean(),
        messageExpiryInterval: uint32,
        contentType: text,
        responseTopic: word,
        correlationData: data,
        userProperties,
      },
      maybe,
    ),
  },
  { requiredKeys: ['topic', 'payload', 'qos', 'retain'] },
)
const connectProperties = fc.record(
  {
    sessionExpiryInterval: uint32,
    receiveMaximum: uint16,
    maximumPacketSize: uint32,
    topicAliasMaximum: uint16,
    requestResponseInformation: fc.boolean(),
    requestProblemInformation: fc.boolean(),
    userProperties,
  },
  maybe,
)
const connect = fc.record(
  {
    cmd: fc.constant('connect' as const),
    protocolVersion: fc.constantFrom<3 | 4 | 5>(3, 4, 5),
    clientId: word,
    clean: fc.boolean(),
    keepalive: fc.nat(65535),
    username: text,
    will,
    properties: connectProperties,
  },
  { requiredKeys: ['cmd', 'protocolVersion', 'clientId', 'clean', 'keepalive'] },
)
const publish = fc.record(
  {
    cmd: fc.constant('publish' as const),
    topic: word,
    payload: data,
    qos,
    retain: fc.boolean(),
    dup: fc.constant(false),
    messageId: uint16,
    properties: fc.record(
      { topicAlias: uint16, messageExpiryInterval: uint32, contentType: text, responseTopic: word, userProperties },
      maybe,
    ),
  },
  { requiredKeys: ['cmd', 'topic', 'payload', 'qos', 'retain', 'dup', 'messageId'] },
)
const subscription = fc.record({ topic: word, qos, nl: fc.boolean(), rap: fc.boolean(), rh: fc.nat(2) })
const subscribe = fc.record({
  cmd: fc.constant('subscribe' as const),
  messageId: uint16,
  subscriptions: fc.array(subscription, { minLength: 1, maxLength: 5 }),
  properties: fc.record({ subscriptionIdentifier: fc.integer({ min: 1, max: 268435455 }), userProperties }, maybe),
})
const unsubscribe = fc.record({
  cmd: fc.constant('unsubscribe' as const),
  messageId: uint16,
  unsubscriptions: fc.array(text, { minLength: 1, maxLength: 5 }),
  properties: fc.record({ userProperties }, maybe),
})
const acknowledgement = fc.record({
  cmd: fc.constantFrom('puback' as const, 'pubrec' as const, 'pubrel' as const, 'pubcomp' as const),
  messageId: uint16,
  reasonCode: fc.constant(0),
  properties: fc.record({ reasonString: text, userProperties }, maybe),
})
const disconnect = fc.record({
  cmd: fc.constant('disconnect' as const),
  reasonCode: fc.constantFrom(0, 4, 0x80, 0x99),
  properties: fc.record({ sessionExpiryInterval: uint32, reasonString: text, userProperties }, maybe),
})
const auth = fc.record({
  cmd: fc.constant('auth' as const),
  reasonCode: fc.constantFrom(0x18, 0x19),
  properties: fc.record(
    { authenticationMethod: text, authenticationData: data, reasonString: text, userProperties },
    { requiredKeys: ['authenticationMethod'] },
  ),
})
const anyPacket = fc.oneof(connect, publish, subscribe, unsubscribe, acknowledgement, disconnect, auth)

test('every valid packet mqtt-packet generates is read, and says the same', () => {
  fc.assert(
    fc.property(anyPacket, fc.constantFrom<ProtocolVersion>(3, 4, 5), (packet, v) => {
      const version =
        packet.cmd === 'auth' ? 5 : packet.cmd === 'connect' ? (packet.protocolVersion as ProtocolVersion) : v
      const bytes = generate(named(packet as Packet, version), { protocolVersion: version })
      const ours = refusalOf(bytes, version)
      if (ours instanceof MqttError) throw ours
      assert.equal(grouped(ours), oracle(bytes, version), bytes.toString('hex'))
    }),
    { numRuns: 5000 },
  )
})

/** MQTT 3.1 goes by another name. */
function named(packet: Packet, version: number): Packet {
  if (packet.cmd !== 'connect') return packet
  return { ...packet, protocolId: version === 3 ? 'MQIsdp' : 'MQTT' } satisfies IConnectPacket
}

test.run()
