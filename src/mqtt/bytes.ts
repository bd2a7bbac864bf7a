// Integers, strings and copies in a Uint8Array, as MQTT lays them out: big-endian, two bytes of length in front.
// The writers trust their caller about room (`requireRoom` first) and return the offset behind what they wrote.

import { writeVariableByteInteger } from './variable-byte-integer.ts'

const encoder = new TextEncoder()

export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1]
}

export function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 0x10000 + uint16(bytes, at + 2)
}

/** A copy with memory of its own: what is read from an inbox must not point into it. */
export function copyBytes(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(bytes.subarray(from, to)) // not slice(): a Buffer's shares its memory
}

export function writeUint16(target: Uint8Array, at: number, value: number): number {
  target[at] = value >>> 8
  target[at + 1] = value
  return at + 2
}

export function writeUint32(target: Uint8Array, at: number, value: number): number {
  return writeUint16(target, writeUint16(target, at, value >>> 16), value & 0xffff)
}

/** Writes a UTF-8 string behind its length. Throws a RangeError if it takes more than 65,535 bytes. */
export function writeString(target: Uint8Array, at: number, value: string): number {
  const length = stringSize(value) - 2
  writeUint16(target, at, length)
  encoder.encodeInto(value, target.subarray(at + 2, at + 2 + length))
  return at + 2 + length
}

/** Bytes a string takes with its length in front. Throws a RangeError if it is longer than MQTT can say. */
export function stringSize(value: string): number {
  const length = Buffer.byteLength(value)
  if (length > 0xffff) throw new RangeError(`a string of ${length} bytes does not fit into an MQTT packet`)
  return 2 + length
}

/** Writes Binary Data behind its length. */
export function writeBinary(target: Uint8Array, at: number, value: Uint8Array): number {
  target.set(value, writeUint16(target, at, value.length))
  return at + 2 + value.length
}

/** Bytes Binary Data takes with its length in front. Throws a RangeError if it is longer than MQTT can say. */
export function binarySize(value: Uint8Array): number {
  if (value.length > 0xffff) throw new RangeError(`${value.length} bytes do not fit into an MQTT packet`)
  return 2 + value.length
}

/** Writes first byte and Remaining Length. */
export function writeFixedHeader(target: Uint8Array, at: number, firstByte: number, remainingLength: number): number {
  target[at] = firstByte
  return writeVariableByteInteger(target, at + 1, remainingLength)
}

/** Throws a RangeError unless `length` bytes fit at `at`: writing past the end of a typed array is silent. */
export function requireRoom(target: Uint8Array, at: number, length: number): void {
  if (at + length <= target.length) return
  throw new RangeError(`a packet of ${length} bytes does not fit into ${target.length - at} bytes`)
}
