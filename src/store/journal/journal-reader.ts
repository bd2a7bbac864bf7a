// Reads all that counts in a store's directory, oldest first, as records. Survives whatever it finds: a file is read up to
// its first fault, then the next one is. The caller hears of each fault and decides what becomes of the rest.

import { closeSync, openSync } from 'node:fs'
import type { JournalRecord } from '../journal-record.ts'
import { FrameReader } from './frame-reader.ts'
import type { Source } from './journal-files.ts'
import { type DecoderOptions, RecordDecoder } from './record-decoder.ts'

export interface ReadFault {
  readonly source: Source
  /** Everything in the file before this byte is good. */
  readonly offset: number
  readonly reason: string
}

/** One frame: what one commit stored. */
export interface ReadFrame {
  readonly source: Source
  /** Where in the file it begins. */
  readonly offset: number
  /** Where in the file it ends. */
  readonly end: number
  readonly records: JournalRecord[]
}

export class JournalReader {
  readonly decoder: RecordDecoder
  readonly faults: ReadFault[] = []

  constructor(options: DecoderOptions = {}) {
    this.decoder = new RecordDecoder(options)
  }

  /** All frames of `sources`. */
  *frames(sources: readonly Source[]): Generator<ReadFrame, void> {
    for (const source of sources) yield* this.#framesOf(source)
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

  *#framesOf(source: Source): Generator<ReadFrame, void> {
    const fd = this.#open(source)
    if (fd === undefined) return
    try {
      const frames = new FrameReader(fd, source.id, source.end)
      this.decoder.beginFile()
      while (frames.next()) {
        const records = this.#decode(frames)
        if (records === undefined) break
        if (records.length > 0) yield { source, offset: frames.frameOffset, end: frames.offset, records }
      }
      if (source.kind === 'checkpoint' && source.cut !== true && this.decoder.announcedRecords === undefined)
        frames.fault ??= 'a checkpoint has no end'
      if (frames.fault !== undefined) this.faults.push({ source, offset: frames.offset, reason: frames.fault })
    } finally {
      closeSync(fd)
    }
  }

  #open(source: Source): number | undefined {
    try {
      return openSync(source.path, 'r')
    } catch (error) {
      this.faults.push({ source, offset: 0, reason: (error as Error).message })
      return undefined
    }
  }

  #decode(frames: FrameReader): JournalRecord[] | undefined {
    const records: JournalRecord[] = []
    try {
      this.decoder.begin(frames.bytes, frames.bodyStart, frames.bodyEnd)
      for (let record = this.decoder.next(); record !== undefined; record = this.decoder.next()) records.push(record)
      return records
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      frames.reject(error.message)
      return undefined
    }
  }
}
