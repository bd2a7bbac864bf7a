// Owns every deadline of the broker: keep alive, connect, linger, session expiry, will delay, message expiry, retry.
// Hierarchical: 6 wheels of 32 slots, each slot of a wheel as long as the whole wheel below. Entries link themselves into
// the slots (no allocation per set), a bit per slot says where to look (an idle hour costs one step).
//
// Lazy twice over: a deadline put off stays where it is and moves on when its old time comes, and `onDue` may answer with
// a later time after a look at what really happened. So a packet that proves its client alive costs nothing here.
// Never early; late by at most the resolution and the caller's own delay.

const BITS = 5
const SLOTS = 1 << BITS
const LEVELS = 6
/** Ticks the wheels span. What lies further is put at the far end and moves on from there. */
const SPAN = 2 ** (BITS * LEVELS)

/** What a deadline's owner implements: three fields, written by the wheel alone. Start: undefined, undefined, 0. */
export interface WheelEntry {
  wheelNext: WheelEntry | undefined
  wheelPrevious: WheelEntry | undefined
  /** The deadline last set, ms. */
  dueAt: number
}

/** Called for an entry whose deadline has passed. A number: call again then (ms). Undefined: it is done. */
export type OnDue<T> = (entry: T, now: number) => number | undefined

function emptyList(): WheelEntry {
  const head: WheelEntry = { wheelNext: undefined, wheelPrevious: undefined, dueAt: 0 }
  head.wheelNext = head
  head.wheelPrevious = head
  return head
}

function link(head: WheelEntry, entry: WheelEntry): void {
  const last = head.wheelPrevious!
  entry.wheelPrevious = last
  entry.wheelNext = head
  last.wheelNext = entry
  head.wheelPrevious = entry
}

function unlink(entry: WheelEntry): void {
  entry.wheelPrevious!.wheelNext = entry.wheelNext
  entry.wheelNext!.wheelPrevious = entry.wheelPrevious
  entry.wheelNext = undefined
  entry.wheelPrevious = undefined
}

export class DeadlineWheel<T extends WheelEntry> {
  /** Milliseconds a tick. */
  readonly resolution: number
  readonly #slots: WheelEntry[] = Array.from({ length: LEVELS * SLOTS }, emptyList)
  /** A bit for each slot that may hold entries; cancelling leaves it set, whoever looks clears it. */
  readonly #occupied = new Int32Array(LEVELS)
  /** Taken out of the wheel, but over the limit of the last `advance`. */
  readonly #overdue = emptyList()
  /** The last tick carried out. */
  #tick: number
  #size = 0

  /** `now`: ms, at or before every later time. `resolution`: ms. */
  constructor(now: number, resolution = 50) {
    if (!(resolution > 0)) throw new RangeError(`resolution must be above 0 ms: ${resolution}`)
    this.resolution = resolution
    this.#tick = Math.floor(now / resolution)
  }

  /** How many deadlines are set. */
  get size(): number {
    return this.#size
  }

  has(entry: T): boolean {
    return entry.wheelNext !== undefined
  }

  /** Sets the entry's deadline to `at` (ms; Infinity: never), or moves it there. O(1); putting it off touches one field. */
  set(entry: T, at: number): void {
    if (Number.isNaN(at)) throw new RangeError('a deadline must be a time')
    if (entry.wheelNext !== undefined) {
      const earlier = at < entry.dueAt
      entry.dueAt = at
      if (!earlier) return
      unlink(entry)
    } else {
      entry.dueAt = at
      this.#size++
    }
    this.#place(entry)
  }

  /** Takes the deadline back, if one is set. O(1). */
  cancel(entry: T): void {
    if (entry.wheelNext === undefined) return
    unlink(entry)
    this.#size--
  }

