// Group commit: one group is being written, everything that comes meanwhile joins the next. When a write fails, the group
// and what waits behind it are written again, once, into a new segment; if that fails too, they are rejected, and so
// is everything after them, until a retry works. Rejected batches are kept (up to a limit) and written by that retry, before
// anything newer: the journal has no holes, and what memory holds and what the journal says do not drift apart.

import type { JournalRecord } from '../journal-record.ts'
import { refusalOf, StoreError } from '../store-error.ts'
import { type Commit, CommitGroup } from './commit-group.ts'
import type { RecordEncoder } from './record-encoder.ts'
import type { SegmentWriter } from './segment-writer.ts'
import type { StoreEvent, StoreMetrics } from './store-events.ts'

const FIRST_RETRY = 100
const LAST_RETRY = 5000
/** Bytes in a segment that is closed before it is full. */
const WORTH_CLOSING = 4096

export interface CommitQueueOptions {
  /** Resolve as soon as the batch is taken. */
  readonly early: boolean
  readonly segmentBytes: number
  /** More than this waiting and `hasRoom` is false; twice this and commits are refused. */
  readonly maxWaitingBytes: number
  readonly metrics: StoreMetrics
  tell(event: StoreEvent): void
  /** A group is written; it ends where the writer stands. */
  wrote(group: CommitGroup): void
}

export class CommitQueue {
  readonly encoder: RecordEncoder
  /** Why commits are refused at the moment. */
  refusal: StoreError | undefined
  readonly #writer: SegmentWriter
  readonly #options: CommitQueueOptions
  #waiting = new CommitGroup()
  #spare = new CommitGroup()
  #bytesInFlight = 0
  /** Resolves when the group being written has ended, one way or the other. */
  #writing: Promise<void> | undefined
  #newest: Promise<void> = Promise.resolve()
  #roomWaiters: (() => void)[] = []
  #kept: (readonly JournalRecord[])[] = []
  #keptBytes = 0
  #retryTimer: NodeJS.Timeout | undefined
  #retryDelay = FIRST_RETRY

  constructor(writer: SegmentWriter, encoder: RecordEncoder, options: CommitQueueOptions) {
    this.#writer = writer
    this.encoder = encoder
    this.#options = options
  }

  get waitingBytes(): number {
    return this.#bytesInFlight + this.#waiting.bytes
  }

  get hasRoom(): boolean {
    return this.refusal === undefined && this.waitingBytes < this.#options.maxWaitingBytes
  }

