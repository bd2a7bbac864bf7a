// UTF-8 as MQTT wants it (3.1.1 section 1.5.3, 5.0 section 1.5.4): shortest forms only, no surrogates, nothing
// above U+10FFFF, no U+0000. A byte order mark is a character like any other and is kept [MQTT-1.5.4-3].

interface Slices {
  utf8Slice(this: Uint8Array, start: number, end: number): string
  latin1Slice(this: Uint8Array, start: number, end: number): string
}
// Node's own slices work on any Uint8Array; calling them directly spares a Buffer object for every string.
const { utf8Slice, latin1Slice } = Buffer.prototype as unknown as Slices

/** Whether `length` bytes from `offset` are a UTF-8 string that MQTT allows [MQTT-1.5.4-1] [MQTT-1.5.4-2]. */
export function isWellFormedUtf8(bytes: Uint8Array, offset: number, length: number): boolean {
  const end = offset + length
  let at = offset
  while (at < end) {
    const lead = bytes[at]
    if (lead < 0x80) {
      if (lead === 0) return false // [MQTT-1.5.4-2], 3.1.1: [MQTT-1.5.3-2]
      at++
      continue
    }
    const next = sequenceEnd(bytes, at, end, lead)
    if (next === 0) return false
    at = next
  }
  return true
}

/** Where the multi-byte sequence at `at` ends, or 0 if it is ill-formed (table 3-7 of the Unicode standard). */
function sequenceEnd(bytes: Uint8Array, at: number, end: number, lead: number): number {
  if (lead < 0xc2) return 0 // a continuation byte, or C0 and C1: always overlong
  if (lead < 0xe0) return at + 2 <= end && isContinuation(bytes[at + 1]) ? at + 2 : 0
  if (lead < 0xf0) {
    if (at + 3 > end) return 0
    const second = bytes[at + 1]
    if (lead === 0xe0 && second < 0xa0) return 0 // overlong
    if (lead === 0xed && second > 0x9f) return 0 // surrogate [MQTT-1.5.4-1]
    return isContinuation(second) && isContinuation(bytes[at + 2]) ? at + 3 : 0
  }
  if (lead > 0xf4 || at + 4 > end) return 0
  const second = bytes[at + 1]
  if (lead === 0xf0 && second < 0x90) return 0 // overlong
  if (lead === 0xf4 && second > 0x8f) return 0 // above U+10FFFF
  return isContinuation(second) && isContinuation(bytes[at + 2]) && isContinuation(bytes[at + 3]) ? at + 4 : 0
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

/** The string in `length` bytes from `offset`, which `isWellFormedUtf8` has passed. */
export function decodeUtf8(bytes: Uint8Array, offset: number, length: number): string {
  const end = offset + length
  for (let at = offset; at < end; at++) {
    if (bytes[at] >= 0x80) return utf8Slice.call(bytes, offset, end)
  }
  return latin1Slice.call(bytes, offset, end)
}
