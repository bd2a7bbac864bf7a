// The body DISCONNECT and AUTH share: a Reason Code and properties, left out together when they say nothing.

import { requireRoom, writeFixedHeader } from './bytes.ts'
import type { PacketType } from './packet-type.ts'
import { fitProperties, type Properties, propertiesSize, writeProperties } from './properties.ts'
import { ReasonCode } from './reason-code.ts'
import { MAX_VARIABLE_BYTE_INTEGER, variableByteIntegerSize } from './variable-byte-integer.ts'

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
  maximumPacketSize = MAX_VARIABLE_BYTE_INTEGER,
): number {
  const { reasonCode } = answer
  const properties = fitProperties(answer.properties, 1, maximumPacketSize)
  const size = properties === undefined ? 0 : propertiesSize(properties)
  if (properties === undefined || size === 0) {
    const length = reasonCode === ReasonCode.Success ? 0 : 1
    const lost = answer.properties?.serverReference ?? answer.properties?.authenticationMethod
    if (2 + length > maximumPacketSize || (properties === undefined && lost !== undefined)) return offset
    requireRoom(target, offset, 2 + length)
    const at = writeFixedHeader(target, offset, type << 4, length)
    if (length === 1) target[at] = reasonCode
    return at + length
  }
  const length = 1 + variableByteIntegerSize(size) + size
  requireRoom(target, offset, 1 + variableByteIntegerSize(length) + length)
  const at = writeFixedHeader(target, offset, type << 4, length)
  target[at] = reasonCode
  return writeProperties(target, at + 1, properties)
}
