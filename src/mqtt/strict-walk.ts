// Walks over exactly one cold packet before mqtt-packet may see it, and refuses all that the specification does:
// flags, lengths, identifiers, UTF-8, values, order, trailing bytes. What comes out is the properties, read by us
// (mqtt-packet loses the order of User Properties), and a *bare* body: the same packet with its properties cut out and
// with the liberties of MQTT 3.1 straightened, of which mqtt-packet reads nothing but what the walk has proved sound.

import { clause } from './clauses.ts'
import { FrameCursor } from './frame-cursor.ts'
import { MqttError } from './mqtt-error.ts'
import { PacketType, packetName } from './packet-type.ts'
import { NO_PROPERTIES, type Properties, WILL_PROPERTIES } from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { isReasonCodeOf, ReasonCode, reasonName } from './reason-code.ts'
import { topicProblemInBytes } from './topic.ts'

/** Topic Filters one SUBSCRIBE or UNSUBSCRIBE may hold unless the caller says otherwise. */
export const MAX_TOPIC_FILTERS = 16_384

/** The CONNECT asks for a protocol we do not speak: it is answered with CONNACK 0x01 of 3.1.1, then closed. */
export class UnacceptableProtocolVersion extends MqttError {
  override readonly name = 'UnacceptableProtocolVersion'
  constructor(level: number) {
    super(ReasonCode.UnsupportedProtocolVersion, `CONNECT with protocol level ${level}`, 'MQTT-3.1.2-2')
  }
}

/** What every walk finds. */
export interface Walked {
  readonly properties: Properties
  /** The body for mqtt-packet, as pieces to be put one behind the other. */
  readonly bare: readonly Uint8Array[]
}

export interface WalkedConnect extends Walked {
  readonly protocolVersion: ProtocolVersion
  readonly bridge: boolean
  readonly willProperties: Properties
}

const EMPTY_PROPERTIES = Uint8Array.of(0)
const FLAG = {
  reserved: 0x01,
  cleanStart: 0x02,
  will: 0x04,
  willQos: 0x18,
  willRetain: 0x20,
  password: 0x40,
  userName: 0x80,
}

/** Throws an MqttError for a malformed CONNECT, UnacceptableProtocolVersion for one of a protocol we do not speak. */
export function walkConnect(firstByte: number, body: Uint8Array): WalkedConnect {
  const cursor = new FrameCursor(body, 'CONNECT')
  const { protocolVersion, bridge } = walkProtocol(cursor)
  const isMqtt31 = protocolVersion === ProtocolVersion.Mqtt31
  const isMqtt5 = protocolVersion === ProtocolVersion.Mqtt5
  if (!isMqtt31) requireFlags(firstByte, PacketType.Connect, 0, protocolVersion)

  const flagsAt = cursor.position
  const flags = walkConnectFlags(cursor, protocolVersion)
  cursor.uint16('Keep Alive')
  // The bare body: head, then everything else but the properties, whose place an empty Property Length takes
  const pieces = [body.subarray(0, cursor.position)]
  const properties = isMqtt5 ? cursor.properties(PacketType.Connect) : NO_PROPERTIES
  const clientIdAt = cursor.position
  cursor.string('Client Identifier', 'MQTT-3.1.3-4')
  let willProperties = NO_PROPERTIES
  let restAt = clientIdAt
  if (isMqtt5) pieces.push(EMPTY_PROPERTIES)
  if (flags & FLAG.will) {
    if (isMqtt5) {
      pieces.push(body.subarray(clientIdAt, cursor.position), EMPTY_PROPERTIES)
      willProperties = cursor.properties(WILL_PROPERTIES)
      restAt = cursor.position
    }
    walkWill(cursor, protocolVersion)
  }
  const missing = walkCredentials(cursor, flags, protocolVersion)
  cursor.end()
  pieces.push(body.subarray(restAt))
  if (isMqtt31) pieces[0] = straighten(pieces[0], flagsAt, flags, missing)
  return { protocolVersion, bridge, properties, willProperties, bare: pieces }
}

function walkProtocol(cursor: FrameCursor): { protocolVersion: ProtocolVersion; bridge: boolean } {
  const name = cursor.text('Protocol Name')
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    // The name may be anything a stranger sends: it is not repeated in the log
    throw cursor.malformed("whose Protocol Name is not 'MQTT'", 'MQTT-3.1.2-1')
  }
  const level = cursor.uint8('Protocol Level')
  // Bridges of Mosquitto set the upper bit of the levels 3 and 4 (try_private)
  const bridge = level === 0x83 || level === 0x84
  const plain = bridge ? level & 0x7f : level
  const known = name === 'MQTT' ? plain === 4 || plain === 5 : plain === 3
  if (!known) throw new UnacceptableProtocolVersion(level)
  return { protocolVersion: plain as ProtocolVersion, bridge }
}

