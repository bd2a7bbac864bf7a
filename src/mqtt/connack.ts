// CONNACK, the answer to CONNECT, for all versions.

import { requireRoom, writeFixedHeader } from './bytes.ts'
import { generateCold } from './cold-packets.ts'
import { PacketType } from './packet-type.ts'
import { fitProperties, type Properties, propertiesSize, writeProperties } from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { connackReturnCode, ReasonCode } from './reason-code.ts'
import { MAX_PACKET_SIZE, packetSize, variableByteIntegerSize } from './variable-byte-integer.ts'

export interface ConnackPacket {
  readonly sessionPresent: boolean
  /** A Reason Code of MQTT 5; 3.x hears `connackReturnCode` of it. */
  readonly reasonCode: number
  /** Not said to 3.x. */
  readonly properties?: Properties
}

/**
 * Writes a CONNACK at `offset` and returns the offset behind it. Session Present is 0 in refusals [MQTT-3.2.2-4], MQTT 5:
 * [MQTT-3.2.2-6], and towards 3.1, which does not know it. Reason String, then User Properties are left out if the packet
 * would be larger than `maximumPacketSize` [MQTT-3.2.2-19] [MQTT-3.2.2-20]; if that is not enough, nothing is written and
 * `offset` comes back. Throws a RangeError if `target` is too small.
 */
export function writeConnack(
  target: Uint8Array,
  offset: number,
  packet: ConnackPacket,
  version: ProtocolVersion,
  maximumPacketSize = MAX_PACKET_SIZE,
): number {
  const { reasonCode } = packet
  const accepted = reasonCode === ReasonCode.Success
  const sessionPresent = packet.sessionPresent && accepted && version !== ProtocolVersion.Mqtt31
  if (version !== ProtocolVersion.Mqtt5) {
    const returnCode = connackReturnCode(reasonCode)
    return generateCold(target, offset, { cmd: 'connack', sessionPresent, returnCode }, version)
  }
  const properties = fitProperties(packet.properties, 2, maximumPacketSize)
  const size = propertiesSize(properties)
  const length = 2 + variableByteIntegerSize(size) + size
  if (packetSize(length) > maximumPacketSize) return offset
  requireRoom(target, offset, packetSize(length))
  const at = writeFixedHeader(target, offset, PacketType.Connack << 4, length)
  target[at] = sessionPresent ? 1 : 0
  target[at + 1] = reasonCode
  return writeProperties(target, at + 2, properties)
}
