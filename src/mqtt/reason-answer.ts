// The body DISCONNECT and AUTH share: a Reason Code and properties, left out together when they say nothing.

import { requireRoom, writeFixedHeader } from './bytes.ts'
import type { PacketType } from './packet-type.ts'
import { fitProperties, type Properties, propertiesSize, writeProperties } from './properties.ts'
import { ReasonCode } from './reason-code.ts'
import { MAX_PACKET_SIZE, packetSize, variableByteIntegerSize } from './variable-byte-integer.ts'

export interface ReasonAnswer {
  readonly reasonCode: number
  readonly properties?: Properties
}

/** Writes DISCONNECT or AUTH; see `writeDisconnect` for what comes back. */
export function writeReasonAnswer(
  target: Uint8Array,
  offset: number,
  type: typeof PacketType.Disconnect | typeof PacketType.Auth,
  answer: ReasonAnswer,
  maximumPacketSize = MAX_PACKET_SIZE,
): number {
  const { reasonCode } = answer
  const properties = fitProperties(answer.properties, 1, maximumPacketSize)
  const size = propertiesSize(properties)
  const length = size === 0 ? (reasonCode === ReasonCode.Success ? 0 : 1) : 1 + variableByteIntegerSize(size) + size
  if (packetSize(length) > maximumPacketSize) return offset
  requireRoom(target, offset, packetSize(length))
  const at = writeFixedHeader(target, offset, type << 4, length)
  if (length > 0) target[at] = reasonCode
  return size === 0 ? at + length : writeProperties(target, at + 1, properties)
}
