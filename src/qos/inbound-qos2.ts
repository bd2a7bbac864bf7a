// Owns the packet identifiers one client gave out for QoS 2 messages: received, routed, not yet released by PUBREL.
// They say one thing only, "this message was taken", so that a second PUBLISH is acknowledged and not routed again.
// A sorted Uint16Array while there are few; a bitmap of all 65536 once that is smaller work. Nothing until the first.

const FIRST = 8
/** Above this many the bitmap (8 KiB) takes over: inserting into the middle of a longer array costs more than it saves. */
const MOST_SORTED = 1024
const BITMAP_WORDS = 0x10000 / 32

const NONE = new Uint16Array(0)

export class InboundQos2 {
  readonly limit: number
  #count = 0
  #sorted = NONE
  #bitmap: Uint32Array | undefined = undefined

  /** `limit`: how many the server takes at once (the Receive Maximum it announced), 1 to 65535. */
  constructor(limit = 0xffff) {
    this.limit = limit
  }

  get count(): number {
    return this.#count
  }

  /** Whether a further identifier exceeds the limit. A known one never does: test `has` before refusing. */
  get full(): boolean {
    return this.#count >= this.limit
  }

  has(packetId: number): boolean {
    if (this.#bitmap) return (this.#bitmap[packetId >>> 5] & (1 << (packetId & 31))) !== 0
    const at = this.#position(packetId)
    return at < this.#count && this.#sorted[at] === packetId
  }

  /**
   * Notes an identifier, 1 to 65535. False if it is known: the PUBLISH is a repetition, to be acknowledged and not routed
   * [MQTT-4.3.3-2] (MQTT 5: [MQTT-4.3.3-10]). Throws RangeError above the limit: ask `full` first.
   */
  add(packetId: number): boolean {
    if (this.#bitmap) return !this.has(packetId) && this.#set(this.#bitmap, packetId)
    const at = this.#position(packetId)
    if (at < this.#count && this.#sorted[at] === packetId) return false
    this.#refuseAboveLimit()
    if (this.#count === MOST_SORTED) return this.#set(this.#spread(), packetId)
    if (this.#count === this.#sorted.length) this.#grow()
    if (at < this.#count) this.#sorted.copyWithin(at + 1, at, this.#count)
    this.#sorted[at] = packetId
    this.#count++
    return true
  }

  /** PUBREL: forgets the identifier. False if it was not known; PUBCOMP is the answer all the same. */
  release(packetId: number): boolean {
    if (!this.has(packetId)) return false
    if (this.#bitmap) this.#bitmap[packetId >>> 5] &= ~(1 << (packetId & 31))
    else this.#sorted.copyWithin(this.#position(packetId), this.#position(packetId) + 1, this.#count)
    if (--this.#count === 0) this.clear()
    return true
  }

  /** Forgets all. */
  clear(): void {
    this.#count = 0
    this.#bitmap = undefined
    if (this.#sorted.length > FIRST) this.#sorted = NONE
  }

  /** All identifiers, ascending. */
  *[Symbol.iterator](): Generator<number, void> {
    if (this.#bitmap === undefined) {
      yield* this.#sorted.slice(0, this.#count)
      return
    }
    for (let packetId = 1; packetId <= 0xffff; packetId++) if (this.has(packetId)) yield packetId
  }

  /** Where the identifier stands among the sorted, or would stand. */
  #position(packetId: number): number {
    const sorted = this.#sorted
    let high = this.#count
    // Clients count upwards: the usual place of a new identifier is the end.
    if (high === 0 || sorted[high - 1] < packetId) return high
    let low = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      if (sorted[middle] < packetId) low = middle + 1
      else high = middle
    }
    return low
  }

  #set(bitmap: Uint32Array, packetId: number): true {
    this.#refuseAboveLimit()
    bitmap[packetId >>> 5] |= 1 << (packetId & 31)
    this.#count++
    return true
  }

  #refuseAboveLimit(): void {
    if (this.#count >= this.limit) throw new RangeError(`more than ${this.limit} inbound QoS 2 packet identifiers`)
  }

  #spread(): Uint32Array {
    const bitmap = new Uint32Array(BITMAP_WORDS)
    for (let at = 0; at < this.#count; at++) bitmap[this.#sorted[at] >>> 5] |= 1 << (this.#sorted[at] & 31)
    this.#bitmap = bitmap
    this.#sorted = NONE
    return bitmap
  }

  #grow(): void {
    const grown = new Uint16Array(this.#sorted.length === 0 ? FIRST : this.#sorted.length * 2)
    grown.set(this.#sorted)
    this.#sorted = grown
  }
}
