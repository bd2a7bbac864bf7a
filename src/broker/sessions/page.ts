// Messages of one queue that are on disk only: for each its number, what its receiver gets, its size and its expiry, 24
// bytes. What has no record of its own (QoS 0) cannot leave memory and stands in its place as it is. Knows no queue.
import type { QoS } from '../../mqtt/qos.ts'
import type { Delivery } from '../message.ts'

/** Number; time of expiry; size × 8 + RETAIN × 4 + QoS. */
const WORDS = 3
/** In place of a number: taken out, or in memory. */
const NONE = 0

/** One message of a page, taken out. */
export interface PagedMessage {
  /** As the store knows it. */
  readonly number: number
  readonly qos: QoS
  /** The RETAIN flag as the receiver sees it. */
  readonly retain: boolean
  /** Bytes of Topic Name and payload. */
  readonly size: number
  /** ms of the broker's clock; Infinity: never. */
  readonly expiresAt: number
  readonly subscriptionIds: readonly number[] | undefined
}

export class Page {
  #words: Float64Array
  /** Places used, those taken out included. */
  #length = 0
  #first = 0
  /** Messages in it now. */
  count = 0
  /** Bytes of all of them. */
  bytes = 0
  /** Those of them that are on disk only. */
  pagedCount = 0
  pagedBytes = 0
  /** No message in it expires before, ms of the broker's clock. */
  soonestExpiry = Number.POSITIVE_INFINITY
  /** Exist only if a message has some. */
  #subscriptionIds: (readonly number[] | undefined)[] | undefined
  #inMemory: (Delivery | undefined)[] | undefined

  /** `capacity`: the most messages that will be added. */
  constructor(capacity: number) {
    this.#words = new Float64Array(capacity * WORDS)
  }

  get isEmpty(): boolean {
    return this.count === 0
  }

  /** Appends a message that is on disk. */
  add(message: PagedMessage): void {
    const { number, qos, retain, size, expiresAt, subscriptionIds } = message
    const at = this.#append(size, expiresAt)
    this.#words[at * WORDS] = number
    this.#words[at * WORDS + 2] = size * 8 + (retain ? 4 : 0) + qos
    this.pagedCount++
    this.pagedBytes += size
    if (subscriptionIds === undefined) return
    this.#subscriptionIds ??= []
    this.#subscriptionIds[at] = subscriptionIds
  }

  /** Appends a message that stays in memory. */
  addInMemory(delivery: Delivery): void {
    const { size, expiresAt } = delivery.message
    const at = this.#append(size, expiresAt)
    this.#inMemory ??= []
    this.#inMemory[at] = delivery
  }

  /** Gives back what `capacity` was too large. */
  seal(): void {
    if (this.#length * WORDS < this.#words.length) this.#words = this.#words.slice(0, this.#length * WORDS)
  }

  /** Numbers of the messages to read, oldest first. */
  numbers(): number[] {
    const numbers: number[] = []
    for (let at = this.#first; at < this.#length; at++) {
      const number = this.#words[at * WORDS]!
      if (number !== NONE) numbers.push(number)
    }
    return numbers
  }

  /** Takes out the oldest message; undefined if there is none. */
  shift(): PagedMessage | Delivery | undefined {
    while (this.#first < this.#length) {
      const taken = this.#takeOut(this.#first++)
      if (taken !== undefined) return taken
    }
    return undefined
  }

  /** Takes out what `wanted` says yes to, told of QoS and time of expiry, and hands it to `taken`. */
  remove(wanted: (qos: QoS, expiresAt: number) => boolean, taken: (message: PagedMessage | Delivery) => void): void {
    let soonest = Number.POSITIVE_INFINITY
    for (let at = this.#first; at < this.#length; at++) {
      const delivery = this.#inMemory?.[at]
      if (delivery === undefined && this.#words[at * WORDS] === NONE) continue
      const expiresAt = this.#words[at * WORDS + 1]!
      const qos = delivery?.qos ?? ((this.#words[at * WORDS + 2]! % 4) as QoS)
      if (wanted(qos, expiresAt)) taken(this.#takeOut(at)!)
      else soonest = Math.min(soonest, expiresAt)
    }
    this.soonestExpiry = soonest
  }

  /** Messages that stayed in memory, oldest first. */
  *inMemory(): Generator<Delivery, void> {
    for (const delivery of this.#inMemory ?? []) if (delivery !== undefined) yield delivery
  }

  #append(size: number, expiresAt: number): number {
    const at = this.#length++
    this.#words[at * WORDS + 1] = expiresAt
    this.count++
    this.bytes += size
    if (expiresAt < this.soonestExpiry) this.soonestExpiry = expiresAt
    return at
  }

  #takeOut(at: number): PagedMessage | Delivery | undefined {
    const delivery = this.#inMemory?.[at]
    if (delivery !== undefined) {
      this.#inMemory![at] = undefined
      this.count--
      this.bytes -= delivery.message.size
      return delivery
    }
    const number = this.#words[at * WORDS]!
    if (number === NONE) return undefined
    this.#words[at * WORDS] = NONE
    const packed = this.#words[at * WORDS + 2]!
    const size = Math.floor(packed / 8)
    this.count--
    this.bytes -= size
    this.pagedCount--
    this.pagedBytes -= size
    return {
      number,
      qos: (packed % 4) as QoS,
      retain: packed % 8 >= 4,
      size,
      expiresAt: this.#words[at * WORDS + 1]!,
      subscriptionIds: this.#subscriptionIds?.[at],
    }
  }
}
