// Keeps what lies on disk in proportion to what is alive. When the closed segments have grown as large as the checkpoint (and
// two segments at least), a thread makes a new checkpoint of both and the old files go. So every byte is rewritten
// about once for each time the store doubles, disk use stays below about three times what is alive, and a start reads at
// most twice what it needs. Commits go on all the while: they touch only the segment that is open.

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { CompactionResult, CompactionTask } from './compaction.ts'
import { syncDirectory } from './file-io.ts'
import { discard, type Source } from './journal-files.ts'
import type { StoreEvent, StoreMetrics } from './store-events.ts'

/** Short processes leave short segments; so many of them are worth a compaction whatever their size. */
const MAX_SEGMENTS = 64
/** While space is short: the pause after an attempt, times its length. */
const PAUSES = 4

export interface CompactorOptions {
  readonly directory: string
  /** Closed segments of fewer bytes in total are left alone. */
  readonly leastBytes: number
  readonly metrics: StoreMetrics
  tell(event: StoreEvent): void
  /** Bytes a checkpoint may take on the device, counted now. */
  room(): Promise<number>
  /** The checkpoint stands for the first `count` files; they are deleted after this. */
  replaced(count: number, result: CompactionResult): void
}

export class Compactor {
  readonly #options: CompactorOptions
  /** The checkpoint and the closed segments behind it, oldest first. */
  #sources: Source[]
  #worker: Worker | undefined
  #running: Promise<void> | undefined
  #closed = false
  /** Grows with every failure, so that a full disk is not filled again and again. */
  #patience = 1
  /** While space is short: seconds until the next attempt, and whether the log has been told that one failed. */
  #urgency: { wait: number; isTold: boolean } | undefined

  constructor(sources: readonly Source[], options: CompactorOptions) {
    this.#sources = [...sources]
    this.#options = options
    this.#measure()
    this.#consider()
  }

  /** All complete files, as they are now. */
  get sources(): readonly Source[] {
    return this.#sources
  }

  /** Called for every segment that is complete. */
  sealed(segment: { id: number; path: string; end: number }): void {
    this.#sources.push({ kind: 'journal', ...segment, sealed: true })
    this.#measure()
    this.#consider()
  }

  /**
   * Space is short: whatever may be dead is looked for, however little. Called once a second; an attempt is followed by a
   * pause of four times its length, so that a large store is not read all the time. `beginSegment` has the open segment closed, so that it can take part.
   */
  urge(beginSegment: () => Promise<void>): void {
    this.#urgency ??= { wait: 0, isTold: false }
    const urgency = this.#urgency
    if (this.#closed || this.#running !== undefined || urgency.wait-- > 0) return
    this.#run(async () => {
      const started = performance.now()
      await beginSegment()
      const sources = [...this.#sources]
      if (sources.some(({ kind }) => kind === 'journal')) await this.#compact(sources)
      urgency.wait = Math.round((PAUSES * (performance.now() - started)) / 1000)
    })
  }

  /** Space is no longer short. */
  relax(): void {
    this.#urgency = undefined
    this.#patience = 1
  }

  /** Resolves when no compaction is under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** Stops; a compaction under way is given up, the next process does it. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#worker?.terminate()
    await this.#running
  }

  #consider(): void {
    if (this.#closed || this.#running !== undefined || !this.#isWorthIt()) return
    this.#run(() => this.#compact([...this.#sources]))
  }

  #run(work: () => Promise<void>): void {
    this.#running = work().finally(() => {
      this.#running = undefined
      this.#worker = undefined
      this.#measure()
      this.#consider()
    })
  }

  #isWorthIt(): boolean {
    const { metrics, leastBytes } = this.#options
    const segments = this.#sources.filter(({ kind }) => kind === 'journal')
    const bytes = segments.reduce((sum, { end }) => sum + end, 0)
    if (segments.length >= MAX_SEGMENTS * this.#patience) return true
    return bytes >= this.#patience * Math.max(leastBytes, metrics.checkpointBytes)
  }

  async #compact(sources: readonly Source[]): Promise<void> {
    const { metrics, tell, directory } = this.#options
    const before = sources.reduce((sum, { end }) => sum + end, 0)
    try {
      const room = await this.#options.room()
      const result = await this.#inThread({ directory, sources, room })
      const { checkpoint, records } = result
      this.#sources = [checkpoint, ...this.#sources.slice(sources.length)]
      this.#options.replaced(sources.length, result)
      for (const source of sources) if (source.path !== checkpoint.path) await discard(source)
      await syncDirectory(directory)
      metrics.compactions++
      this.#patience = 1
      const text = `the store was compacted: ${before} bytes became ${checkpoint.end}, ${records} records`
      tell({ kind: 'compacted', level: 'info', text })
    } catch (error) {
      if (this.#closed) return
      metrics.compactionFailures++
      this.#patience = Math.min(2 * this.#patience, 1024)
      if (this.#urgency?.isTold === true) return
      if (this.#urgency !== undefined) this.#urgency.isTold = true
      const text = `the store could not be compacted, which is tried again later: ${(error as Error).message}`
      tell({ kind: 'compaction-failed', level: 'warn', text, error })
    }
  }

  #inThread(task: CompactionTask): Promise<CompactionResult> {
    return new Promise((resolve, reject) => {
      const extension = extname(import.meta.url)
      const worker = new Worker(new URL(`./compaction-worker${extension}`, import.meta.url), {
        workerData: task,
        // Some of Node's arguments (--input-type) make a thread fail; only sources that are not compiled need any.
        execArgv: extension === '.js' ? [] : process.execArgv,
      })
      this.#worker = worker
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', (code) => reject(new Error(`the compaction thread ended with code ${code}`)))
    })
  }

  #measure(): void {
    const { metrics } = this.#options
    const segments = this.#sources.filter(({ kind }) => kind === 'journal')
    metrics.segments = segments.length
    metrics.segmentBytes = segments.reduce((sum, { end }) => sum + end, 0)
    metrics.checkpointBytes = this.#sources.find(({ kind }) => kind === 'checkpoint')?.end ?? 0
  }
}