function walkConnectFlags(cursor: FrameCursor, version: ProtocolVersion): number {
  const flags = cursor.uint8('Connect Flags')
  const is3 = version !== ProtocolVersion.Mqtt5
  if (version !== ProtocolVersion.Mqtt31) {
    if (flags & FLAG.reserved) throw cursor.malformed('with its reserved flag set', 'MQTT-3.1.2-3')
    if (!(flags & FLAG.will)) {
      if (flags & FLAG.willQos) {
        throw cursor.malformed('with Will QoS but no Will', is3 ? 'MQTT-3.1.2-13' : 'MQTT-3.1.2-11')
      }
      if (flags & FLAG.willRetain) {
        throw cursor.malformed('with Will Retain but no Will', is3 ? 'MQTT-3.1.2-15' : 'MQTT-3.1.2-13')
      }
    }
  }
  if (flags & FLAG.will && (flags & FLAG.willQos) === FLAG.willQos) {
    throw cursor.malformed('with Will QoS 3', is3 ? 'MQTT-3.1.2-14' : 'MQTT-3.1.2-12')
  }
  if (is3 && flags & FLAG.password && !(flags & FLAG.userName)) {
    throw cursor.malformed('with a Password but no User Name', 'MQTT-3.1.2-22')
  }
  return flags
}

function walkWill(cursor: FrameCursor, version: ProtocolVersion): void {
  const length = cursor.string('Will Topic', version === ProtocolVersion.Mqtt5 ? 'MQTT-3.1.3-11' : 'MQTT-3.1.3-10')
  const problem = topicProblemInBytes(cursor.bytes, cursor.position - length, length)
  if (problem !== undefined) throw new MqttError(ReasonCode.TopicNameInvalid, `CONNECT: Will: ${problem}`)
  cursor.binary('Will Payload')
}

/**
 * Returns the flags of what MQTT 3.1 allows to be announced and then left out: "Remaining Length takes precedence
 * over the User Name flag" (3.1, section 3.1).
 */
function walkCredentials(cursor: FrameCursor, flags: number, version: ProtocolVersion): number {
  const mayMiss = version === ProtocolVersion.Mqtt31
  if (flags & FLAG.userName) {
    if (mayMiss && cursor.atEnd) return FLAG.userName | FLAG.password
    cursor.string('User Name', version === ProtocolVersion.Mqtt5 ? 'MQTT-3.1.3-12' : 'MQTT-3.1.3-11')
  }
  if (flags & FLAG.password) {
    if (mayMiss && cursor.atEnd) return FLAG.password
    cursor.binary('Password')
  }
  return 0
}

/** The head of a 3.1 CONNECT with the flags cleared that 3.1 does not use, or that announce what is missing. */
function straighten(head: Uint8Array, flagsAt: number, flags: number, missing: number): Uint8Array {
  const unused = FLAG.reserved | missing | (flags & FLAG.will ? 0 : FLAG.willQos | FLAG.willRetain)
  const copy = Uint8Array.from(head)
  copy[flagsAt] = flags & ~unused
  return copy
}

/**
 * Throws an MqttError for a malformed SUBSCRIBE. Topic Filters are checked for UTF-8 only: for the rest the answers
 * of the versions differ.
 */
export function walkSubscribe(
  firstByte: number,
  body: Uint8Array,
  version: ProtocolVersion,
  maxFilters: number,
): Walked {
  requireFlags(firstByte, PacketType.Subscribe, 2, version, 'MQTT-3.8.1-1')
  const cursor = new FrameCursor(body, 'SUBSCRIBE')
  const { properties, bare } = walkIdAndProperties(cursor, PacketType.Subscribe, version)
  if (cursor.atEnd) throw cursor.protocolError('without a Topic Filter', clause('subscribeEmpty', version))
  for (let filters = 1; !cursor.atEnd; filters++) {
    requireFewFilters(cursor, filters, maxFilters)
    cursor.string('Topic Filter', 'MQTT-3.8.3-1')
    walkOptions(cursor, version)
  }
  return { properties, bare }
}

function walkOptions(cursor: FrameCursor, version: ProtocolVersion): void {
  const options = cursor.uint8('Subscription Options')
  const reserved = version === ProtocolVersion.Mqtt5 ? 0xc0 : 0xfc
  if (options & reserved) {
    throw cursor.malformed('with reserved bits in its Subscription Options', clause('subscribeOptions', version))
  }
  if ((options & 0x03) === 3) throw cursor.protocolError('with QoS 3', clause('subscribeOptions', version))
  if ((options & 0x30) === 0x30) throw cursor.protocolError('with Retain Handling 3')
}

