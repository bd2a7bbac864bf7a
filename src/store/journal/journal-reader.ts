// Reads all that counts in a store's directory, oldest first, as records. Survives whatever it finds: a file is read up to
// its first fault, then the next one is. The caller hears of each fault and decides what becomes of the rest.

import { closeSync, openSync } from 'node:fs'
import type { JournalRecord } from '../journal-record.ts'
import { FrameReader } from './frame-reader.ts'
import { isDeviceError, type Source, twice } from './journal-files.ts'
import { type FilePieces, newPieces } from './message-index.ts'
import { type DecoderOptions, RecordDecoder } from './record-decoder.ts'

export interface ReadFault {
  readonly source: Source
  /** Everything in the file before this byte is good. */
  readonly offset: number
  readonly reason: string
}

/** What one commit stored; in a checkpoint, one frame. */
export interface ReadCommit {
  readonly source: Source
  /** Where in the file it begins. */
  readonly offset: number
  /** Where in the file it ends. */
  readonly end: number
  readonly records: JournalRecord[]
  /** Its frames, and the first message stored in each; 0: none. */
  readonly pieces: FilePieces
}

export class JournalReader {
  readonly decoder: RecordDecoder
  readonly faults: ReadFault[] = []

  constructor(options: DecoderOptions = {}) {
    this.decoder = new RecordDecoder(options)
  }

  /** All commits of `sources`. */
  *commits(sources: readonly Source[]): Generator<ReadCommit, void> {
    for (const source of sources) yield* this.#commitsOf(source)
  }

  /**
   * Visits every record of `sources`; `bytes` holds it as it stands in the file, from `decoder.start` to `decoder.end`, until
   * the visit ends.
   * @throws Error at the first fault: who rewrites a journal must not go on without knowing what it says.
   */
  visit(sources: readonly Source[], visit: (record: JournalRecord, bytes: Buffer) => void): void {
    const { decoder } = this
    for (const source of sources) {
      const fd = openSync(source.path, 'r')
      try {
        const frames = new FrameReader(fd, source.id, source.end)
        decoder.beginFile()
        while (frames.next()) {
          decoder.begin(frames.bytes, frames.bodyStart, frames.bodyEnd)
          for (let record = decoder.next(); record !== undefined; record = decoder.next()) visit(record, frames.bytes)
        }
        if (frames.fault !== undefined) throw new Error(`${source.path}, byte ${frames.offset}: ${frames.fault}`)
      } finally {
        closeSync(fd)
      }
    }
  }

  *#commitsOf(source: Source): Generator<ReadCommit, void> {
    const fd = this.#open(source)
    if (fd === undefined) return
    try {
      const frames = new FrameReader(fd, source.id, source.end)
      this.decoder.beginFile()
      for (let commit = this.#next(source, frames); commit !== undefined; commit = this.#next(source, frames))
        if (commit.records.length > 0) yield commit
      if (source.kind === 'checkpoint' && source.cut !== true && this.decoder.announcedRecords === undefined)
        frames.fault ??= 'a checkpoint has no end'
      if (frames.fault !== undefined) this.faults.push({ source, offset: frames.offset, reason: frames.fault })
    } finally {
      closeSync(fd)
    }
  }

  #open(source: Source): number | undefined {
    try {
      return twice(() => openSync(source.path, 'r'))
    } catch (error) {
      if (!isDeviceError(error)) throw error
      this.faults.push({ source, offset: 0, reason: (error as Error).message })
      return undefined
    }
  }

  /** The next commit of the file; undefined at the end, or where it cannot be read. */
  #next(source: Source, frames: FrameReader): ReadCommit | undefined {
    const records: JournalRecord[] = []
    const pieces = newPieces()
    do {
      if (!frames.next()) return undefined
      pieces.offsets.push(frames.frameOffset)
      pieces.messages.push(this.#decode(frames, records))
      if (frames.fault !== undefined) return undefined
    } while (frames.more)
    return { source, offset: frames.commitOffset, end: frames.offset, records, pieces }
  }

  /** Appends the frame's records; returns the first message it stores, 0 if it stores none. */
  #decode(frames: FrameReader, records: JournalRecord[]): number {
    let first = 0
    try {
      this.decoder.begin(frames.bytes, frames.bodyStart, frames.bodyEnd)
      for (let record = this.decoder.next(); record !== undefined; record = this.decoder.next()) {
        if (first === 0 && record.type === 'message-stored') first = record.message
        records.push(record)
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      frames.reject(error.message)
    }
    return first
  }
}
