// The messages one session waits for, in order. Found again by their number, because a drop or a send names the message and
// not its place; a Map keeps the order and forgets from the middle at no cost.

/** How a message goes to one receiver. */
export interface Delivery {
  readonly qos: 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
}

const NONE: readonly number[] = []
const PLAIN: readonly Delivery[] = [1, 2].flatMap((qos) =>
  [false, true].map((retain) => ({ qos: qos as 1 | 2, retain, subscriptionIdentifiers: NONE })),
)

/** The same delivery, shared by all that look alike: a million queue entries are a million references. */
export function sharedDelivery({ qos, retain, subscriptionIdentifiers }: Delivery): Delivery {
  if (subscriptionIdentifiers.length > 0) return { qos, retain, subscriptionIdentifiers }
  return PLAIN[(qos - 1) * 2 + Number(retain)]!
}

export class LiveQueue {
  /** Message → delivery. A second copy of a message that is queued already stands under a negative key. */
  readonly #entries = new Map<number, Delivery>()
  /** Negative key → message, and message → its negative keys, oldest first. */
  readonly #copies = new Map<number, number>()
  readonly #keysOf = new Map<number, number[]>()
  #nextCopy = -1

  push(message: number, delivery: Delivery): void {
    if (!this.#entries.has(message)) {
      this.#entries.set(message, delivery)
      return
    }
    const key = this.#nextCopy--
    this.#entries.set(key, delivery)
    this.#copies.set(key, message)
    const keys = this.#keysOf.get(message)
    if (keys === undefined) this.#keysOf.set(message, [key])
    else keys.push(key)
  }

  /** Takes out the oldest entry of `message`; false if there is none. */
  remove(message: number): boolean {
    const keys = this.#keysOf.get(message)
    if (keys === undefined) return this.#entries.delete(message)
    // The entry under the message's own key may have gone and come again since: then a copy is older, or it is not there.
    const key = keys[0]!
    if (this.#entries.has(message) && !this.#isYounger(message, key)) return this.#entries.delete(message)
    keys.shift()
    if (keys.length === 0) this.#keysOf.delete(message)
    this.#copies.delete(key)
    return this.#entries.delete(key)
  }

  /** Message and delivery, oldest first. */
  *[Symbol.iterator](): Generator<[number, Delivery], void> {
    for (const [key, delivery] of this.#entries) yield [key < 0 ? this.#copies.get(key)! : key, delivery]
  }

  /** Whether `message` was inserted under its own key after `copy` was. */
  #isYounger(message: number, copy: number): boolean {
    for (const key of this.#entries.keys()) {
      if (key === copy) return true
      if (key === message) return false
    }
    return false
  }
}