/** Throws an MqttError for a malformed UNSUBSCRIBE. Topic Filters are checked for UTF-8 only. */
export function walkUnsubscribe(
  firstByte: number,
  body: Uint8Array,
  version: ProtocolVersion,
  maxFilters: number,
): Walked {
  requireFlags(firstByte, PacketType.Unsubscribe, 2, version, 'MQTT-3.10.1-1')
  const cursor = new FrameCursor(body, 'UNSUBSCRIBE')
  const { properties, bare } = walkIdAndProperties(cursor, PacketType.Unsubscribe, version)
  if (cursor.atEnd) throw cursor.protocolError('without a Topic Filter', clause('unsubscribeEmpty', version))
  for (let filters = 1; !cursor.atEnd; filters++) {
    requireFewFilters(cursor, filters, maxFilters)
    cursor.string('Topic Filter', 'MQTT-3.10.3-1')
  }
  return { properties, bare }
}

function walkIdAndProperties(
  cursor: FrameCursor,
  type: typeof PacketType.Subscribe | typeof PacketType.Unsubscribe,
  version: ProtocolVersion,
): Walked {
  const body = cursor.bytes
  if (cursor.uint16('Packet Identifier') === 0) {
    throw cursor.protocolError('with Packet Identifier 0', clause('packetId', version))
  }
  if (version !== ProtocolVersion.Mqtt5) return { properties: NO_PROPERTIES, bare: [body] }
  const properties = cursor.properties(type)
  return { properties, bare: [body.subarray(0, 2), EMPTY_PROPERTIES, body.subarray(cursor.position)] }
}

/** Not a rule of MQTT but ours: each filter costs the broker more than its few bytes. */
function requireFewFilters(cursor: FrameCursor, filters: number, maxFilters: number): void {
  if (filters <= maxFilters) return
  const message = `${cursor.packet} with more than ${maxFilters} Topic Filters`
  throw new MqttError(ReasonCode.QuotaExceeded, message)
}

/** Throws an MqttError for a malformed DISCONNECT of a client. */
export function walkDisconnect(firstByte: number, body: Uint8Array, version: ProtocolVersion): Walked {
  requireFlags(firstByte, PacketType.Disconnect, 0, version, 'MQTT-3.14.1-1')
  if (version !== ProtocolVersion.Mqtt5) {
    new FrameCursor(body, 'DISCONNECT').end()
    return { properties: NO_PROPERTIES, bare: [body] }
  }
  return walkReason(PacketType.Disconnect, body, 'MQTT-3.14.2-1')
}

/** Throws an MqttError for a malformed AUTH of a client. */
export function walkAuth(firstByte: number, body: Uint8Array, version: ProtocolVersion): Walked {
  if (version !== ProtocolVersion.Mqtt5) {
    throw new MqttError(ReasonCode.ProtocolError, 'AUTH, which only MQTT 5 has')
  }
  requireFlags(firstByte, PacketType.Auth, 0, version, 'MQTT-3.15.1-1')
  const walked = walkReason(PacketType.Auth, body, 'MQTT-3.15.2-1')
  if (walked.properties.authenticationMethod === undefined) {
    throw new MqttError(ReasonCode.ProtocolError, 'AUTH without an Authentication Method')
  }
  return walked
}

/** DISCONNECT and AUTH: Reason Code and properties, each of which may be left out together with all that follows. */
function walkReason(
  type: typeof PacketType.Disconnect | typeof PacketType.Auth,
  body: Uint8Array,
  clauseId: string,
): Walked {
  const cursor = new FrameCursor(body, packetName(type))
  const reasonCode = cursor.atEnd ? ReasonCode.Success : cursor.uint8('Reason Code')
  if (!isReasonCodeOf(type, reasonCode, 'client')) {
    const name = reasonName(reasonCode)
    throw cursor.protocolError(`with Reason Code 0x${reasonCode.toString(16)} (${name})`, clauseId)
  }
  const bare = [body.subarray(0, cursor.position)]
  const properties = cursor.atEnd ? NO_PROPERTIES : cursor.properties(type)
  cursor.end()
  return { properties, bare }
}

/**
 * Checks the flags of the fixed header [MQTT-2.2.2-2], 5.0: [MQTT-2.1.3-1]. MQTT 3.1 used those of SUBSCRIBE and
 * UNSUBSCRIBE for DUP and did not define the others.
 */
function requireFlags(
  firstByte: number,
  type: number,
  flags: number,
  version: ProtocolVersion,
  clauseId = clause('flags', version),
): void {
  if ((firstByte & 0x0f) === flags || version === ProtocolVersion.Mqtt31) return
  throw new MqttError(ReasonCode.MalformedPacket, `${packetName(type)} with reserved flags`, clauseId)
}
