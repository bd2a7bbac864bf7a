// The embedded store: a segmented, append-only journal in a directory of its own. Owns the directory's lock and the order
// of things: open, recover, commit, close. Writing is in journal/commit-queue.ts and segment-writer.ts, reading back in
// recovery.ts, getting rid of what is dead in compactor.ts. Why it is built this way: docs/durability.md.

import { join } from 'node:path'
import type { DurableStore, JournalRecord, MessageStored } from './durable-store.ts'
import { CommitQueue } from './journal/commit-queue.ts'
import { Compactor } from './journal/compactor.ts'
import { fileName } from './journal/file-format.ts'
import { makeDirectory } from './journal/file-io.ts'
import { FreeSpace } from './journal/free-space.ts'
import { DirectoryLock } from './journal/lock.ts'
import type { MessageIndex } from './journal/message-index.ts'
import { RecordEncoder } from './journal/record-encoder.ts'
import { Recovery } from './journal/recovery.ts'
import { type Durability, SegmentWriter } from './journal/segment-writer.ts'
import { newMetrics, type RecoveryProgress, type StoreEvent, type StoreMetrics } from './journal/store-events.ts'
import { StoreError } from './store-error.ts'

export type { Durability } from './journal/segment-writer.ts'
export type { RecoveryProgress, StoreEvent, StoreMetrics } from './journal/store-events.ts'

export interface JournalStoreOptions {
  /** Made if it does not exist; nothing else may live in it. */
  readonly directory: string
  /** Default: fsync. */
  readonly durability?: Durability
  /** Size at which a segment is closed and the next one begun, bytes; default 32 MiB. */
  readonly segmentBytes?: number
  /** Bytes that may wait to be written before `hasRoom` says no; default 16 MiB. */
  readonly maxWaitingBytes?: number
  /**
   * With fewer bytes than this free on the device (or than an eighth of the device, if that is less) `shortage` says so, and
   * compaction begins. Default 64 MiB; 0: the device may be filled.
   */
  readonly minFreeBytes?: number
  /** Milliseconds between two looks whether the directory is still ours; default 2000. */
  readonly lockCheck?: number
  /** Hears what is worth a log line. */
  readonly onEvent?: (event: StoreEvent) => void
  /** Hears how far recovery is, every few megabytes. */
  readonly onProgress?: (progress: RecoveryProgress) => void
}

const SEGMENT_BYTES = 32 << 20
const MAX_WAITING_BYTES = 16 << 20
const MIN_FREE_BYTES = 64 << 20

export class JournalStore implements DurableStore {
  readonly volatile = false
  readonly #options: JournalStoreOptions
  readonly #metrics = newMetrics()
  #state: 'new' | 'open' | 'closed' = 'new'
  #lock: DirectoryLock | undefined
  #recovery: Recovery | undefined
  #encoder = new RecordEncoder()
  #writer: SegmentWriter | undefined
  #queue: CommitQueue | undefined
  #compactor: Compactor | undefined
  #index: MessageIndex | undefined
  #space: FreeSpace | undefined
  #shortage: StoreError | undefined
  /** Another process has the directory: nothing is written there any more. */
  #lost: StoreError | undefined
  #closing: Promise<void> | undefined

  constructor(options: JournalStoreOptions) {
    this.#options = options
  }

  /** The highest wall time in any record, milliseconds; -Infinity if there is none. A clock that is behind it is wrong. */
  get newestWallTime(): number {
    return this.#encoder.newestWallTime
  }

  /** The highest number a message was ever stored under, also of those long gone; 0 if there is none. */
  get newestMessage(): number {
    return this.#encoder.newestMessage
  }

  /** Why commits are refused at the moment; undefined while they are not. */
  get refusal(): StoreError | undefined {
    return this.#lost ?? this.#queue?.refusal
  }

  /** Why nothing new should be committed, though commits are taken: the device is nearly full. */
  get shortage(): StoreError | undefined {
    return this.#shortage
  }

  /** Whether more should be committed now: false while too much waits to be written, and while commits are refused. */
  get hasRoom(): boolean {
    return this.#lost === undefined && (this.#queue?.hasRoom ?? true)
  }

  /** Resolves when `hasRoom` (or the store is closed). */
  room(): Promise<void> {
    return this.#queue?.room() ?? Promise.resolve()
  }

  /** Counters and sizes, as they are now. */
  get metrics(): Readonly<StoreMetrics> {
    const metrics = this.#metrics
    metrics.waitingBytes = this.#queue?.waitingBytes ?? 0
    metrics.syncs = this.#writer?.syncs ?? 0
    metrics.openSegmentBytes = this.#writer?.fileId === undefined ? 0 : this.#writer.end
    return metrics
  }

  /** With durability `none` a commit resolves before it is written, and what is not written cannot be read. */
  get readsBack(): boolean {
    return this.#options.durability !== 'none'
  }

