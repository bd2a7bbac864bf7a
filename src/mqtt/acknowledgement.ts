// PUBACK, PUBREC, PUBREL and PUBCOMP: the four acknowledgements, which differ in name, flags and reason codes only.
// Read into a view that is used again and again; nothing allocates unless the packet is malformed.

import { requireRoom, writeFixedHeader, writeUint16 } from './bytes.ts'
import { clause } from './clauses.ts'
import { MqttError } from './mqtt-error.ts'
import { PacketType, packetName, type Sender } from './packet-type.ts'
import {
  checkProperties,
  fitProperties,
  type Properties,
  propertiesSize,
  readPropertyLength,
  writeProperties,
} from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { isReasonCodeOf, ReasonCode, reasonName } from './reason-code.ts'
import { MAX_PACKET_SIZE, packetSize, variableByteIntegerSize } from './variable-byte-integer.ts'

export type AcknowledgementType =
  | typeof PacketType.Puback
  | typeof PacketType.Pubrec
  | typeof PacketType.Pubrel
  | typeof PacketType.Pubcomp

/** What one acknowledgement says. Offsets are relative to the bytes it was read from. */
export class AcknowledgementView {
  /** 1 to 65,535. */
  packetId = 0
  /** 0 for 3.x, and where MQTT 5 leaves it out. */
  reasonCode = 0
  /** Of the first property, behind the Property Length. */
  propertiesOffset = 0
  propertiesLength = 0
}

/** The Packet Identifier at `offset`. Throws an MqttError if it is 0; the caller knows that two bytes are there. */
export function readPacketId(bytes: Uint8Array, offset: number, version: ProtocolVersion): number {
  const packetId = (bytes[offset] << 8) | bytes[offset + 1]
  if (packetId === 0) {
    throw new MqttError(ReasonCode.ProtocolError, 'Packet Identifier 0', clause('packetId', version))
  }
  return packetId
}

/**
 * Reads the acknowledgement of `type` whose body is `length` bytes from `offset`. Throws an MqttError for wrong flags,
 * lengths, identifier 0, a reason code this packet cannot have, and properties out of place.
 */
export function readAcknowledgement(
  view: AcknowledgementView,
  type: AcknowledgementType,
  firstByte: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  version: ProtocolVersion,
  sender: Sender = 'client',
): void {
  // 3.1 used the flags of a PUBREL for DUP and left the others undefined
  if ((firstByte & 0x0f) !== (type === PacketType.Pubrel ? 2 : 0) && version !== ProtocolVersion.Mqtt31) {
    throw reservedFlags(type, version)
  }
  if (length < 2) throw malformed(type, 'without a Packet Identifier')
  const packetId = (bytes[offset] << 8) | bytes[offset + 1]
  if (packetId === 0) throw packetIdZero(type, version)
  view.packetId = packetId
  view.reasonCode = 0
  view.propertiesOffset = offset + length
  view.propertiesLength = 0
  if (length > 2) readRest(view, type, bytes, offset + 2, offset + length, version, sender)
}

/** Reason Code and properties, which only MQTT 5 has. */
function readRest(
  view: AcknowledgementView,
  type: AcknowledgementType,
  bytes: Uint8Array,
  offset: number,
  end: number,
  version: ProtocolVersion,
  sender: Sender,
): void {
  if (version !== ProtocolVersion.Mqtt5) throw malformed(type, 'longer than its Packet Identifier')
  const reasonCode = bytes[offset]
  if (!isReasonCodeOf(type, reasonCode, sender)) throw badReasonCode(type, reasonCode)
  view.reasonCode = reasonCode
  if (offset + 1 === end) return // "less than 4: there is no Property Length" (section 3.4.2.2.1)
  const propertiesLength = readPropertyLength(bytes, offset + 1, end, type)
  const first = offset + 1 + variableByteIntegerSize(propertiesLength)
  if (first + propertiesLength !== end) throw malformed(type, 'with bytes behind its properties')
  checkProperties(bytes, first, end, type, sender)
  view.propertiesOffset = first
  view.propertiesLength = propertiesLength
}

