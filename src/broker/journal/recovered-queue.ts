// What waits for one session as the journal tells it, while it is replayed. Entries nearly always leave at the front; those that
// do not (they expired, say) are found by their number, which ascends but for what came back to a shared group.

/** A message in a queue or in flight. */
export interface RecoveredDelivery {
  readonly message: number
  readonly qos: 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
}

export class RecoveredQueue {
  /** Undefined: taken out. */
  #entries: (RecoveredDelivery | undefined)[] = []
  /** The number of each entry, also of those taken out. */
  #numbers: number[] = []
  #isAscending = true
  #first = 0
  size = 0
  /** Of all messages in it. */
  bytes = 0

  push(entry: RecoveredDelivery, size: number): void {
    if (entry.message < (this.#numbers.at(-1) ?? 0)) this.#isAscending = false
    this.bytes += size
    this.size++
    this.#entries.push(entry)
    this.#numbers.push(entry.message)
  }

  /** Takes out the oldest entry of a message of `size` bytes; undefined if there is none. */
  take(message: number, size: number): RecoveredDelivery | undefined {
    let at = this.#isAscending ? this.#placeOf(message) : this.#first
    while (at < this.#entries.length && (this.#numbers[at] !== message || this.#entries[at] === undefined)) {
      if (this.#isAscending && this.#numbers[at] !== message) return undefined
      at++
    }
    const entry = this.#entries[at]
    if (entry === undefined) return undefined
    this.#entries[at] = undefined
    this.bytes -= size
    this.size--
    this.#trim()
    return entry
  }

  *[Symbol.iterator](): Generator<RecoveredDelivery, void> {
    for (let at = this.#first; at < this.#entries.length; at++) {
      const entry = this.#entries[at]
      if (entry !== undefined) yield entry
    }
  }

  /** Where the first entry stands whose number is not below `message`. */
  #placeOf(message: number): number {
    if (this.#numbers[this.#first] === message) return this.#first
    let low = this.#first
    let high = this.#numbers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#numbers[middle]! < message) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Goes past what was taken out at the front, and gives it back now and then. */
  #trim(): void {
    while (this.#first < this.#entries.length && this.#entries[this.#first] === undefined) this.#first++
    if (this.#first < 1024 || this.#first * 2 < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#first)
    this.#numbers = this.#numbers.slice(this.#first)
    this.#first = 0
    if (this.size === 0) this.#isAscending = true
  }
}
