// Where on disk a message is, so that a long queue need not be in memory. Numbers ascend in the journal, so an entry every
// few KiB says enough: sixteen bytes of memory for each. Reads a piece of a file, never the file; pieces side by side at once.

import { type FileHandle, open } from 'node:fs/promises'
import type { MessageStored } from '../journal-record.ts'
import { FRAME_HEAD_BYTES, frameChecksum, frameLength } from './file-format.ts'
import type { Source } from './journal-files.ts'
import { RecordDecoder } from './record-decoder.ts'

const SPACING = 4 << 10
/** Pieces with no more than this between them are read at once, together with it, up to so many bytes. */
const GAP = 8 << 10
const MOST = 1 << 20

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

  /** In the file `id`, which reaches to `end` now: frames and their first messages, 0 for none. Their offsets count from `base`. */
  note(id: number, { offsets, messages }: FilePieces, base: number, end: number): void {
    const file = this.#files.findLast((one) => one.id === id)
    if (file === undefined) return
    file.end = end
    for (const [at, message] of messages.entries())
      if (message > 0) notePiece(file.pieces, base + offsets[at]!, message)
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
    const search = new Search(numbers)
    try {
      for (const [at, number] of search.ascending.entries()) if (!search.found.has(number)) await this.#find(at, search)
    } finally {
      await search.close()
    }
    return numbers.map((number) => search.found.get(number))
  }

  /** Looks into every piece that may hold it; a compaction in between moves it, so it is looked for again then. */
  async #find(at: number, search: Search): Promise<void> {
    const number = search.ascending[at]!
    for (const piece of this.#piecesWith(number)) {
      try {
        await search.look(widened(piece, search.ascending, at))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || this.#files.includes(piece.file)) throw error
        await this.#find(at, search)
        return
      }
      if (search.found.has(number)) return
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

/** The piece, and those behind it that hold what is wanted next, as far as they lie side by side. */
function widened({ file, start, end }: Piece, ascending: readonly number[], at: number): Piece {
  const { offsets, messages } = file.pieces
  let last = end
  for (let next = at + 1; next < ascending.length; next++) {
    const place = lastNotAbove(messages, ascending[next]!)
    const nextEnd = offsets[place + 1] ?? file.end
    if (offsets[place]! > last + GAP || nextEnd > start + MOST) break
    last = Math.max(last, nextEnd)
  }
  return { file, start, end: last }
}

/** One search for some messages; keeps the files it looks into open until it is over. */
class Search {
  readonly found = new Map<number, MessageStored>()
  readonly ascending: readonly number[]
  readonly #wanted: ReadonlySet<number>
  readonly #files = new Map<string, FileHandle>()

  constructor(numbers: readonly number[]) {
    this.#wanted = new Set(numbers)
    this.ascending = [...this.#wanted].sort((a, b) => a - b)
  }

  /** Finds every message of the piece that is wanted. */
  async look({ file, start, end }: Piece): Promise<void> {
    const bytes = await this.#read(file.path, start, end)
    const decoder = new RecordDecoder({ anonymous: true })
    decoder.wanted = this.#wanted
    decoder.borrows = true // and copied below: a message must not hold the piece it stands in
    for (let at = 0; at + FRAME_HEAD_BYTES <= bytes.length; ) {
      const frameEnd = at + FRAME_HEAD_BYTES + frameLength(bytes, at).length
      if (frameEnd > bytes.length || bytes.readUInt32LE(at) !== frameChecksum(bytes, at, frameEnd, file.id))
        throw new Error(`${file.path} is damaged near byte ${start + at}`)
      decoder.begin(bytes, at + FRAME_HEAD_BYTES, frameEnd)
      for (let record = decoder.next(); record !== undefined; record = decoder.next())
        if (record.type === 'message-stored' && this.#wanted.has(record.message))
          this.found.set(record.message, copyOf(record))
      at = frameEnd
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.close()
  }

  async #read(path: string, start: number, end: number): Promise<Buffer> {
    let file = this.#files.get(path)
    if (file === undefined) {
      file = await open(path, 'r')
      this.#files.set(path, file)
    }
    const bytes = Buffer.allocUnsafe(end - start)
    let done = 0
    while (done < bytes.length) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return bytes.subarray(0, done)
  }
}

function copyOf(record: MessageStored): MessageStored {
  const { payload, properties } = record
  return { ...record, payload: new Uint8Array(payload), properties: new Uint8Array(properties) }
}