function malformed(type: number, what: string, clauseId?: string): MqttError {
  return new MqttError(ReasonCode.MalformedPacket, `${packetName(type)} ${what}`, clauseId)
}

function reservedFlags(type: number, version: ProtocolVersion): MqttError {
  return malformed(type, 'with reserved flags', type === PacketType.Pubrel ? 'MQTT-3.6.1-1' : clause('flags', version))
}

function packetIdZero(type: number, version: ProtocolVersion): MqttError {
  const message = `${packetName(type)} with Packet Identifier 0`
  return new MqttError(ReasonCode.ProtocolError, message, clause('packetId', version))
}

const reasonClauses: Readonly<Record<AcknowledgementType, string>> = {
  [PacketType.Puback]: 'MQTT-3.4.2-1',
  [PacketType.Pubrec]: 'MQTT-3.5.2-1',
  [PacketType.Pubrel]: 'MQTT-3.6.2-1',
  [PacketType.Pubcomp]: 'MQTT-3.7.2-1',
}

function badReasonCode(type: AcknowledgementType, code: number): MqttError {
  const message = `${packetName(type)} with Reason Code 0x${code.toString(16)} (${reasonName(code)})`
  return new MqttError(ReasonCode.ProtocolError, message, reasonClauses[type])
}

/**
 * Writes an acknowledgement at `offset` and returns the offset behind it. Without properties it takes 4 or 5 bytes and
 * allocates nothing. `reasonCode` and `properties` are not said to 3.x clients. Reason String, then User Properties
 * are left out if the packet would be larger than `maximumPacketSize` [MQTT-3.4.2-2] [MQTT-3.4.2-3]; if that is not
 * enough, nothing is written and `offset` comes back. Throws a RangeError if `target` is too small.
 */
export function writeAcknowledgement(
  target: Uint8Array,
  offset: number,
  type: AcknowledgementType,
  packetId: number,
  reasonCode: number,
  properties: Properties | undefined,
  version: ProtocolVersion,
  maximumPacketSize: number = MAX_PACKET_SIZE,
): number {
  const firstByte = (type << 4) | (type === PacketType.Pubrel ? 2 : 0)
  if (version === ProtocolVersion.Mqtt5 && properties !== undefined) {
    return writeWithProperties(target, offset, firstByte, packetId, reasonCode, properties, maximumPacketSize)
  }
  // Reason Code 0x00 may be left out, and 3.x has none
  const length = version !== ProtocolVersion.Mqtt5 || reasonCode === 0 ? 2 : 3
  if (2 + length > maximumPacketSize) return offset
  if (offset + 2 + length > target.length) requireRoom(target, offset, 2 + length)
  target[offset] = firstByte
  target[offset + 1] = length
  target[offset + 2] = packetId >>> 8
  target[offset + 3] = packetId
  if (length === 3) target[offset + 4] = reasonCode
  return offset + 2 + length
}

function writeWithProperties(
  target: Uint8Array,
  offset: number,
  firstByte: number,
  packetId: number,
  reasonCode: number,
  properties: Properties,
  maximumPacketSize: number,
): number {
  const type = (firstByte >> 4) as AcknowledgementType
  const fitting = fitProperties(properties, 3, maximumPacketSize)
  const size = propertiesSize(fitting)
  if (size === 0) {
    // Shorter still without a Property Length
    return writeAcknowledgement(target, offset, type, packetId, reasonCode, undefined, 5, maximumPacketSize)
  }
  const length = 3 + variableByteIntegerSize(size) + size
  requireRoom(target, offset, packetSize(length))
  let at = writeFixedHeader(target, offset, firstByte, length)
  at = writeUint16(target, at, packetId)
  target[at] = reasonCode
  return writeProperties(target, at + 1, fitting)
}
