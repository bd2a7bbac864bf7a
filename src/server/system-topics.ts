// Publishes the $SYS tree: what has changed since the last time, retained, every sys_interval. Brings the counters up to
// what the reactor has counted first.
import { getHeapStatistics } from 'node:v8'
import type { Broker } from '../broker/broker.ts'
import type { Reactor } from '../net/reactor.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { SysTopics } from '../telemetry/sys-topics.ts'
import { counterTopics } from './counter-topics.ts'
import { storeTopics } from './store-topics.ts'

export class SystemTopics {
  readonly #broker: Broker
  readonly #reactor: Reactor
  readonly #store: DurableStore
  readonly #version: string
  readonly #startedAt = performance.now()
  readonly #topics = new SysTopics()
  #timer: NodeJS.Timeout | undefined

  /** `interval` in ms; 0 publishes nothing. */
  constructor(parts: { broker: Broker; reactor: Reactor; store: DurableStore }, version: string, interval: number) {
    this.#broker = parts.broker
    this.#reactor = parts.reactor
    this.#store = parts.store
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
    broker.updateGauges()
    // Not process.memoryUsage(): that reads /proc, and throws when there is no descriptor left.
    const heap = getHeapStatistics().used_heap_size + this.#reactor.keptBytes
    const uptime = (performance.now() - this.#startedAt) / 1000
    const own = [...storeTopics(this.#store, broker.counters), ...counterTopics(broker.counters)]
    const facts = { version: `martlet ${this.#version}`, uptime, heap, own }
    for (const [topic, payload] of this.#topics.changed(broker.counters, facts)) {
      broker.publish({ topic, payload, qos: 0, retain: true })
    }
  }
}
