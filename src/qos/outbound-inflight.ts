// Owns the packet identifiers the server gave out to one client, and what stands behind each until it is acknowledged.
// Knows no socket, no clock and no window: how many may be in flight is the session's decision.
// The ids the client gave out live in inbound-qos2.ts; the two spaces never share a map.
//
// One Uint16Array of slots, four words each: [id, state, next id, previous id]; an id's slot is `id & mask`. New ids are
// taken in turn, skipping those whose slot is taken, so a lookup never probes and nothing is allocated per message. The
// links keep the original sending order, which a resume needs and a retry walks; they hold ids, so growing moves no link.

const WORDS = 4
const STATE = 1
const NEXT = 2
const PREVIOUS = 3

const PUBLISHED_QOS_1 = 1
const PUBLISHED_QOS_2 = 2
const RELEASED = 3

const MAX_PACKET_ID = 0xffff
/** 8 slots are 64 bytes, the most V8 keeps inside its heap without an ArrayBuffer; idle sessions stay that small. */
const FIRST_SLOTS = 8
const MAX_SLOTS = 0x10000
/** A larger table is given back with the last message; making it anew for each burst costs more than 8 KiB are worth. */
const KEPT_SLOTS = 1024

/** One slot, always free: every instance starts on it, so that a session which never sends allocates nothing. */
const NO_TABLE = new Uint16Array(WORDS)

/** The client acknowledged a packet identifier that is not in use. */
export const UNKNOWN_ID: unique symbol = Symbol('unknown packet identifier')
/** The identifier is in use, but this acknowledgement does not fit what was sent under it. Nothing was changed. */
export const WRONG_STATE: unique symbol = Symbol('acknowledgement does not fit the state')

/** The message an acknowledgement freed (undefined: none was kept), or why the acknowledgement is refused. */
export type Acknowledged<M> = M | undefined | typeof UNKNOWN_ID | typeof WRONG_STATE

/** `published`: PUBLISH sent, waiting for PUBACK or PUBREC. `released`: PUBREC came, waiting for PUBCOMP. */
export type InflightState = 'published' | 'released'

export interface Unacknowledged<M> {
  packetId: number
  qos: 1 | 2
  state: InflightState
  /** Always undefined once released: only PUBREL is sent again. */
  message: M | undefined
}

export class OutboundInflight<M> {
  #table = NO_TABLE
  #mask = 0
  #count = 0
  #last = 0
  #oldest = 0
  #newest = 0
  #messages: (M | undefined)[] | undefined = undefined
  #sentAt: Float64Array | undefined = undefined

  /** How many identifiers are in use. */
  get count(): number {
    return this.#count
  }

  /** The identifier sent longest ago, 0 if none. With `after` this walks the window without allocating. */
  get oldest(): number {
    return this.#oldest
  }

  /** The identifier sent next after `packetId`, 0 if that was the newest or is not in use. */
  after(packetId: number): number {
    const at = this.#find(packetId)
    return at < 0 ? 0 : this.#table[at + NEXT]
  }

