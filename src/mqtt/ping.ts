// PINGREQ and PINGRESP: two bytes each.

import { requireRoom } from './bytes.ts'
import { clause } from './clauses.ts'
import { MqttError } from './mqtt-error.ts'
import { PacketType } from './packet-type.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { ReasonCode } from './reason-code.ts'

/** The PINGRESP as one little-endian word, first byte lowest, for a command that carries short packets in itself. */
export const PINGRESP_WORD = PacketType.Pingresp << 4

/** Checks a PINGREQ, of which nothing but its being there is to be read. Throws an MqttError for flags and a body. */
export function checkPingreq(firstByte: number, length: number, version: ProtocolVersion): void {
  if (length !== 0) throw new MqttError(ReasonCode.MalformedPacket, 'PINGREQ with a body')
  if ((firstByte & 0x0f) !== 0 && version !== ProtocolVersion.Mqtt31) {
    throw new MqttError(ReasonCode.MalformedPacket, 'PINGREQ with reserved flags', clause('flags', version))
  }
}

/** Writes a PINGRESP at `offset` and returns the offset behind it. */
export function writePingresp(target: Uint8Array, offset: number): number {
  requireRoom(target, offset, 2)
  target[offset] = PINGRESP_WORD
  target[offset + 1] = 0
  return offset + 2
}
