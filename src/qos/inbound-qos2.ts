// Owns the packet identifiers one client gave out for QoS 2 messages: received, routed, not yet released by PUBREL.
// They say one thing only, "this message was taken", so that a second PUBLISH is acknowledged and not routed again.
// A sorted Uint16Array while there are few; a bitmap of all 65536 once that is smaller work. Nothing until the first.

const FIRST = 8
/** A longer array is given back when the last identifier is released. */
const KEPT = 64
/** Above this many the bitmap (8 KiB) takes over: inserting into the middle of a longer array costs more than it saves. */
const MOST_SORTED = 1024
const BITMAP_WORDS = 0x10000 / 32

const NONE = new Uint16Array(0)

export class InboundQos2 {
  readonly limit: number
  #count = 0
  /** How many of them may be older than the connection there is. */
  #inherited = 0
  /** Sorted from `#first` on: clients count upwards and release the oldest first, so both ends move and the middle rarely. */
  #sorted = NONE
  #first = 0
  #bitmap: Uint32Array | undefined = undefined

  /** `limit`: how many the server takes at once (the Receive Maximum it announced), 1 to 65535. */
  constructor(limit = 0xffff) {
    this.limit = limit
  }

  get count(): number {
    return this.#count
  }

  /**
   * Identifiers received since `resume`: what counts against the send quota. Which of them were released since and which
   * older ones is not remembered, so it is the smallest number that is possible.
   */
  get countSinceResume(): number {
    return this.#count - this.#inherited
  }

  /**
   * A new connection takes the session over. Send quotas begin anew with it (MQTT 5, 4.9): what an earlier one has left,
   * and its client may have forgotten and never release, takes no place.
   */
  resume(): void {
    this.#inherited = this.#count
  }

  /** Whether a further identifier exceeds the limit. A known one never does: test `has` before refusing. */
  get full(): boolean {
    return this.#count >= this.limit
  }

  has(packetId: number): boolean {
    if (this.#bitmap) return (this.#bitmap[packetId >>> 5] & (1 << (packetId & 31))) !== 0
    return this.#isAt(this.#position(packetId), packetId)
  }

  /**
   * Notes an identifier, 1 to 65535. False if it is known: the PUBLISH is a repetition, to be acknowledged and not routed
   * [MQTT-4.3.3-2] (MQTT 5: [MQTT-4.3.3-10]). Throws RangeError above the limit: ask `full` first.
   */
  add(packetId: number): boolean {
    const at = this.#bitmap ? 0 : this.#position(packetId)
    if (this.#bitmap ? this.has(packetId) : this.#isAt(at, packetId)) return false
    if (this.full) throw new RangeError(`more than ${this.limit} inbound QoS 2 packet identifiers`)
    if (this.#bitmap === undefined && this.#count === MOST_SORTED) this.#spread()
    if (this.#bitmap) this.#bitmap[packetId >>> 5] |= 1 << (packetId & 31)
    else this.#insert(at, packetId)
    this.#count++
    return true
  }

  /** PUBREL: forgets the identifier. False if it was not known; PUBCOMP is the answer all the same. */
  release(packetId: number): boolean {
    if (this.#bitmap) {
      if (!this.has(packetId)) return false
      this.#bitmap[packetId >>> 5] &= ~(1 << (packetId & 31))
    } else {
      const at = this.#position(packetId)
      if (!this.#isAt(at, packetId)) return false
      if (at === this.#first) this.#first++
      else this.#sorted.copyWithin(at, at + 1, this.#first + this.#count)
    }
    if (--this.#count === 0) this.clear()
    else if (this.#inherited > this.#count) this.#inherited = this.#count
    return true
  }

  /** Forgets all. */
  clear(): void {
    this.#count = 0
    this.#inherited = 0
    this.#first = 0
    this.#bitmap = undefined
    if (this.#sorted.length > KEPT) this.#sorted = NONE
  }

  /** All identifiers, ascending; the set must not change meanwhile. */
  *[Symbol.iterator](): Generator<number, void> {
    if (this.#bitmap === undefined) {
      for (let at = 0; at < this.#count; at++) yield this.#sorted[this.#first + at]
      return
    }
    for (let packetId = 1; packetId <= 0xffff; packetId++) if (this.has(packetId)) yield packetId
  }

  #isAt(at: number, packetId: number): boolean {
    return at < this.#first + this.#count && this.#sorted[at] === packetId
  }

  /** Where the identifier stands among the sorted, or would stand. */
  #position(packetId: number): number {
    const sorted = this.#sorted
    let low = this.#first
    let high = low + this.#count
    if (low === high || sorted[high - 1] < packetId) return high
    if (sorted[low] >= packetId) return low
    while (low < high) {
      const middle = (low + high) >>> 1
      if (sorted[middle] < packetId) low = middle + 1
      else high = middle
    }
    return low
  }

  #insert(position: number, packetId: number): void {
    let at = position
    if (at === this.#first && this.#first > 0) {
      this.#sorted[--this.#first] = packetId
      return
    }
    if (this.#first + this.#count === this.#sorted.length) {
      at -= this.#first
      this.#makeRoom()
    }
    const end = this.#first + this.#count
    if (at < end) this.#sorted.copyWithin(at + 1, at, end)
    this.#sorted[at] = packetId
  }

  /** Moves all to the front, of a larger array unless half of this one is free. */
  #makeRoom(): void {
    const length = this.#sorted.length
    if (length > 0 && this.#count * 2 <= length) this.#sorted.copyWithin(0, this.#first, this.#first + this.#count)
    else {
      const grown = new Uint16Array(length === 0 ? FIRST : length * 2)
      grown.set(this.#sorted.subarray(this.#first, this.#first + this.#count))
      this.#sorted = grown
    }
    this.#first = 0
  }

  #spread(): void {
    const bitmap = new Uint32Array(BITMAP_WORDS)
    for (const packetId of this) bitmap[packetId >>> 5] |= 1 << (packetId & 31)
    this.#bitmap = bitmap
    this.#sorted = NONE
  }
}