  /** Resolves when there is room, at once if there is. */
  room(): Promise<void> {
    return this.hasRoom ? Promise.resolve() : new Promise((resolve) => this.#roomWaiters.push(resolve))
  }

  commit(batch: readonly JournalRecord[]): Promise<void> {
    if (this.refusal !== undefined) return this.#refuse(batch, this.refusal)
    if (this.waitingBytes > 2 * this.#options.maxWaitingBytes)
      return this.#refuseForGood(batch, new StoreError('backlog', `${this.waitingBytes} bytes wait to be written`))
    if (batch.length === 0) return this.#newest.then(nothing, nothing)
    const early = this.#options.early && this.hasRoom
    const promise = new Promise<void>((resolve, reject) => this.#add({ batch, resolve, reject }))
    if (this.#writing === undefined) this.#start(() => this.#writeWaiting())
    if (!early) {
      this.#newest = promise
      return promise
    }
    // Nobody waits for it, so its failure is told by events; what it held is encoded, the batch is the caller's.
    promise.catch(() => {})
    return Promise.resolve()
  }

  /** Closes the open segment, so that compaction may have it, if there is anything in it worth the file that follows. */
  async beginSegment(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
    if (this.refusal !== undefined || this.#writer.fileId === undefined || this.#writer.end < WORTH_CLOSING) return
    this.#start(async () => {
      const group = this.#encodeAnew([])
      try {
        await this.#writer.write(group)
        this.#written(group)
      } catch (error) {
        await this.#rescue(group, error)
      }
      this.#bytesInFlight = 0
      this.#spare.clear()
      await this.#writeWaiting()
    })
    await this.#writing
  }

  /** Resolves when nothing waits any more; tries once more to write what was refused. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
    clearTimeout(this.#retryTimer)
    if (this.refusal !== undefined) await this.#retry()
    clearTimeout(this.#retryTimer)
    await this.#writer.close()
    for (const tell of this.#roomWaiters.splice(0)) tell()
  }

  #start(work: () => Promise<void>): void {
    this.#writing = work().finally(() => {
      this.#writing = undefined
      // Between the end of the loop and this callback somebody may have come.
      if (this.#waiting.commits.length > 0) this.#start(() => this.#writeWaiting())
    })
  }

  #add(commit: Commit): void {
    if (this.#waiting.commits.length === 0) this.#beginGroup(this.#waiting)
    this.#waiting.add(commit, this.encoder)
  }

  /** An empty group gets its place: behind what is in flight in the current segment, or at the head of a new one. */
  #beginGroup(group: CommitGroup): void {
    const current = this.#writing === undefined ? this.#writer.fileId : this.#spare.fileId
    const full = this.#writer.end + this.#bytesInFlight >= this.#options.segmentBytes
    const startsFile = current === undefined || (full && !this.#startingFile)
    group.begin(startsFile ? this.#writer.takeId() : current, startsFile, this.encoder)
  }

  /** The group in flight starts a segment: how full the old one is means nothing any more. */
  get #startingFile(): boolean {
    return this.#writing !== undefined && this.#spare.startsFile
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.commits.length > 0 && this.refusal === undefined) {
      const group = this.#waiting
      this.#waiting = this.#spare
      this.#spare = group
      this.#bytesInFlight = group.bytes
      try {
        await this.#writer.write(group)
        this.#written(group)
      } catch (error) {
        await this.#rescue(group, error)
      }
      this.#bytesInFlight = 0
      this.#spare.clear()
      this.#tellRoom()
    }
  }

  #written(group: CommitGroup): void {
    const { metrics } = this.#options
    metrics.groups++
    metrics.commits += group.commits.length
    metrics.records += group.records
    metrics.bytesWritten += group.bytes
    metrics.largestGroup = Math.max(metrics.largestGroup, group.bytes)
    this.#options.wrote(group)
    for (const commit of group.commits) commit.resolve()
  }

  /** The group's segment failed: the group and all that waits go to a new one, together. */
  async #rescue(group: CommitGroup, error: unknown): Promise<void> {
    this.#failed('a write to the journal failed, a new segment is tried', error)
    if (this.#options.early) return this.#lose([...group.commits, ...this.#takeWaiting()], error)
    const commits = [...group.commits, ...this.#takeWaiting()]
    try {
      const rescue = this.#encodeAnew(commits)
      await this.#writer.write(rescue)
      this.#written(rescue)
    } catch (again) {
      this.#refuseAll([...commits, ...this.#takeWaiting()], again)
    }
  }

  #takeWaiting(): Commit[] {
    const commits = [...this.#waiting.commits]
    this.#waiting.clear()
    return commits
  }

  /** Becomes the group in flight: what comes meanwhile stands behind it. */
  #encodeAnew(commits: readonly Commit[]): CommitGroup {
    const group = this.#spare
    group.begin(this.#writer.takeId(), true, this.encoder)
    for (const commit of commits) group.add(commit, this.encoder)
    this.#bytesInFlight = group.bytes
    return group
  }

  #refuseAll(commits: readonly Commit[], error: unknown): void {
    const refusal = refusalOf(error, 'the journal cannot be written')
    this.refusal = refusal
    this.#options.tell({ kind: 'refusing', level: 'error', text: refusal.message, error })
    for (const { batch, reject } of commits) {
      this.#keep(batch)
      this.#options.metrics.commitsRefused++
      reject(refusal)
    }
    this.#retryLater()
  }

  /** With durability `none` the batches are the caller's again: they cannot be encoded anew. */
  #lose(commits: readonly Commit[], error: unknown): void {
    const records = commits.reduce((sum, { batch }) => sum + batch.length, 0)
    this.#countLost(records)
    const refusal = refusalOf(error, 'the journal cannot be written')
    for (const { reject } of commits) reject(refusal)
    this.refusal = refusal
    this.#options.tell({ kind: 'refusing', level: 'error', text: refusal.message, error })
    this.#retryLater()
  }

