// Owns the messages one session waits to send: a FIFO bounded in number and in bytes. Whoever shifts, removes or drops a
// message owns it again. One ring of pairs (message, bytes), made with the first message, given back with the last.

const FIRST = 8

export interface QueueLimits {
  /** Messages. */
  readonly count: number
  /** The sum of the bytes told to `push`. */
  readonly bytes: number
}

export class MessageQueue<M> {
  readonly #limits: QueueLimits
  /** Message and its bytes alternate, so that one array serves both; its capacity is a power of two. */
  #ring: (M | number | undefined)[] | undefined = undefined
  #capacity = 0
  #first = 0
  #size = 0
  #bytes = 0

  /** `limits` is kept, not copied: all sessions share one. */
  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Appends a message. False: the queue is full and keeps what it has ("drop newest"); the caller still owns it. */
  push(message: M, bytes: number): boolean {
    if (this.#size >= this.#limits.count || this.#bytes + bytes > this.#limits.bytes) return false
    if (this.#size === this.#capacity) this.#grow()
    const at = ((this.#first + this.#size) & (this.#capacity - 1)) * 2
    const ring = this.#ring!
    ring[at] = message
    ring[at + 1] = bytes
    this.#size++
    this.#bytes += bytes
    return true
  }

  /**
   * Whether a message of so many bytes fits. With `dropped` the oldest ones are taken out for it and handed over, unless it
   * would not even fit an empty queue.
   */
  makeRoom(bytes: number, dropped: ((victim: M) => void) | undefined): boolean {
    const { count, bytes: most } = this.#limits
    if (dropped !== undefined && count > 0 && bytes <= most) {
      while (this.#size >= count || this.#bytes + bytes > most) dropped(this.shift()!)
    }
    return this.#size < count && this.#bytes + bytes <= most
  }

  /**
   * Appends a message, first handing the oldest ones to `dropped` until it fits ("drop oldest"). False, with nothing
   * dropped, if it could not fit an empty queue.
   */
  pushDroppingOldest(message: M, bytes: number, dropped: (victim: M) => void): boolean {
    return this.makeRoom(bytes, dropped) && this.push(message, bytes)
  }

  /** The oldest message, which stays. */
  peek(): M | undefined {
    return this.#size === 0 ? undefined : (this.#ring![this.#first * 2] as M)
  }

  /** Takes the oldest message. */
  shift(): M | undefined {
    if (this.#size === 0) return undefined
    const ring = this.#ring!
    const at = this.#first * 2
    const message = ring[at] as M
    ring[at] = undefined
    this.#first = (this.#first + 1) & (this.#capacity - 1)
    this.#bytes -= ring[at + 1] as number
    if (--this.#size === 0) this.#shrink()
    return message
  }

  /** Takes out every message the predicate is true for (it must not throw, nor touch the queue); returns how many. */
  remove(predicate: (message: M) => boolean): number {
    const ring = this.#ring
    if (ring === undefined) return 0
    const mask = this.#capacity - 1
    const before = this.#size
    let kept = 0
    for (let place = 0; place < before; place++) {
      const from = ((this.#first + place) & mask) * 2
      const message = ring[from] as M
      const bytes = ring[from + 1] as number
      ring[from] = undefined
      if (predicate(message)) {
        this.#bytes -= bytes
        continue
      }
      const to = ((this.#first + kept++) & mask) * 2
      ring[to] = message
      ring[to + 1] = bytes
    }
    this.#size = kept
    if (kept === 0) this.#shrink()
    return before - kept
  }

  /** Oldest first; the queue must not change meanwhile. */
  *[Symbol.iterator](): Generator<M, void> {
    for (let place = 0; place < this.#size; place++) {
      yield this.#ring![((this.#first + place) & (this.#capacity - 1)) * 2] as M
    }
  }

  #grow(): void {
    const capacity = this.#capacity === 0 ? FIRST : this.#capacity * 2
    const ring = new Array<M | number | undefined>(capacity * 2).fill(undefined)
    for (let place = 0; place < this.#size; place++) {
      const from = ((this.#first + place) & (this.#capacity - 1)) * 2
      ring[place * 2] = this.#ring![from]
      ring[place * 2 + 1] = this.#ring![from + 1]
    }
    this.#ring = ring
    this.#capacity = capacity
    this.#first = 0
  }

  #shrink(): void {
    if (this.#capacity === FIRST) return
    this.#ring = undefined
    this.#capacity = 0
  }
}
