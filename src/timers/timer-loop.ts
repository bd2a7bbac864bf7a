// Drives one DeadlineWheel from one timer of Node's loop, armed for the next time anything can be due: an idle broker
// sleeps. Owns the timer; the wheel's entries belong to their owners. After `close` nothing is called any more.

import type { Clock } from './clock.ts'
import { DeadlineWheel, type OnDue, type WheelEntry } from './deadline-wheel.ts'

/** Node turns longer delays into 1 ms. Waking once in 12 days for nothing is cheaper than knowing that. */
const LONGEST_DELAY = 2 ** 30

export interface TimerLoopOptions {
  /** Milliseconds; default 50. */
  resolution?: number
  /** Entries told of before the loop has its turn again; default 1,000. */
  limit?: number
}

export class TimerLoop<T extends WheelEntry> {
  readonly #clock: Clock
  readonly #wheel: DeadlineWheel<T>
  readonly #onDue: OnDue<T>
  readonly #limit: number
  #timer: NodeJS.Timeout | undefined = undefined
  /** When the timer rings, ms; Infinity without a timer. */
  #armedFor = Infinity
  #keepsAlive = true
  #state: 'waiting' | 'telling' | 'closed' = 'waiting'

  /** `onDue` is called for each entry that is due; what it throws reaches the process as an uncaught exception. */
  constructor(clock: Clock, onDue: OnDue<T>, options: TimerLoopOptions = {}) {
    this.#clock = clock
    this.#wheel = new DeadlineWheel(clock.now(), options.resolution)
    this.#onDue = onDue
    this.#limit = options.limit ?? 1000
  }

  /** How many deadlines are set. */
  get size(): number {
    return this.#wheel.size
  }

  /** Sets or moves a deadline (ms of the clock). Does nothing once closed. */
  set(entry: T, at: number): void {
    if (this.#state === 'closed') return
    this.#wheel.set(entry, at)
    if (at < this.#armedFor && this.#state === 'waiting') this.#arm()
  }

  /** Takes a deadline back. The timer is left as it is: it will find nothing to do. */
  cancel(entry: T): void {
    this.#wheel.cancel(entry)
  }

  /** Tells of everything due now, up to the limit; the timer calls this, and so may tests with a clock of their own. */
  tick(): void {
    if (this.#state !== 'waiting') return
    this.#state = 'telling'
    this.#disarm()
    try {
      this.#wheel.advance(this.#clock.now(), this.#onDue, this.#limit)
    } finally {
      if (this.#isOpen()) {
        this.#state = 'waiting'
        this.#arm()
      }
    }
  }

  /** Whether a set deadline keeps Node's loop from ending (default true). */
  ref(keepAlive: boolean): void {
    this.#keepsAlive = keepAlive
    if (keepAlive) this.#timer?.ref()
    else this.#timer?.unref()
  }

  /** Stops for good; idempotent, allowed within `onDue`. Deadlines still set are not told. */
  close(): void {
    this.#state = 'closed'
    this.#disarm()
  }

  #isOpen(): boolean {
    return this.#state !== 'closed'
  }

  #arm(): void {
    const now = this.#clock.now()
    const next = this.#wheel.next(now)
    if (next === this.#armedFor) return
    this.#disarm()
    if (next === undefined) return
    this.#armedFor = next
    this.#timer = setTimeout(() => this.tick(), Math.min(Math.max(Math.ceil(next - now), 1), LONGEST_DELAY))
    if (!this.#keepsAlive) this.#timer.unref()
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#armedFor = Infinity
  }
}
