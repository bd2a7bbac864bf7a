// Notices that something comes in a flood: so many within a second. Only for the log; limits are elsewhere. Owns no timer.

const SECOND = 1000

export class FloodWatch {
  readonly #most: number
  #since = Number.NEGATIVE_INFINITY
  #count = 0

  /** `most` within a second are a flood. */
  constructor(most: number) {
    this.#most = most
  }

  /** One more, at `now` (ms). True for the one that makes a flood of them: once a second at most. */
  counts(now: number): boolean {
    if (now - this.#since >= SECOND) {
      this.#since = now
      this.#count = 0
    }
    return ++this.#count === this.#most
  }
}
