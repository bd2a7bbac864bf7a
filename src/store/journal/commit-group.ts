// All commits that go to disk with one write and one sync, encoded as they come in. Holds the batches as well: if the
// write fails, they are encoded anew for another file, whose dictionary starts empty.

import type { JournalRecord } from '../journal-record.ts'
import { ByteWriter } from './byte-writer.ts'
import { beginFrame, endFrame, FRAME_BYTES, reserveHeader } from './file-format.ts'
import { newPieces } from './message-index.ts'
import type { RecordEncoder } from './record-encoder.ts'

export interface Commit {
  readonly batch: readonly JournalRecord[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class CommitGroup {
  readonly commits: Commit[] = []
  readonly out: ByteWriter
  records = 0
  /** Where in `out` its frames begin, and the first message stored in each; 0: none. */
  pieces = newPieces()
  /** The segment its checksums are made for. */
  fileId = 0
  /** It begins that segment: 40 bytes are reserved for the header. */
  startsFile = false

  constructor(out = new ByteWriter()) {
    this.out = out
  }

  get bytes(): number {
    return this.out.length
  }

  /** Makes it an empty group again, for the segment `fileId`. */
  begin(fileId: number, startsFile: boolean, encoder: RecordEncoder): void {
    this.clear()
    this.fileId = fileId
    this.startsFile = startsFile
    if (!startsFile) return
    encoder.beginFile()
    reserveHeader(this.out)
  }

  /** Forgets what it holds. It goes on saying which segment it was for: that is where the next group goes. */
  clear(): void {
    this.commits.length = 0
    this.records = 0
    this.pieces = newPieces()
    this.out.clear()
  }

  add(commit: Commit, encoder: RecordEncoder): void {
    this.commits.push(commit)
    const { batch } = commit
    if (batch.length === 0) return
    let at = beginFrame(this.out)
    let first = 0
    for (const record of batch) {
      if (this.out.length - at >= FRAME_BYTES) {
        this.#endFrame(at, first, true)
        at = beginFrame(this.out)
        first = 0
      }
      if (first === 0 && record.type === 'message-stored') first = record.message
      encoder.encode(record, this.out)
    }
    this.#endFrame(at, first, false)
    this.records += batch.length
  }

  #endFrame(at: number, firstMessage: number, more: boolean): void {
    endFrame(this.out, at, this.fileId, more)
    this.pieces.offsets.push(at)
    this.pieces.messages.push(firstMessage)
  }
}
