// How long to wait before the next try: exponential, with full jitter. Thousands that lost the same peer at the same moment
// come back spread over the whole interval, not in waves. Pure but for its source of chance.

export interface BackoffOptions {
  /** ms: the most the first wait can be. */
  readonly min: number
  /** ms: the most any wait can be. */
  readonly max: number
}

export class Backoff {
  readonly #max: number
  readonly #min: number
  readonly #random: () => number
  #ceiling: number

  /** `random`: evenly in [0, 1). Throws a RangeError unless 0 < min <= max. */
  constructor({ min, max }: BackoffOptions, random: () => number = Math.random) {
    if (!(min > 0 && min <= max && max < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`backoff wants 0 < min <= max: ${min}, ${max}`)
    }
    this.#min = min
    this.#max = max
    this.#random = random
    this.#ceiling = min
  }

  /** The next wait in ms: anything from 0 to a ceiling that doubles each time, up to `max`. */
  next(): number {
    const wait = this.#random() * this.#ceiling
    this.#ceiling = Math.min(this.#ceiling * 2, this.#max)
    return wait
  }

  /** All is well again: the next wait is a first one. */
  reset(): void {
    this.#ceiling = this.#min
  }
}
