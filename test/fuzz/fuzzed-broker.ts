// A broker taken apart for the fuzzer: as createBroker puts it together, but with its reactor's totals in sight. Owns both;
// `close` ends them.
import { Broker } from '../../src/broker/broker.ts'
import { type ConfigurationOptions, optionsSource, resolveConfiguration } from '../../src/config/configuration.ts'
import { Reactor } from '../../src/net/reactor.ts'
import { Total } from '../../src/net/wire.ts'
import { brokerSettings, reactorSettings } from '../../src/server/martlet.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import type { Counters } from '../../src/telemetry/counters.ts'
import { type Logger, silentLogger } from '../../src/telemetry/log.ts'
import { systemClock } from '../../src/timers/clock.ts'

/** The reactor's smallest sizes, as in broker-process.ts. */
const tiny: ConfigurationOptions = {
  inboxSize: 4096,
  inboxRecords: 64,
  outboxWords: 256,
  outboxSize: 1024,
  topicIds: 8,
  readSize: 64,
}

export class FuzzedBroker {
  readonly host = '127.0.0.1'
  readonly port: number
  /** Errors of our own that were logged. */
  readonly bugs: unknown[] = []
  readonly #broker: Broker
  readonly #reactor: Reactor

  constructor(options: ConfigurationOptions, sizes: 'tiny' | 'default') {
    process.env.MARTLET_POISON = '1' // whoever holds on to the inbox is found
    const settings = { maxConnections: 64, ...options, ...(sizes === 'tiny' ? tiny : {}) }
    const configuration = resolveConfiguration([optionsSource(settings)])
    const log: Logger = { ...silentLogger, error: (...words: unknown[]) => void this.bugs.push(words) }
    this.#broker = new Broker({
      settings: brokerSettings(configuration),
      hooks: {},
      store: new MemoryStore(),
      clock: systemClock,
      log,
    })
    this.#reactor = new Reactor(reactorSettings(configuration), this.#broker)
    this.#broker.attach(this.#reactor)
    const listening = { host: this.host, port: 0, backlog: 0, ipv6Only: false, reusePort: false }
    this.port = this.#reactor.listen(listening).port
  }

  get counters(): Counters {
    return this.#broker.counters
  }

  /** What is held now, of everything that must come back to nothing when nobody is there any more. */
  held(): Record<string, number> {
    const { totals } = this.#reactor.memory
    const { counters } = this
    return {
      keptFrames: totals[Total.KeptFrames]!,
      keptBytes: totals[Total.KeptBytes]!,
      partialBytes: totals[Total.PartialBytes]!,
      handles: this.#reactor.kept.held,
      messagesQueued: counters.messagesQueued,
      bytesQueued: counters.bytesQueued,
      retained: counters.retained,
      subscriptions: this.#broker.context.router.subscriptionCount,
      delayedWills: this.#broker.context.wills.delayedCount,
      connections: counters.connectionsCurrent,
      sessions: counters.sessions,
    }
  }

  async close(): Promise<void> {
    await this.#broker.close(2000)
    this.#reactor.close()
  }
}
