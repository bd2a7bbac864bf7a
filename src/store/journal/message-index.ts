// Where on disk a message is, so that a long queue need not be in memory. Numbers ascend in the journal, so an entry every
// 64 KiB says enough: some sixteen bytes of memory for hundreds of messages. Reads a piece of a file, never the file.

import { type FileHandle, open } from 'node:fs/promises'
import type { MessageStored } from '../journal-record.ts'
import { FRAME_HEAD_BYTES, frameChecksum } from './file-format.ts'
import type { Source } from './journal-files.ts'
import { RecordDecoder } from './record-decoder.ts'

const SPACING = 64 << 10

/** Where pieces of a file begin, and the first message stored in each. Both ascend. */
export interface FilePieces {
  readonly offsets: number[]
  readonly messages: number[]
}

export function newPieces(): FilePieces {
  return { offsets: [], messages: [] }
}

/** A frame at `offset` stores `message` first. Entered if the last entry is far enough away. */
export function notePiece({ offsets, messages }: FilePieces, offset: number, message: number): void {
  const last = offsets.at(-1)
  if (last !== undefined && (offset - last < SPACING || message < messages.at(-1)!)) return
  offsets.push(offset)
  messages.push(message)
}

interface IndexedFile {
  readonly id: number
  readonly path: string
  readonly pieces: FilePieces
  end: number
}

interface Piece {
  readonly file: IndexedFile
  readonly start: number
  readonly end: number
}

export class MessageIndex {
  /** Oldest first, as they are replayed. */
  #files: IndexedFile[] = []

  /** A file that is read or written now, behind those before it. */
  add(id: number, path: string, pieces = newPieces(), end = 0): void {
    this.#files.push({ id, path, pieces, end })
  }

  /** In the file `id`, a commit that ends at `end` and begins at `offset`; its first message, 0 if it stores none. */
  note(id: number, offset: number, end: number, message: number): void {
    const file = this.#files.findLast((one) => one.id === id)
    if (file === undefined) return
    file.end = end
    if (message > 0) notePiece(file.pieces, offset, message)
  }

  /** The checkpoint stands for the first `count` files from now on. */
  compacted(count: number, checkpoint: Source, pieces: FilePieces): void {
    const { id, path, end } = checkpoint
    this.#files.splice(0, count, { id, path, pieces, end })
  }

  /**
   * The messages of these numbers; undefined for one that is not there (any more).
   * @throws what the file system says if a file cannot be read.
   */
  async read(numbers: readonly number[]): Promise<(MessageStored | undefined)[]> {
    const found = new Map<number, MessageStored>()
    const wanted = new Set(numbers)
    for (const number of [...wanted].sort((a, b) => a - b)) {
      if (found.has(number)) continue
      await this.#find(number, wanted, found)
    }
    return numbers.map((number) => found.get(number))
  }

  /** Looks into every piece that may hold it; a compaction in between moves it, so it is looked for again then. */
  async #find(number: number, wanted: ReadonlySet<number>, found: Map<number, MessageStored>): Promise<void> {
    for (const piece of this.#piecesWith(number)) {
      try {
        await readPiece(piece, wanted, found)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || this.#files.includes(piece.file)) throw error
        await this.#find(number, wanted, found)
        return
      }
      if (found.has(number)) return
    }
  }

  /** The newest file first: a write that was rescued stands in two of them. */
  #piecesWith(number: number): Piece[] {
    const pieces: Piece[] = []
    for (const file of this.#files.toReversed()) {
      const { offsets, messages } = file.pieces
      const at = lastNotAbove(messages, number)
      if (at >= 0) pieces.push({ file, start: offsets[at]!, end: offsets[at + 1] ?? file.end })
    }
    return pieces
  }
}

/** The index of the last of `ascending` that is at most `value`; -1 if none is. */
function lastNotAbove(ascending: readonly number[], value: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Every message of the piece that is wanted. */
async function readPiece({ file, start, end }: Piece, wanted: ReadonlySet<number>, found: Map<number, MessageStored>) {
  const bytes = await readRange(file.path, start, end)
  const decoder = new RecordDecoder({ anonymous: true })
  decoder.wanted = wanted
  decoder.borrows = true // and copied below: a message must not hold the piece it stands in
  for (let at = 0; at + FRAME_HEAD_BYTES <= bytes.length; ) {
    const frameEnd = at + FRAME_HEAD_BYTES + bytes.readUInt32LE(at + 4)
    if (frameEnd > bytes.length || bytes.readUInt32LE(at) !== frameChecksum(bytes, at, frameEnd, file.id))
      throw new Error(`${file.path} is damaged near byte ${start + at}`)
    decoder.begin(bytes, at + FRAME_HEAD_BYTES, frameEnd)
    for (let record = decoder.next(); record !== undefined; record = decoder.next())
      if (record.type === 'message-stored' && wanted.has(record.message)) found.set(record.message, copyOf(record))
    at = frameEnd
  }
}

function copyOf(record: MessageStored): MessageStored {
  const { payload, properties } = record
  return { ...record, payload: new Uint8Array(payload), properties: new Uint8Array(properties) }
}

async function readRange(path: string, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start)
  const file: FileHandle = await open(path, 'r')
  try {
    let done = 0
    while (done < bytes.length) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return bytes.subarray(0, done)
  } finally {
    await file.close()
  }
}
