// A DurableStore for tests: keeps its records in memory, across close and open, and commits when the test says so. With it
// a test can stand between "handed to the store" and "stored", where acknowledgements must wait.

import { RECORDS, RecoveredState } from '../../src/broker/journal/recovered-state.ts'
import type { DurableStore, JournalRecord, MessageStored } from '../../src/store/durable-store.ts'

interface Commit {
  batch: readonly JournalRecord[]
  resolve: () => void
  reject: (error: Error) => void
}

export class SlowStore implements DurableStore {
  readonly volatile = false
  /** Commits at once instead of waiting for `release`. */
  automatic: boolean
  /** Whether queues may be held as numbers. */
  readonly readsBack: boolean
  /** How often `readMessages` was asked. */
  reads = 0
  /** The next read fails with this. */
  readError: Error | undefined
  /** Every batch handed over so far, copied, stored or not. */
  readonly batches: (readonly JournalRecord[])[] = []
  readonly #stored: JournalRecord[] = []
  readonly #waiting: Commit[] = []
  /** Of failed commits, to be stored before anything newer. */
  #refused: JournalRecord[] = []
  readonly #watchers: { count: number; resolve: () => void }[] = []
  #state: 'new' | 'open' | 'closed' = 'new'

  constructor(options: { automatic?: boolean; readsBack?: boolean } = {}) {
    this.automatic = options.automatic ?? false
    this.readsBack = options.readsBack ?? false
  }

  /** How many commits wait for `release`. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** What is stored: what `recover` will tell. */
  get stored(): readonly JournalRecord[] {
    return this.#stored
  }

  /** All records handed over so far, in order, over all batches. */
  get records(): JournalRecord[] {
    return this.batches.flat()
  }

  /** What an earlier process stored. */
  remember(records: readonly JournalRecord[]): void {
    this.#stored.push(...records)
  }

  async open(): Promise<void> {
    if (this.#state === 'open') throw new Error('the store is open')
    this.#state = 'open'
  }

  async *recover(): AsyncGenerator<JournalRecord, void> {
    yield* [...this.#stored]
  }

  commit(batch: readonly JournalRecord[]): Promise<void> {
    if (this.#state !== 'open') return Promise.reject(new Error('the store is not open'))
    const copy = structuredClone(batch)
    this.batches.push(copy)
    const promise = new Promise<void>((resolve, reject) => this.#waiting.push({ batch: copy, resolve, reject }))
    if (this.automatic) this.release(Infinity)
    this.#tellWatchers()
    return promise
  }

  /** Messages that were stored and are still needed: a stricter store than one that forgets them when it compacts. */
  async readMessages(numbers: readonly number[]): Promise<(MessageStored | undefined)[]> {
    this.reads++
    const error = this.readError
    this.readError = undefined
    if (error !== undefined) throw error
    const state = new RecoveredState(RECORDS)
    for (const record of this.#stored) state.apply(record)
    return numbers.map((number) => state.message(number))
  }

  /** Resolves once at least `count` commits wait for `release`. */
  commitsWaiting(count = 1): Promise<void> {
    return new Promise((resolve) => {
      this.#watchers.push({ count, resolve })
      this.#tellWatchers()
    })
  }

  /** Stores the oldest `count` waiting batches; returns how many there were. */
  release(count = 1): number {
    const released = this.#waiting.splice(0, count)
    for (const { batch, resolve } of released) {
      this.#stored.push(...this.#refused.splice(0), ...batch)
      resolve()
    }
    return released.length
  }

  /** The oldest waiting commit fails: its records are stored with the next that does not. False if none waits. */
  fail(error = new Error('no space left on device')): boolean {
    const failed = this.#waiting.shift()
    if (failed === undefined) return false
    this.#refused.push(...failed.batch)
    failed.reject(error)
    return true
  }

  /** Stores what still waits, as a store that ends in order does. */
  async close(): Promise<void> {
    this.release(Infinity)
    this.#state = 'closed'
  }

  /** The process dies: what waits is neither stored nor answered. `open` may follow, as by the next process. */
  crash(): void {
    this.#waiting.length = 0
    this.#refused = []
    this.#state = 'closed'
  }

  #tellWatchers(): void {
    for (const watcher of [...this.#watchers]) {
      if (this.#waiting.length < watcher.count) continue
      this.#watchers.splice(this.#watchers.indexOf(watcher), 1)
      watcher.resolve()
    }
  }
}