  /**
   * Calls `onDue` for the entries whose deadline is at or before `now` (ms), at most `limit` of them, roughly in order of
   * time; returns how many. What the limit left over comes first next time. `onDue` may set and cancel any entry.
   */
  advance(now: number, onDue: OnDue<T>, limit = Infinity): number {
    const target = Math.floor(now / this.resolution)
    let told = 0
    for (;;) {
      while (this.#overdue.wheelNext !== this.#overdue) {
        const entry = this.#overdue.wheelNext as T
        if (entry.dueAt > now) {
          unlink(entry)
          this.#place(entry)
          continue
        }
        if (told === limit) return told
        told++
        unlink(entry)
        this.#size--
        const later = onDue(entry, now)
        if (later !== undefined) this.set(entry, later)
      }
      const tick = this.#nextTick()
      if (tick > target) break
      this.#tick = tick
      this.#turn(tick)
    }
    if (target > this.#tick) this.#tick = target
    return told
  }

  /**
   * When to call `advance` next, in ms: `now` if something is left over, undefined if no deadline is set. May be earlier
   * than the first deadline (a far one moves in closer on the way), never later than the resolution after it.
   */
  next(now: number): number | undefined {
    if (this.#overdue.wheelNext !== this.#overdue) return now
    const tick = this.#nextTick()
    return tick === Infinity ? undefined : tick * this.resolution
  }

  /** Links the entry where its deadline belongs: the lowest wheel whose reach from the current tick covers it. */
  #place(entry: WheelEntry): void {
    let tick = Math.ceil(entry.dueAt / this.resolution)
    let distance = tick - this.#tick
    if (distance < 1) {
      distance = 1
      tick = this.#tick + 1
    } else if (distance > SPAN) {
      distance = SPAN
      tick = this.#tick + SPAN
    }
    let level = 0
    for (let reach = SLOTS; distance > reach; reach *= SLOTS) level++
    const slot = (tick >>> (level * BITS)) & (SLOTS - 1)
    this.#occupied[level] |= 1 << slot
    link(this.#slots[level * SLOTS + slot], entry)
  }

  /** The next tick at which a slot comes up: one of the lowest wheel to tell of, or one further up to move down. */
  #nextTick(): number {
    let earliest = Infinity
    for (let level = 0; level < LEVELS; level++) {
      while (this.#occupied[level] !== 0) {
        const length = 2 ** (level * BITS)
        const round = Math.floor(this.#tick / length)
        // Rotated so that bit 0 is the slot after the current one; the current one, seen from here, is a whole round away.
        const shift = (round + 1) & (SLOTS - 1)
        const bits = this.#occupied[level]
        const rotated = shift === 0 ? bits : (bits >>> shift) | (bits << (SLOTS - shift))
        const ahead = 31 - Math.clz32(rotated & -rotated)
        const slot = (shift + ahead) & (SLOTS - 1)
        const head = this.#slots[level * SLOTS + slot]
        if (head.wheelNext === head) {
          this.#occupied[level] &= ~(1 << slot)
          continue
        }
        earliest = Math.min(earliest, (round + 1 + ahead) * length)
        break
      }
    }
    return earliest
  }

  /** Empties the slots that begin at `tick`, the longest first: what is due goes to the overdue list, the rest moves down. */
  #turn(tick: number): void {
    for (let level = LEVELS - 1; level >= 0; level--) {
      if (tick % 2 ** (level * BITS) !== 0) continue
      const slot = (tick >>> (level * BITS)) & (SLOTS - 1)
      if ((this.#occupied[level] & (1 << slot)) === 0) continue
      this.#occupied[level] &= ~(1 << slot)
      this.#empty(this.#slots[level * SLOTS + slot], tick)
    }
  }

  #empty(head: WheelEntry, tick: number): void {
    let entry = head.wheelNext!
    head.wheelNext = head
    head.wheelPrevious = head
    while (entry !== head) {
      const following = entry.wheelNext!
      if (Math.ceil(entry.dueAt / this.resolution) <= tick) link(this.#overdue, entry)
      else this.#place(entry)
      entry = following
    }
  }
}
