// The journal of everything that must outlive the process: persistent sessions, retained messages, wills.
// Owns no state: hot state lives in memory, the store is never read on the hot path. A record says what changed, in the
// order it changed; replaying all records in that order gives the state back. `commit` has happened when its promise
// resolves, and only then may the acknowledgement that depends on it be sent (store, then acknowledge).

import type { StoreMetrics } from './journal/store-events.ts'
import type { JournalRecord, MessageStored } from './journal-record.ts'
import type { StoreError } from './store-error.ts'

export type * from './journal-record.ts'

export interface DurableStore {
  /** Nothing survives the process: commits resolve at once, and nobody needs to wait for one. */
  readonly volatile: boolean
  /** Makes it usable. Rejects if another process has it, or if it is damaged beyond what `recover` can skip. */
  open(): Promise<void>
  /**
   * All records committed by earlier processes, oldest first. Once, after `open` and before the first `commit`. With
   * `borrows` the bytes in a record may be valid only until the next one is asked for.
   */
  recover(options?: { readonly borrows?: boolean }): AsyncIterable<JournalRecord>
  /**
   * Stores a batch, all or nothing, behind every batch before it. A new commit may begin while earlier ones are under
   * way; they resolve in the order they began. The store owns neither the array nor the bytes in it after it resolved.
   * Rejects if the batch may not have been stored: the state it holds must not be acknowledged. It stays with the store,
   * which stores it before anything newer as soon as it can; a later commit, of an empty batch even, that resolves says so.
   */
  commit(batch: readonly JournalRecord[]): Promise<void>
  /**
   * What only some stores know; valid once all was recovered. A store that leaves them out always has room, refuses
   * nothing but single commits, and gives back no message it was given.
   *
   * The highest wall time in any record, milliseconds; -Infinity: none. While the clock is behind it, nothing expires.
   */
  readonly newestWallTime?: number
  /** The highest number a message was ever stored under, also of those long gone; 0: none. The next is one higher. */
  readonly newestMessage?: number
  /** Why commits are refused at the moment: publishers get 0x97 for `disk-full`. Undefined while they are not. */
  readonly refusal?: StoreError | undefined
  /**
   * Why nothing new should be given to it, though it takes it: space is nearly used up, and the rest is for what makes it
   * smaller. Undefined while there is enough.
   */
  readonly shortage?: StoreError | undefined
  /** False while so much waits to be written that publishers should be parked until `room` resolves. */
  readonly hasRoom?: boolean
  room?(): Promise<void>
  /** Whether `readMessages` finds every message of a commit that resolved, so that a queue may be held as numbers. */
  readonly readsBack?: boolean
  /** The messages of these numbers, from disk; undefined for one that is gone. For queues too long for memory. */
  readMessages?(numbers: readonly number[]): Promise<(MessageStored | undefined)[]>
  /** Counters and sizes, as they are now. */
  readonly metrics?: Readonly<StoreMetrics>
  /** Resolves when every commit begun has ended and everything is given back; idempotent. */
  close(): Promise<void>
}