  /**
   * Takes an identifier that is not in use [MQTT-2.3.1-4] and returns it, 1 to 65535; 0 if all 65535 are in use.
   * `message` is kept until it is acknowledged; pass undefined if it can never be sent again. `now` (ms) is kept only
   * for those who retry.
   */
  take(qos: 1 | 2, message: M | undefined, now?: number): number {
    // At most half of the slots are taken, so the next free one is a step away.
    if ((this.#count + 1) * 2 > this.#mask + 1) {
      if (this.#count === MAX_PACKET_ID) return 0
      this.#grow()
    }
    const table = this.#table
    const mask = this.#mask
    let id = this.#last
    do {
      id = id === MAX_PACKET_ID ? 1 : id + 1
    } while (table[(id & mask) * WORDS] !== 0)
    this.#last = id
    this.#append(id, qos === 1 ? PUBLISHED_QOS_1 : PUBLISHED_QOS_2)
    if (message !== undefined) this.#keep(id & mask, message)
    if (now !== undefined) this.#stamp(id & mask, now)
    return id
  }

  has(packetId: number): boolean {
    return this.#find(packetId) >= 0
  }

  state(packetId: number): InflightState | undefined {
    const at = this.#find(packetId)
    if (at < 0) return undefined
    return this.#table[at + STATE] === RELEASED ? 'released' : 'published'
  }

  /** The QoS it was sent with; undefined if the identifier is not in use. */
  qos(packetId: number): 1 | 2 | undefined {
    const at = this.#find(packetId)
    if (at < 0) return undefined
    return this.#table[at + STATE] === PUBLISHED_QOS_1 ? 1 : 2
  }

  /** The message kept under an identifier. */
  message(packetId: number): M | undefined {
    return this.#find(packetId) < 0 ? undefined : this.#messages?.[packetId & this.#mask]
  }

  /** PUBACK: frees the identifier of a QoS 1 message [MQTT-4.3.2-1]. */
  puback(packetId: number): Acknowledged<M> {
    const at = this.#find(packetId)
    if (at < 0) return UNKNOWN_ID
    if (this.#table[at + STATE] !== PUBLISHED_QOS_1) return WRONG_STATE
    return this.#free(at, packetId)
  }

  /**
   * PUBREC: hands the message over, keeps the identifier and its place; the caller sends PUBREL [MQTT-4.3.3-1]. A second
   * PUBREC for a released identifier is no fault: it returns undefined and PUBREL is due again. A `reasonCode` of 0x80
   * or more (MQTT 5) frees the identifier and no PUBREL follows.
   */
  pubrec(packetId: number, reasonCode = 0): Acknowledged<M> {
    const at = this.#find(packetId)
    if (at < 0) return UNKNOWN_ID
    if (this.#table[at + STATE] === PUBLISHED_QOS_1) return WRONG_STATE
    if (reasonCode >= 0x80) return this.#free(at, packetId)
    this.#table[at + STATE] = RELEASED
    return this.#handOver(packetId & this.#mask)
  }

  /** PUBCOMP: frees the identifier of a released QoS 2 message. The result is never a message: PUBREC handed it over. */
  pubcomp(packetId: number): Acknowledged<M> {
    const at = this.#find(packetId)
    if (at < 0) return UNKNOWN_ID
    if (this.#table[at + STATE] !== RELEASED) return WRONG_STATE
    return this.#free(at, packetId)
  }

  /**
   * Everything to send again on resume, in the original order [MQTT-4.4.0-1, MQTT-4.6.0-1]. The entry just yielded may be
   * acknowledged before going on; the ones behind it may not.
   */
  *unacknowledged(): Generator<Unacknowledged<M>, void> {
    let packetId = this.#oldest
    while (packetId !== 0) {
      const at = (packetId & this.#mask) * WORDS
      const following = this.#table[at + NEXT]
      const word = this.#table[at + STATE]
      yield {
        packetId,
        qos: word === PUBLISHED_QOS_1 ? 1 : 2,
        state: word === RELEASED ? 'released' : 'published',
        message: this.#messages?.[packetId & this.#mask],
      }
      packetId = following
    }
  }

  /**
   * Puts back what a journal remembers; call in the original order. False if the identifier is out of range or already in
   * use. New identifiers go on after the last one restored.
   */
  restore(packetId: number, qos: 1 | 2, state: InflightState, message: M | undefined): boolean {
    if (!(packetId >= 1 && packetId <= MAX_PACKET_ID) || this.has(packetId)) return false
    // The ids of one window differ in the low bits of the table they were taken from, so this stops at that size.
    while ((this.#count + 1) * 2 > this.#mask + 1 || this.#table[(packetId & this.#mask) * WORDS] !== 0) {
      if (this.#mask + 1 === MAX_SLOTS) break
      this.#grow()
    }
    this.#append(packetId, qos === 1 ? PUBLISHED_QOS_1 : state === 'released' ? RELEASED : PUBLISHED_QOS_2)
    if (message !== undefined && state === 'published') this.#keep(packetId & this.#mask, message)
    this.#last = packetId
    return true
  }

  /** When it was last sent, in ms; -Infinity if no time was given. */
  sentAt(packetId: number): number {
    return this.#find(packetId) < 0 ? -Infinity : (this.#sentAt?.[packetId & this.#mask] ?? -Infinity)
  }

  /** Notes that the PUBLISH or PUBREL of an identifier in use was sent again; its place in the order stays. */
  sentAgain(packetId: number, now: number): void {
    if (this.has(packetId)) this.#stamp(packetId & this.#mask, now)
  }

  /** Forgets everything: the session ended. Identifiers start after the last one taken, as before. */
  clear(): void {
    this.#table = NO_TABLE
    this.#mask = 0
    this.#count = 0
    this.#oldest = 0
    this.#newest = 0
    this.#messages = undefined
    this.#sentAt = undefined
  }

  /** First word of the identifier's slot, or -1. A free slot holds 0, so 0 must not find one. */
  #find(packetId: number): number {
    const at = (packetId & this.#mask) * WORDS
    return packetId !== 0 && this.#table[at] === packetId ? at : -1
  }

  #append(packetId: number, state: number): void {
    const table = this.#table
    const at = (packetId & this.#mask) * WORDS
    table[at] = packetId
    table[at + STATE] = state
    table[at + NEXT] = 0
    table[at + PREVIOUS] = this.#newest
    if (this.#newest === 0) this.#oldest = packetId
    else table[(this.#newest & this.#mask) * WORDS + NEXT] = packetId
    this.#newest = packetId
    this.#count++
  }

  #free(at: number, packetId: number): M | undefined {
    const table = this.#table
    const next = table[at + NEXT]
    const previous = table[at + PREVIOUS]
    if (previous === 0) this.#oldest = next
    else table[(previous & this.#mask) * WORDS + NEXT] = next
    if (next === 0) this.#newest = previous
    else table[(next & this.#mask) * WORDS + PREVIOUS] = previous
    table[at] = 0
    const message = this.#handOver(packetId & this.#mask)
    if (--this.#count === 0 && this.#mask >= KEPT_SLOTS) this.clear()
    return message
  }

  #handOver(slot: number): M | undefined {
    const messages = this.#messages
    if (messages === undefined) return undefined
    const message = messages[slot]
    messages[slot] = undefined
    return message
  }

  #keep(slot: number, message: M): void {
    this.#messages ??= new Array<M | undefined>(this.#mask + 1).fill(undefined)
    this.#messages[slot] = message
  }

  #stamp(slot: number, now: number): void {
    this.#sentAt ??= new Float64Array(this.#mask + 1).fill(-Infinity)
    this.#sentAt[slot] = now
  }

  /** Doubles the table, unless it has a slot for every identifier. Two ids that differ in n low bits differ in n + 1. */
  #grow(): void {
    const size = this.#mask + 1
    if (size === MAX_SLOTS) return
    const grown = size === 1 ? FIRST_SLOTS : size * 2
    const table = new Uint16Array(grown * WORDS)
    const messages = this.#messages && new Array<M | undefined>(grown).fill(undefined)
    const sentAt = this.#sentAt && new Float64Array(grown).fill(-Infinity)
    for (let slot = 0; slot < size; slot++) {
      const id = this.#table[slot * WORDS]
      if (id === 0) continue
      const to = id & (grown - 1)
      for (let word = 0; word < WORDS; word++) table[to * WORDS + word] = this.#table[slot * WORDS + word]
      if (messages) messages[to] = this.#messages?.[slot]
      if (sentAt) sentAt[to] = this.#sentAt?.[slot] ?? -Infinity
    }
    this.#table = table
    this.#mask = grown - 1
    this.#messages = messages
    this.#sentAt = sentAt
  }
}