  #refuse(batch: readonly JournalRecord[], refusal: StoreError): Promise<void> {
    this.#options.metrics.commitsRefused++
    this.#keep(batch)
    return Promise.reject(refusal)
  }

  /** Nothing is wrong with the device; who commits without looking at `hasRoom` makes a hole in the journal. */
  #refuseForGood(batch: readonly JournalRecord[], refusal: StoreError): Promise<void> {
    this.#options.metrics.commitsRefused++
    this.#countLost(batch.length)
    return Promise.reject(refusal)
  }

  /**
   * Keeps a copy of a refused batch for the retry: its bytes are the caller's once the promise is rejected. The first is kept
   * whatever its size: who commits one batch after the other is told by the next that resolves that this one is stored.
   */
  #keep(batch: readonly JournalRecord[]): void {
    if (batch.length === 0) return
    const bytes = batch.reduce((sum, record) => sum + weightOf(record), 0)
    if (this.#kept.length > 0 && this.#keptBytes + bytes > this.#options.maxWaitingBytes) {
      this.#countLost(batch.length)
    } else {
      this.#keptBytes += bytes
      this.#kept.push(batch.map(copyOf))
    }
  }

  #countLost(records: number): void {
    const { metrics, tell } = this.#options
    if (metrics.recordsLost === 0)
      tell({ kind: 'records-lost', level: 'error', text: 'refused records could not be kept for the retry' })
    metrics.recordsLost += records
  }

  #retryLater(): void {
    this.#retryTimer = setTimeout(() => {
      this.#start(async () => {
        await this.#retry()
        await this.#writeWaiting()
      })
    }, this.#retryDelay)
    this.#retryTimer.unref()
    this.#retryDelay = Math.min(2 * this.#retryDelay, LAST_RETRY)
  }

  /** Writes what was refused into a new segment; when that works, commits are taken again. */
  async #retry(): Promise<void> {
    const kept = this.#kept
    const commits = kept.map((batch) => ({ batch, resolve: nothing, reject: nothing }))
    try {
      const group = this.#encodeAnew(commits)
      await this.#writer.write(group)
      this.#written(group)
    } catch (error) {
      this.refusal = refusalOf(error, 'the journal cannot be written')
      this.#options.metrics.writeFailures++
      this.#bytesInFlight = 0
      return this.#retryLater()
    }
    this.#bytesInFlight = 0
    this.#spare.clear()
    const late = this.#kept.slice(commits.length)
    this.#kept = []
    this.#keptBytes = 0
    this.refusal = undefined
    this.#retryDelay = FIRST_RETRY
    for (const batch of late) this.#add({ batch, resolve: nothing, reject: nothing })
    this.#options.tell({ kind: 'accepting', level: 'info', text: 'the journal can be written again' })
    this.#tellRoom()
  }

  #failed(text: string, error: unknown): void {
    this.#options.metrics.writeFailures++
    this.#options.tell({ kind: 'write-failed', level: 'warn', text: `${text}: ${(error as Error).message}`, error })
  }

  #tellRoom(): void {
    if (!this.hasRoom || this.#roomWaiters.length === 0) return
    const waiters = this.#roomWaiters
    this.#roomWaiters = []
    for (const tell of waiters) tell()
  }
}

function nothing(): void {}

/** Roughly what a record takes in memory and on disk, bytes. */
export function weightOf(record: JournalRecord): number {
  switch (record.type) {
    case 'message-stored':
    case 'will-set':
      return 64 + record.topicName.length + record.payload.length + record.properties.length
    case 'retained-set':
    case 'retained-removed':
      return 16 + record.topicName.length
    default:
      return 48
  }
}

function copyOf(record: JournalRecord): JournalRecord {
  if (record.type !== 'message-stored' && record.type !== 'will-set') return { ...record }
  return { ...record, payload: record.payload.slice(), properties: record.properties.slice() }
}
