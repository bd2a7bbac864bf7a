// Refuses in time, so that neither V8's heap limit nor the system's OOM killer ends everybody's broker. Two limits: bytes
// that wait in all queues together, and a share of V8's heap limit. Beyond them nothing new is taken that would have to be
// kept (queue entries, sessions, subscriptions, retained messages); who is connected stays and is served.
import type { Counters } from '../../telemetry/counters.ts'
import type { LogFields } from '../../telemetry/log.ts'
import type { ThrottledLog } from '../../telemetry/throttled-log.ts'
import type { Clock } from '../../timers/clock.ts'
import type { Heap } from './heap.ts'
import type { OverloadSettings } from './settings.ts'

/** The heap is looked at after so many things that made it grow: one look is 3 µs. */
const LOOK_EVERY = 512
/** It is short of room until it is this share of the limit below it. */
const RELEASE_AT = 0.9
/** A collection is asked for at most so often, ms. */
const COLLECT_EVERY = 10_000
/**
 * The last quarter of the total is kept for queues smaller than this: a few absent clients with full queues do not cost
 * everybody else the little they need.
 */
const SMALL_QUEUE = 64 * 1024
const SHARE_OF_LARGE = 0.75
/** From this share of the total on new persistent sessions are refused. */
const FULL = 0.95

export interface MemoryGuardParts {
  readonly settings: OverloadSettings
  readonly counters: Counters
  readonly throttled: ThrottledLog
  readonly clock: Clock
  readonly heap: Heap
  /** Bytes of kept frames: what is queued, in flight or retained, each message once. */
  readonly keptBytes: () => number
}

export class MemoryGuard {
  readonly #parts: MemoryGuardParts
  readonly #heapLimit: number
  #grown = 0
  #isHeapShort = false
  #collectedAt = Number.NEGATIVE_INFINITY
  /** What the last collection left. */
  #live = 0

  constructor(parts: MemoryGuardParts) {
    this.#parts = parts
    this.#heapLimit = (parts.heap.limit * parts.settings.maxHeapPercent) / 100
  }

  /** V8's heap has no room for more. */
  get isHeapShort(): boolean {
    return this.#isHeapShort
  }

  /** Queues have no room for more, or almost none: the next message may be larger than what is left. */
  get areQueuesFull(): boolean {
    return this.#held() >= this.#parts.settings.maxQueuedBytesTotal * FULL || !this.#areTotalsWithin(FULL)
  }

  /** Whether one more message of `size` bytes may wait in a queue that holds `queued` bytes. Counts and logs when not. */
  takesMessage(size: number, queued: number): boolean {
    this.grew()
    const { maxQueuedBytesTotal: limit } = this.#parts.settings
    const most = queued < SMALL_QUEUE ? limit : limit * SHARE_OF_LARGE
    if (!this.#isHeapShort && this.#held() + size <= most && this.#areTotalsWithin(1)) return true
    this.#parts.counters.droppedMemory++
    if (!this.#isHeapShort) this.#warn('queues-full', this.#totals(), 'all queues together are full')
    return false
  }

  /** Something was added to what the broker keeps. Every so often it is looked what that did to the heap. */
  grew(): void {
    if (++this.#grown < LOOK_EVERY) return
    this.#grown = 0
    this.look(this.#parts.clock.now())
  }

  /** Looks at the heap. */
  look(now: number): void {
    const { heap, counters } = this.#parts
    const limit = this.#heapLimit
    let used = heap.used()
    if (this.#isHeapShort) {
      if (used > limit * RELEASE_AT && this.#mayCollect(now)) used = this.#collect(now)
      if (used > limit * RELEASE_AT) return
      this.#isHeapShort = false
      this.#warn('heap-again', { used, limit }, 'memory is available again')
      return
    }
    if (used <= limit) return
    // Much of it may be garbage that V8 was in no hurry to collect: only what is left after a collection counts.
    if (this.#mayCollect(now)) used = this.#collect(now)
    else if (this.#live <= limit * RELEASE_AT && used <= (limit + heap.limit) / 2) return
    if (used <= limit) return
    this.#isHeapShort = true
    counters.memoryShortages++
    this.#warn('heap', { used, limit }, 'memory is short: nothing new is taken that would have to be kept')
  }

  /** Whether the number of messages in all queues, and what of them is on disk, is below this share of its limit. */
  #areTotalsWithin(share: number): boolean {
    const { counters, settings } = this.#parts
    return (
      counters.messagesQueued < settings.maxQueuedMessagesTotal * share &&
      counters.bytesPaged < settings.maxQueuedDiskTotal * share
    )
  }

  #totals(): LogFields {
    const { bytesQueued, bytesPaged, messagesQueued } = this.#parts.counters
    return {
      queued: this.#held(),
      limit: this.#parts.settings.maxQueuedBytesTotal,
      messagesQueued,
      bytesQueued,
      bytesPaged,
    }
  }

  #held(): number {
    const { counters, keptBytes } = this.#parts
    // What is in flight is kept, too; what many queues share is kept once. The larger of the two views counts.
    // What is on disk only takes no memory to speak of.
    return Math.max(counters.bytesQueued - counters.bytesPaged, keptBytes() - counters.retainedBytes)
  }

  #mayCollect(now: number): boolean {
    return now - this.#collectedAt >= COLLECT_EVERY
  }

  #collect(now: number): number {
    this.#collectedAt = now
    this.#parts.heap.collect()
    this.#live = this.#parts.heap.used()
    return this.#live
  }

  #warn(key: string, fields: LogFields, message: string): void {
    this.#parts.throttled.warn(`memory:${key}`, this.#parts.clock.now(), fields, message)
  }
}
