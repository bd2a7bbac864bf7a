// Makes one checkpoint of an older checkpoint and the segments behind it: what is still alive, in an order that can be
// replayed. Reads everything twice (what is alive? copy it) and holds only numbers and names in between, so that a store
// of any size is compacted in the memory its sessions take. Blocks; runs in a thread of its own, or in the command line.

import { closeSync, fdatasyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { JournalRecord } from '../journal-record.ts'
import { StoreError } from '../store-error.ts'
import { ByteWriter } from './byte-writer.ts'
import { beginFrame, endFrame, FRAME_BYTES, fileName, reserveHeader, writeHeader } from './file-format.ts'
import { syncDirectorySync } from './file-io.ts'
import type { Source } from './journal-files.ts'
import { JournalReader } from './journal-reader.ts'
import { LiveState } from './live-state.ts'
import { type FilePieces, newPieces, notePiece } from './message-index.ts'
import { RecordEncoder } from './record-encoder.ts'

/** Bytes written at once. A frame of a checkpoint is no commit, only a piece that is read alone. */
const WRITE_BYTES = 256 << 10
/** Bytes written between two syncs: one sync of everything at the end would hold up the commits of the broker. */
const SYNC_BYTES = 8 << 20

export interface CompactionTask {
  readonly directory: string
  /** Checkpoint first, if there is one; then segments, oldest first, none of them still written to. */
  readonly sources: readonly Source[]
  /** Bytes the checkpoint may take; default: as many as it wants. */
  readonly room?: number
}

export interface CompactionResult {
  readonly checkpoint: Source
  readonly records: number
  /** Where in it which messages are. */
  readonly pieces: FilePieces
}

/**
 * Writes the checkpoint and puts it in place, durably; the sources are superseded then and may be deleted.
 * @throws Error if a source cannot be read to its end or the device fails; nothing has changed then.
 */
export function compact({ directory, sources, room = Infinity }: CompactionTask): CompactionResult {
  const id = sources.at(-1)!.id
  const path = join(directory, fileName(id, 'checkpoint'))
  const draft = `${path}.tmp`
  const reader = new JournalReader({ skipBodies: true })
  const state = new LiveState()
  reader.visit(sources, (record) => state.apply(record))
  const out = new CheckpointWriter(draft, id, room)
  try {
    out.marks(reader.decoder.newestWallTime, reader.decoder.newestMessage)
    for (const record of state.withoutMessages()) out.record(record)
    copyMessages(sources, state, out)
    for (const record of state.references()) out.record(record)
    const { bytes, records, pieces } = out.finish()
    renameSync(draft, path)
    syncDirectorySync(directory)
    return { checkpoint: { kind: 'checkpoint', id, path, end: bytes, sealed: true }, records, pieces }
  } catch (error) {
    out.abandon()
    rmSync(draft, { force: true })
    throw error
  }
}

/** The live messages, byte for byte, in the order they came; each once, though a rescued write may have left it twice. */
function copyMessages(sources: readonly Source[], state: LiveState, out: CheckpointWriter): void {
  const reader = new JournalReader({ skipBodies: true })
  reader.visit(sources, (record, bytes) => {
    if (record.type !== 'message-stored' || !state.claim(record.message)) return
    out.message(record.message, bytes.subarray(reader.decoder.start, reader.decoder.end))
  })
}

class CheckpointWriter {
  readonly #fd: number
  readonly #id: number
  readonly #room: number
  readonly #encoder = new RecordEncoder()
  readonly #out = new ByteWriter(2 * WRITE_BYTES)
  #frame: number
  #written = 0
  #unsynced = 0
  #records = 0
  #firstMessage = 0
  readonly #pieces = newPieces()

  constructor(path: string, id: number, room: number) {
    rmSync(path, { force: true })
    this.#fd = openSync(path, 'wx', 0o640)
    this.#id = id
    this.#room = room
    reserveHeader(this.#out)
    writeHeader({ kind: 'checkpoint', id, previous: 0, previousEnd: 0 }, this.#out.bytes)
    this.#frame = beginFrame(this.#out)
  }

  marks(newestWallTime: number, newestMessage: number): void {
    this.#encoder.newestWallTime = newestWallTime
    this.#encoder.newestMessage = newestMessage
    this.#encoder.marks(this.#out)
  }

  record(record: JournalRecord): void {
    this.#encoder.encode(record, this.#out)
    this.#added()
  }

  /** A `message-stored`, as it is encoded. */
  message(message: number, record: Uint8Array): void {
    if (this.#firstMessage === 0) this.#firstMessage = message
    this.#out.raw(record)
    this.#added()
  }

  finish(): { bytes: number; records: number; pieces: FilePieces } {
    this.#encoder.end(this.#records, this.#out)
    this.#endFrame()
    this.#flush()
    fdatasyncSync(this.#fd)
    closeSync(this.#fd)
    return { bytes: this.#written, records: this.#records, pieces: this.#pieces }
  }

  abandon(): void {
    try {
      closeSync(this.#fd)
    } catch {
      // closed already: `finish` got that far
    }
  }

  #added(): void {
    this.#records++
    if (this.#out.length - this.#frame < FRAME_BYTES) return
    this.#endFrame()
    if (this.#out.length >= WRITE_BYTES) this.#flush()
    this.#frame = beginFrame(this.#out)
  }

  #endFrame(): void {
    endFrame(this.#out, this.#frame, this.#id)
    if (this.#firstMessage > 0) notePiece(this.#pieces, this.#written + this.#frame, this.#firstMessage)
    this.#firstMessage = 0
  }

  #flush(): void {
    const out = this.#out
    if (this.#written + out.length > this.#room)
      throw new StoreError('disk-full', `what is alive needs more than the ${this.#room} bytes there is room for`)
    for (let done = 0; done < out.length; )
      done += writeSync(this.#fd, out.bytes, done, out.length - done, this.#written + done)
    this.#written += out.length
    this.#unsynced += out.length
    out.clear()
    if (this.#unsynced < SYNC_BYTES) return
    fdatasyncSync(this.#fd)
    this.#unsynced = 0
  }
}
