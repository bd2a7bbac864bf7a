// The Variable Byte Integer (section 1.5.5): Remaining Length, Property Length, Subscription Identifier;
// and the sizes of packets that follow from it.

/** The largest value four bytes can say; also the largest Remaining Length. */
export const MAX_VARIABLE_BYTE_INTEGER = 268_435_455

/** Bytes `value` takes, 1 to 4: the fewest that can say it [MQTT-1.5.5-1]. */
export function variableByteIntegerSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x200000) return 3
  return 4
}

/** The largest Control Packet there can be, fixed header included: what no Maximum Packet Size amounts to. */
export const MAX_PACKET_SIZE = 5 + MAX_VARIABLE_BYTE_INTEGER

/** Bytes of a whole Control Packet, fixed header included: what Maximum Packet Size limits. */
export function packetSize(remainingLength: number): number {
  return 1 + variableByteIntegerSize(remainingLength) + remainingLength
}

/** Writes `value` at `offset` and returns the offset behind it. */
export function writeVariableByteInteger(target: Uint8Array, offset: number, value: number): number {
  let rest = value
  let at = offset
  while (rest >= 0x80) {
    target[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[at++] = rest
  return at
}

/**
 * The value at `offset`, or -1 if it does not end before `end`, takes more than four bytes, or more than it needs
 * [MQTT-1.5.5-1]. Its length on the wire is `variableByteIntegerSize(value)`, which that clause makes unique.
 */
export function readVariableByteInteger(bytes: Uint8Array, offset: number, end: number): number {
  if (offset >= end) return -1
  let byte = bytes[offset]
  if (byte < 0x80) return byte
  let value = byte & 0x7f
  for (let at = offset + 1, shift = 7; shift <= 21; at++, shift += 7) {
    if (at >= end) return -1
    byte = bytes[at]
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return byte === 0 ? -1 : value
  }
  return -1
}
