// Publishes the $SYS tree: what has changed since the last time, retained, every sys_interval. Brings the counters up to
// what the reactor has counted first.
import type { Broker } from '../broker/broker.ts'
import { Total } from '../net/wire.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { SysTopics } from '../telemetry/sys-topics.ts'
import { storeTopics } from './store-topics.ts'

export class SystemTopics {
  readonly #broker: Broker
  readonly #store: DurableStore
  readonly #totals: Float64Array
  readonly #version: string
  readonly #startedAt = performance.now()
  readonly #topics = new SysTopics()
  #timer: NodeJS.Timeout | undefined

  /** `interval` in ms; 0 publishes nothing. `totals` is the reactor's column. */
  constructor(parts: { broker: Broker; store: DurableStore }, totals: Float64Array, version: string, interval: number) {
    this.#broker = parts.broker
    this.#store = parts.store
    this.#totals = totals
    this.#version = version
    if (interval <= 0) return
    this.#publish()
    this.#timer = setInterval(() => this.#publish(), interval)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #publish(): void {
    const broker = this.#broker
    const totals = this.#totals
    broker.updateGauges({
      bytesReceived: totals[Total.BytesIn]!,
      bytesSent: totals[Total.BytesOut]!,
      publishSent: totals[Total.PublishesOut]!,
      publishBytesSent: totals[Total.PublishBytesOut]!,
    })
    const heap = process.memoryUsage().heapUsed + totals[Total.KeptBytes]!
    const uptime = (performance.now() - this.#startedAt) / 1000
    const own = storeTopics(this.#store, broker.counters)
    const facts = { version: `martlet ${this.#version}`, uptime, heap, own }
    for (const [topic, payload] of this.#topics.changed(broker.counters, facts)) {
      broker.publish({ topic, payload, qos: 0, retain: true })
    }
  }
}
