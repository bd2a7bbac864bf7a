// What waits for one session as the journal tells it, while it is replayed.

/** A message in a queue or in flight. */
export interface RecoveredDelivery {
  readonly message: number
  readonly qos: 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
}

/** A FIFO whose entries nearly always leave at the front. */
export class RecoveredQueue {
  #entries: RecoveredDelivery[] = []
  #first = 0
  /** Of all messages in it. */
  bytes = 0

  get size(): number {
    return this.#entries.length - this.#first
  }

  push(entry: RecoveredDelivery, size: number): void {
    this.bytes += size
    this.#entries.push(entry)
  }

  /** Takes out the oldest entry of a message of `size` bytes; undefined if there is none. */
  take(message: number, size: number): RecoveredDelivery | undefined {
    for (let at = this.#first; at < this.#entries.length; at++) {
      const entry = this.#entries[at]!
      if (entry.message !== message) continue
      if (at === this.#first) this.#shift()
      else this.#entries.splice(at, 1)
      this.bytes -= size
      return entry
    }
    return undefined
  }

  *[Symbol.iterator](): Generator<RecoveredDelivery, void> {
    for (let at = this.#first; at < this.#entries.length; at++) yield this.#entries[at]!
  }

  #shift(): void {
    this.#first++
    if (this.#first < 1024 || this.#first * 2 < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#first)
    this.#first = 0
  }
}
