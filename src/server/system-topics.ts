// Publishes the $SYS tree: what has changed since the last time, retained, every sys_interval. Brings the counters up to
// what the reactor has counted first.
import type { Broker } from '../broker/broker.ts'
import type { Reactor } from '../net/reactor.ts'
import { SysTopics } from '../telemetry/sys-topics.ts'

export class SystemTopics {
  readonly #broker: Broker
  readonly #reactor: Reactor
  readonly #version: string
  readonly #startedAt = performance.now()
  readonly #topics = new SysTopics()
  #timer: NodeJS.Timeout | undefined

  /** `interval` in ms; 0 publishes nothing. */
  constructor(broker: Broker, reactor: Reactor, version: string, interval: number) {
    this.#broker = broker
    this.#reactor = reactor
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
    const heap = process.memoryUsage().heapUsed + this.#reactor.keptBytes
    const facts = { version: `martlet ${this.#version}`, uptime: (performance.now() - this.#startedAt) / 1000, heap }
    for (const [topic, payload] of this.#topics.changed(broker.counters, facts)) {
      broker.publish({ topic, payload, qos: 0, retain: true })
    }
  }
}
