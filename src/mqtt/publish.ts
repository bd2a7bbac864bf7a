// PUBLISH, the hottest packet: read in place from a shared Uint8Array into a view that is used again and again.
// Nothing here allocates unless the packet is malformed. Whether the Topic Name is valid is not asked here: the broker
// asks once a topic (`checkTopicInBytes`), not once a packet.

import { requireRoom, stringSize, uint16, uint32, writeFixedHeader, writeString, writeUint16 } from './bytes.ts'
import { clause } from './clauses.ts'
import { MqttError } from './mqtt-error.ts'
import { PacketType, type Sender } from './packet-type.ts'
import {
  checkProperty,
  noteProperty,
  type Properties,
  propertiesSize,
  readPropertyLength,
  writeProperties,
} from './properties.ts'
import { PropertyId } from './property-table.ts'
import type { ProtocolVersion } from './protocol-version.ts'
import { ReasonCode } from './reason-code.ts'
import { topicProblemInBytes } from './topic.ts'
import { isWellFormedUtf8 } from './utf8.ts'
import { packetSize, variableByteIntegerSize } from './variable-byte-integer.ts'

/** Where the parts of one PUBLISH lie in the bytes it was read from. Offsets are relative to those bytes. */
export class PublishView {
  qos = 0
  retain = false
  dup = false
  /** 1 to 65,535; 0 for QoS 0. */
  packetId = 0
  topicOffset = 0
  topicLength = 0
  /** Of the first property, behind the Property Length. For 3.x, where the payload begins. */
  propertiesOffset = 0
  propertiesLength = 0
  payloadOffset = 0
  payloadLength = 0
  /** What the publisher calls this topic, 1 to 65,535; 0: no alias. */
  topicAlias = 0
  /** Message Expiry Interval in seconds; -1: never expires. */
  messageExpiryInterval = -1
  /** 1: the publisher says the payload is UTF-8. */
  payloadFormatIndicator = 0
}

/**
 * Reads the PUBLISH whose body (what follows the fixed header) is `length` bytes from `offset`. Throws an MqttError
 * for QoS 3, DUP with QoS 0, packet identifier 0, lengths that do not fit, an empty Topic Name where no alias can
 * stand for it, and every property out of place. The view is only whole if this returns.
 */
export function readPublish(
  view: PublishView,
  firstByte: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  version: ProtocolVersion,
  sender: Sender = 'client',
): void {
  const end = offset + length
  const qos = (firstByte >> 1) & 3
  if (qos === 3) throw malformed('with QoS 3', clause('qos3', version))
  const dup = (firstByte & 0x08) !== 0
  if (dup && qos === 0) throw malformed('with DUP and QoS 0', 'MQTT-3.3.1-2')
  if (length < 2) throw malformed('without a Topic Name', 'MQTT-3.3.2-1')
  const topicLength = (bytes[offset] << 8) | bytes[offset + 1]
  let at = offset + 2 + topicLength
  let packetId = 0
  if (qos !== 0) {
    if (at + 2 > end) throw malformed('that ends before its Packet Identifier')
    packetId = (bytes[at] << 8) | bytes[at + 1]
    if (packetId === 0) throw packetIdZero(version)
    at += 2
  } else if (at > end) {
    throw malformed('that ends before its Topic Name')
  }
  view.qos = qos
  view.retain = (firstByte & 0x01) !== 0
  view.dup = dup
  view.packetId = packetId
  view.topicOffset = offset + 2
  view.topicLength = topicLength
  if (version === 5) {
    at = readPublishProperties(view, bytes, at, end, sender)
  } else {
    if (topicLength === 0) throw emptyTopic()
    view.propertiesOffset = at
    view.propertiesLength = 0
    view.topicAlias = 0
    view.messageExpiryInterval = -1
    view.payloadFormatIndicator = 0
  }
  view.payloadOffset = at
  view.payloadLength = end - at
}