  /**
   * The messages stored under these numbers, read from disk: for queues too long to be held in memory. Neighbours in the
   * list that were stored one after the other cost one read. Undefined for a message that was compacted away.
   */
  async readMessages(numbers: readonly number[]): Promise<(MessageStored | undefined)[]> {
    if (this.#index === undefined) throw new Error('the store was not recovered')
    try {
      return await this.#index.read(numbers)
    } catch (error) {
      this.#metrics.readErrors++
      throw error
    }
  }

  /** Resolves when no compaction is under way. */
  async compacted(): Promise<void> {
    await this.#compactor?.idle()
  }

  async open(): Promise<void> {
    if (this.#state !== 'new') throw new Error('a store is opened once')
    const { directory } = this.#options
    makeDirectory(directory)
    this.#lock = await DirectoryLock.take(directory, {
      touch: this.#options.lockCheck,
      onLost: () => this.#lockLost(),
    })
    try {
      this.#recovery = new Recovery(directory, {
        metrics: this.#metrics,
        tell: (event) => this.#tell(event),
        onProgress: (progress) => this.#options.onProgress?.(progress),
      })
      if (this.#recovery.isEmpty) await this.#startWriting()
    } catch (error) {
      this.#lock.release()
      throw error
    }
    this.#state = 'open'
  }

  async *recover({ borrows = false } = {}): AsyncGenerator<JournalRecord, void> {
    if (this.#state !== 'open') throw new StoreError('closed', 'the store is not open')
    if (this.#recovery === undefined) return // nothing was there, or it was told already
    const started = performance.now()
    yield* this.#recovery.records(borrows)
    await this.#startWriting()
    this.#metrics.recoverySeconds = (performance.now() - started) / 1000
  }

  commit(batch: readonly JournalRecord[]): Promise<void> {
    if (this.#state !== 'open') return Promise.reject(new StoreError('closed', 'the store is not open'))
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    if (this.#queue === undefined) return Promise.reject(new Error('the store was not recovered'))
    return this.#queue.commit(batch)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #startWriting(): Promise<void> {
    const { directory, durability = 'fsync' } = this.#options
    const recovered = await this.#recovery!.finish()
    this.#recovery = undefined
    this.#encoder.newestWallTime = recovered.newestWallTime
    this.#encoder.newestMessage = recovered.newestMessage
    const segmentBytes = this.#options.segmentBytes ?? SEGMENT_BYTES
    const { index } = recovered
    const space = new FreeSpace({
      directory,
      least: this.#options.minFreeBytes ?? MIN_FREE_BYTES,
      changed: (isShort, free) => this.#spaceChanged(isShort, free),
      stillShort: () => compactor.urge(() => queue.beginSegment()),
    })
    const compactor = new Compactor(recovered.sources, {
      directory,
      leastBytes: 2 * segmentBytes,
      metrics: this.#metrics,
      tell: (event) => this.#tell(event),
      room: async () => {
        await space.measure()
        return space.forCompaction
      },
      replaced: (count, { checkpoint, pieces }) => index.compacted(count, checkpoint, pieces),
    })
    this.#index = index
    this.#compactor = compactor
    const writer = new SegmentWriter(directory, durability, recovered.previous, {
      sealed: (segment) => compactor.sealed(segment),
      lateSyncFailed: (error) =>
        this.#tell({ kind: 'write-failed', level: 'warn', text: 'a closed segment could not be synced', error }),
    })
    this.#writer = writer
    const queue = new CommitQueue(writer, this.#encoder, {
      early: durability === 'none',
      segmentBytes,
      maxWaitingBytes: this.#options.maxWaitingBytes ?? MAX_WAITING_BYTES,
      metrics: this.#metrics,
      tell: (event) => this.#tell(event),
      wrote: ({ fileId, startsFile, bytes, pieces }) => {
        if (startsFile) index.add(fileId, join(directory, fileName(fileId, 'journal')))
        index.note(fileId, pieces, writer.end - bytes, writer.end)
        space.wrote(bytes)
      },
    })
    this.#queue = queue
    this.#space = space
    await space.measure()
  }

  async #close(): Promise<void> {
    const queue = this.#queue
    this.#state = 'closed'
    this.#space?.close()
    await queue?.close()
    await this.#compactor?.close()
    this.#lock?.release()
  }

  /** This process stood still so long that another took it for dead. What it commits now would be read by nobody. */
  #lockLost(): void {
    const text = `${this.#options.directory} was taken over by another process: nothing is stored there any more`
    this.#lost = new StoreError('locked', text)
    this.#tell({ kind: 'refusing', level: 'error', text })
    this.#space?.close()
    void this.#compactor?.close()
  }

  #spaceChanged(isShort: boolean, free: number): void {
    if (!isShort) {
      this.#shortage = undefined
      this.#compactor!.relax()
      this.#tell({ kind: 'enough-space', level: 'info', text: `there is space for the store again: ${free} bytes` })
      return
    }
    this.#metrics.shortages++
    const text = `space for the store is short, ${free} bytes are left: nothing new is taken until there is more`
    this.#shortage = new StoreError('disk-full', text)
    this.#tell({ kind: 'short-of-space', level: 'error', text })
  }

  #tell(event: StoreEvent): void {
    this.#options.onEvent?.(event)
  }
}
