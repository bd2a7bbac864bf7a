// CRC-32C (Castagnoli), eight bytes a step. zlib's crc32 is another polynomial; this one is what storage formats use,
// because it finds all errors of up to five bits in the lengths written here.

const POLYNOMIAL = 0x82f63b78

/** Eight tables of 256, one behind the other: table k is the effect of a byte k bytes before the end of the step. */
const TABLES = makeTables()

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let index = 256; index < tables.length; index++) {
    const before = tables[index - 256]!
    tables[index] = (before >>> 8) ^ tables[before & 0xff]!
  }
  return tables
}

/** The checksum of `bytes[start, end)`, going on from `crc` (that of the bytes before; 0 at the beginning), as uint32. */
export function crc32c(bytes: Uint8Array, start: number, end: number, crc = 0): number {
  const t = TABLES
  let c = ~crc
  let at = start
  for (const last = end - 7; at < last; at += 8) {
    c ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    c =
      t[1792 + (c & 0xff)]! ^
      t[1536 + ((c >>> 8) & 0xff)]! ^
      t[1280 + ((c >>> 16) & 0xff)]! ^
      t[1024 + (c >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!
  }
  for (; at < end; at++) c = (c >>> 8) ^ t[(c ^ bytes[at]!) & 0xff]!
  return ~c >>> 0
}
