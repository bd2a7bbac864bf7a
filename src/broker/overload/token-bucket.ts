// A token bucket that may go into debt: what has arrived is taken anyway, and the debt says how long to read nothing. So
// a packet larger than a second's worth passes, too, and is paid for afterwards. Time comes in as `now` (ms).

export class TokenBucket {
  readonly #perMs: number
  readonly #most: number
  #tokens: number
  #at: number

  /** Full at first: one second's worth, and at least one token. */
  constructor(perSecond: number, now: number) {
    this.#perMs = perSecond / 1000
    this.#most = Math.max(1, perSecond)
    this.#tokens = this.#most
    this.#at = now
  }

  /** Takes `amount`, into debt if need be; returns the milliseconds until the debt is paid, 0 if there is none. */
  take(amount: number, now: number): number {
    this.#refill(now)
    this.#tokens -= amount
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#perMs
  }

  /** The milliseconds until `take(1)` would leave no debt. */
  waitForOne(now: number): number {
    this.#refill(now)
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / this.#perMs
  }

  #refill(now: number): void {
    if (now > this.#at) this.#tokens = Math.min(this.#most, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = Math.max(this.#at, now)
  }
}