/** Checks and notes the properties, and returns where the payload begins. */
function readPublishProperties(view: PublishView, bytes: Uint8Array, at: number, end: number, sender: Sender): number {
  view.topicAlias = 0
  view.messageExpiryInterval = -1
  view.payloadFormatIndicator = 0
  let propertiesLength = 0
  let first = at + 1
  if (at >= end || bytes[at] !== 0) {
    propertiesLength = readPropertyLength(bytes, at, end, PacketType.Publish)
    first = at + variableByteIntegerSize(propertiesLength)
  }
  view.propertiesOffset = first
  view.propertiesLength = propertiesLength
  const payload = first + propertiesLength
  let seen = 0
  for (let property = first; property < payload; ) {
    const next = checkProperty(bytes, property, payload, PacketType.Publish, sender)
    const id = bytes[property]
    seen = noteProperty(seen, id, PacketType.Publish)
    if (id === PropertyId.TopicAlias) view.topicAlias = uint16(bytes, property + 1)
    else if (id === PropertyId.MessageExpiryInterval) view.messageExpiryInterval = uint32(bytes, property + 1)
    else if (id === PropertyId.PayloadFormatIndicator) view.payloadFormatIndicator = bytes[property + 1]
    property = next
  }
  if (view.topicLength === 0 && view.topicAlias === 0) throw emptyTopic()
  return payload
}

/**
 * Checks the Topic Name in `length` bytes from `offset`. Throws an MqttError: 0x81 for ill-formed UTF-8, 0x90 for a
 * name that cannot be published to.
 */
export function checkTopicInBytes(bytes: Uint8Array, offset: number, length: number): void {
  const problem = topicProblemInBytes(bytes, offset, length)
  if (problem === undefined) return
  const reason = isWellFormedUtf8(bytes, offset, length) ? ReasonCode.TopicNameInvalid : ReasonCode.MalformedPacket
  throw new MqttError(reason, `PUBLISH: ${problem}`)
}

// The errors are made elsewhere so that the function above stays small enough to be inlined.
function malformed(what: string, clauseId?: string): MqttError {
  return new MqttError(ReasonCode.MalformedPacket, `PUBLISH ${what}`, clauseId)
}

function packetIdZero(version: ProtocolVersion): MqttError {
  return new MqttError(ReasonCode.ProtocolError, 'PUBLISH with Packet Identifier 0', clause('packetId', version))
}

function emptyTopic(): MqttError {
  return new MqttError(ReasonCode.ProtocolError, 'PUBLISH without a Topic Name', 'MQTT-4.7.3-1')
}

/** A PUBLISH to be written whole. The broker's deliveries are not: native code puts those together from kept frames. */
export interface PublishPacket {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
  /** Ignored for QoS 0. */
  readonly packetId: number
  readonly properties?: Properties
}

/** Bytes `writePublish` needs. */
export function publishSize(packet: PublishPacket, version: ProtocolVersion): number {
  return packetSize(publishRemainingLength(packet, version))
}

function publishRemainingLength(packet: PublishPacket, version: ProtocolVersion): number {
  let length = stringSize(packet.topic) + (packet.qos > 0 ? 2 : 0) + packet.payload.length
  if (version === 5) {
    const size = propertiesSize(packet.properties ?? {})
    length += variableByteIntegerSize(size) + size
  }
  return length
}

/** Writes a PUBLISH at `offset` and returns the offset behind it. Throws a RangeError if it does not fit. */
export function writePublish(
  target: Uint8Array,
  offset: number,
  packet: PublishPacket,
  version: ProtocolVersion,
): number {
  const length = publishRemainingLength(packet, version)
  requireRoom(target, offset, packetSize(length))
  const flags = (packet.dup ? 8 : 0) | (packet.qos << 1) | (packet.retain ? 1 : 0)
  let at = writeFixedHeader(target, offset, (PacketType.Publish << 4) | flags, length)
  at = writeString(target, at, packet.topic)
  if (packet.qos > 0) at = writeUint16(target, at, packet.packetId)
  if (version === 5) at = writeProperties(target, at, packet.properties)
  target.set(packet.payload, at)
  return at + packet.payload.length
}
