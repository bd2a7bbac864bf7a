// What the files of a journal look like: names, the header each begins with, and the frames around every batch. One commit is
// one frame, or a chain of them if it is long, and is stored whole or not at all: a chain without its last frame is none. Each
// frame has its checksum, so that a message in the middle of a long commit, or of a checkpoint, can be read alone.
//
//   0000000007.journal      segment 7                     header, frame …
//   0000000006.checkpoint   all that segments ≤ 6 meant   header, frame …
//   0000000007-4711.damaged what stood in segment 7 from byte 4711 on and could not be read
//   lock                    who has the directory
//
//   header = magic, version, id, previous, previousEnd, checksum     40 bytes
//   frame  = checksum: uint32, length: uint32, body: records         the checksum is over length and body; the highest bit
//                                                                    of length says that the commit goes on in the next
//
// A segment says in its header which segment it follows and where that one ended. So bytes behind that end (a sync that
// failed, whose records were written again here) are never read, and a segment nobody names never existed.

import { StoreError } from '../store-error.ts'
import type { ByteWriter } from './byte-writer.ts'
import { crc32c } from './crc32c.ts'

/** 1 had one frame a commit, however long. */
const VERSION = 2
/** A frame is ended behind the record that makes it so long: what must be read, for its checksum, to get one message. */
export const FRAME_BYTES = 8 << 10
const MORE = 0x8000_0000
export const HEADER_BYTES = 40
export const FRAME_HEAD_BYTES = 8
const MAGIC = { journal: 'MARTLETJ', checkpoint: 'MARTLETC' } as const

/** Said of a file. */
export const NO_HEADER = 'has no readable header'

export type FileKind = keyof typeof MAGIC

export interface FileHeader {
  readonly kind: FileKind
  /** Of a segment, its number; of a checkpoint, the number of the last segment it stands for. */
  readonly id: number
  /** The segment before; 0: there was none. A checkpoint has none. */
  readonly previous: number
  /** How many bytes of it count. */
  readonly previousEnd: number
}

export function fileName(id: number, kind: FileKind): string {
  return `${String(id).padStart(10, '0')}.${kind}`
}

export function damagedName(id: number, offset: number): string {
  return `${String(id).padStart(10, '0')}-${offset}.damaged`
}

/** The id and kind a file name stands for; undefined if it is no file of ours. */
export function parseFileName(name: string): { id: number; kind: FileKind } | undefined {
  const match = /^(\d{10,15})\.(journal|checkpoint)$/.exec(name)
  return match === null ? undefined : { id: Number(match[1]), kind: match[2] as FileKind }
}

/** Writes the header at the beginning of `out`, over the 40 bytes that stand there. */
export function writeHeader(header: FileHeader, out: Buffer): void {
  out.write(MAGIC[header.kind], 0, 'latin1')
  out.writeUInt32LE(VERSION, 8)
  out.writeDoubleLE(header.id, 12)
  out.writeDoubleLE(header.previous, 20)
  out.writeDoubleLE(header.previousEnd, 28)
  out.writeUInt32LE(crc32c(out, 0, HEADER_BYTES - 4), HEADER_BYTES - 4)
}

/** The header of a file; or why there is none: it is not whole, or of a version this program does not know. */
export function readHeader(bytes: Buffer): FileHeader | string {
  if (bytes.length < HEADER_BYTES) return NO_HEADER
  if (bytes.readUInt32LE(HEADER_BYTES - 4) !== crc32c(bytes, 0, HEADER_BYTES - 4)) return NO_HEADER
  const magic = bytes.toString('latin1', 0, 8)
  const kind = magic === MAGIC.journal ? 'journal' : magic === MAGIC.checkpoint ? 'checkpoint' : undefined
  if (kind === undefined) return NO_HEADER
  const version = bytes.readUInt32LE(8)
  // Intact, and somebody's: to set it aside as damage would lose what a newer program acknowledged.
  if (version < 1 || version > VERSION)
    throw new StoreError('newer', `it was written by another version of Martlet (format ${version}, here ${VERSION})`)
  const [id, previous, previousEnd] = [bytes.readDoubleLE(12), bytes.readDoubleLE(20), bytes.readDoubleLE(28)]
  return { kind, id, previous, previousEnd }
}

const HOLE = new Uint8Array(HEADER_BYTES)

/** Leaves room for a header, to be filled by `writeHeader`. */
export function reserveHeader(out: ByteWriter): void {
  out.raw(HOLE)
}

/** Leaves room for the head of a frame; returns where it stands, for `endFrame`. */
export function beginFrame(out: ByteWriter): number {
  const at = out.length
  out.uint32(0)
  out.uint32(0)
  return at
}

/**
 * Everything written since `beginFrame` becomes the frame's body; `more`: the commit goes on in the next one. `fileId` goes
 * into the checksum: a frame that strays into another file is none.
 */
export function endFrame(out: ByteWriter, at: number, fileId: number, more = false): void {
  const length = out.length - at - FRAME_HEAD_BYTES
  out.setUint32(at + 4, more ? length + MORE : length)
  out.setUint32(at, frameChecksum(out.bytes, at, out.length, fileId))
}

/** Length of the body of the frame at `bytes[at]`, and whether its commit goes on in the next. */
export function frameLength(bytes: Buffer, at: number): { length: number; more: boolean } {
  const word = bytes.readUInt32LE(at + 4)
  return word >= MORE ? { length: word - MORE, more: true } : { length: word, more: false }
}

/** The checksum of the frame at `bytes[start, end)`. */
export function frameChecksum(bytes: Uint8Array, start: number, end: number, fileId: number): number {
  return crc32c(bytes, start + 4, end, fileId >>> 0)
}
