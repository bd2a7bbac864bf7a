// A whole broker, ready to be used: a reactor, a broker and listeners put together from one configuration. This is what
// `createBroker` returns and what the `martlet` command runs; both go the same way.
import type { ListenOptions as NativeListenOptions } from '../../native/index.js'
import { Broker } from '../broker/broker.ts'
import type { BrokerEventMap } from '../broker/events.ts'
import type { Hooks } from '../broker/hooks.ts'
import type { ListenerRules } from '../broker/listener-rules.ts'
import type { OutgoingMessage } from '../broker/own-publications.ts'
import type { DroppedMessages } from '../broker/sessions/dropped-messages.ts'
import type { BrokerSettings } from '../broker/settings.ts'
import { ConfigError } from '../config/config-error.ts'
import { type Configuration, checkListenOptions, type ListenerConfiguration } from '../config/configuration.ts'
import { version } from '../config/version.ts'
import type { QoS } from '../mqtt/qos.ts'
import { addressText, type ListeningAddress } from '../net/listening-address.ts'
import { Reactor } from '../net/reactor.ts'
import type { DurableStore } from '../store/durable-store.ts'
import type { StoreMetrics } from '../store/journal/store-events.ts'
import type { Counters } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import { type Clock, systemClock } from '../timers/clock.ts'
import { boundAddress, isMissingFamily, type ListenOptions, nativeListeners } from './listener-options.ts'
import { listenerRules, locatedIn } from './listener-rules.ts'
import { hasForeignStore, storableTopicLevels, storeFailure, storeOf, warnOfForeignStore } from './open-store.ts'
import { overloadSettings } from './overload-settings.ts'
import { SystemTopics } from './system-topics.ts'
import { tlsOptions, tlsProblem } from './tls-files.ts'

export type { ListeningAddress } from '../net/listening-address.ts'
export type { ListenOptions } from './listener-options.ts'

export interface MartletParts {
  readonly configuration: Configuration
  readonly log: Logger
  readonly hooks?: Hooks
  readonly store?: DurableStore
  readonly clock?: Clock
}

/** How long `close` waits for clients to take what was sent to them, ms. */
const CLOSE_TIMEOUT = 4000

export class Martlet {
  readonly #broker: Broker
  readonly #reactor: Reactor
  readonly #systemTopics: SystemTopics
  readonly #store: DurableStore
  readonly #configuration: Configuration
  readonly #addresses: ListeningAddress[] = []
  readonly #everyAddress: ListeningAddress[] = []
  readonly #listeners: number[] = []
  readonly #doors: { door: number; options: ListenOptions }[] = []
  readonly #log: Logger
  #state: 'open' | 'closing' | 'closed' = 'open'
  #ready = false
  /** What the program has said about it, if anything. */
  #keepsAlive: boolean | undefined
  #opened: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(parts: MartletParts) {
    const { configuration, log, hooks = {}, store = storeOf(configuration, log), clock = systemClock } = parts
    this.#store = store
    this.#configuration = configuration
    this.#log = log
    this.#ready = store.volatile
    this.#broker = new Broker({ settings: brokerSettings(configuration), hooks, store, clock, log })
    this.#reactor = new Reactor(reactorSettings(configuration), this.#broker)
    this.#reactor.onStreamFailed = ({ remoteAddress: address }, reason) => {
      this.counters.streamsFailed++
      const { throttled } = this.#broker.context
      throttled.warn(`stream:${reason}`, clock.now(), { address, reason }, 'a connection could not be set up')
    }
    this.#reactor.ref(false) // until it listens
    this.#broker.attach(this.#reactor)
    const told = { broker: this.#broker, reactor: this.#reactor, store }
    this.#systemTopics = new SystemTopics(told, version, configuration.sysInterval * 1000)
  }

  /** What it counts, brought up to now by asking; one object, always the same. */
  get counters(): Counters {
    this.#broker.updateGauges()
    return this.#broker.counters
  }

  /** What its durable store counts and how large it is; live. Undefined without persistence. */
  get storeMetrics(): Readonly<StoreMetrics> | undefined {
    return this.#store.metrics
  }

  get addresses(): readonly ListeningAddress[] {
    return this.#addresses
  }

  /** As `addresses`, but "every address of the machine" is told as what was opened: 0.0.0.0, and :: where there is IPv6. */
  get everyAddress(): readonly ListeningAddress[] {
    return this.#everyAddress
  }

  /**
   * Opens the store and puts back what it remembers. `listen` does it if nobody has; a program that publishes before it
   * listens calls it itself. Rejects when another process has the store, or it cannot be opened.
   */
  open(): Promise<void> {
    this.#opened ??= this.#open()
    return this.#opened
  }

  async #open(): Promise<void> {
    try {
      await this.#store.open()
    } catch (error) {
      throw storeFailure(error, this.#configuration)
    }
    warnOfForeignStore(this.#configuration, this.#log)
    if (this.#store.volatile) return
    const started = performance.now()
    const { records, ...recovered } = await this.#broker.recover()
    this.#ready = true
    if (records === 0) return
    const seconds = Math.round(performance.now() - started) / 1000
    const resident = process.memoryUsage.rss()
    this.#log.info({ seconds, resident, records, ...recovered }, 'recovered from the store')
  }

  /** Listens on one more port: `port`, `host`, and whatever else docs/listeners.md has. Rejects with the system's error (`code`: EADDRINUSE, EACCES, …). */
  async listen(options: ListenOptions): Promise<ListeningAddress> {
    if (this.#state !== 'open') throw new Error('the broker is closed')
    checkListenOptions(options)
    await this.open()
    const addresses = await nativeListeners(options)
    const rules = listenerRules(options)
    const secured = this.#secure(options)
    const bound = this.#listenAll(addresses, options, rules, secured)
    if (secured !== undefined) this.#doors.push({ door: secured.tls, options })
    this.#addresses.push(bound)
    return bound
  }

  /** Every address of one listener, or none: when one cannot be opened, those before it are closed again. */
  #listenAll(
    addresses: readonly NativeListenOptions[],
    options: ListenOptions,
    rules: Partial<ListenerRules>,
    secured: { readonly tls: number } | undefined,
  ): ListeningAddress {
    const opened: number[] = []
    const told: ListeningAddress[] = []
    let bound: ListeningAddress | undefined
    let missing: unknown
    for (const native of addresses) {
      // max_connections is the listener's, not each address's.
      const together = opened.length === 0 ? {} : { countWith: opened[0]! }
      try {
        const at = this.#reactor.listen({ ...native, ...secured, ...together, port: bound?.port ?? native.port })
        opened.push(at.listener)
        if (bound === undefined || options.host === '') told.push(boundAddress(options, native, at.port))
        bound ??= told[0]!
        this.#broker.setListenerRules(at.listener, { ...rules, name: addressText(bound) })
      } catch (error) {
        missing = error
        if (isMissingFamily(options, error)) continue
        for (const listener of opened) this.#reactor.unlisten(listener)
        throw error
      }
    }
    if (bound === undefined) throw missing
    this.#listeners.push(...opened)
    this.#everyAddress.push(...told)
    this.#reactor.ref(this.#keepsAlive ?? true)
    return bound
  }

  /**
   * Reads certificates, keys and revocation lists again, for new connections; live ones keep what they have. What cannot
   * be used is logged, and that listener goes on with what it had.
   */
  reloadCertificates(): void {
    for (const { door, options } of this.#doors) {
      try {
        this.#reactor.resecure(door, tlsOptions(options)!)
      } catch (error) {
        const problem = error instanceof ConfigError ? error : tlsProblem(options, error)
        this.#log.error({ certfile: options.certfile }, `${problem.message} The running certificates stay.`)
      }
    }
  }

  #secure(options: ListenOptions): { readonly tls: number } | undefined {
    const files = tlsOptions(options)
    if (files === undefined) return undefined
    try {
      return { tls: this.#reactor.secure(files) }
    } catch (error) {
      throw tlsProblem(options, error)
    }
  }

  /** Publishes as the broker itself. Throws a TypeError when the topic is no Topic Name. Returns whether anybody subscribed. */
  publish(message: OutgoingMessage): boolean {
    if (!this.#ready) throw new Error('the store is not open yet: await open() or listen() first')
    return this.#broker.publish(message)
  }

  /**
   * How many messages never reached a client since its session began (or the broker did), by reason: `queueFull`,
   * `outputFull`, `tooLarge`, `expired`, `memory`. All 0 for a client without a session.
   */
  droppedFor(clientId: string): Readonly<DroppedMessages> {
    return this.#broker.droppedFor(clientId)
  }

  on<E extends keyof BrokerEventMap>(event: E, listener: (...args: BrokerEventMap[E]) => void): this {
    this.#broker.events.on(event, listener as never)
    return this
  }

  off<E extends keyof BrokerEventMap>(event: E, listener: (...args: BrokerEventMap[E]) => void): this {
    this.#broker.events.off(event, listener as never)
    return this
  }

  /** Whether the broker keeps the process alive. Until told it does while it listens, and not before. */
  ref(keepAlive: boolean): void {
    this.#keepsAlive = keepAlive
    this.#reactor.ref(keepAlive)
  }

  /**
   * Takes no new connections, publishes the wills of those connected, tells MQTT 5 clients, flushes, closes. Leaves no
   * handle open. Idempotent; resolves within five seconds.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    this.#state = 'closing'
    this.#reactor.ref(true) // a process that has nothing else to do would end before it is closed
    this.#systemTopics.stop()
    for (const listener of this.#listeners) this.#reactor.unlisten(listener)
    await this.#broker.close(CLOSE_TIMEOUT)
    this.#reactor.close()
    this.#state = 'closed'
  }
}

/** Listens where the configuration says. The addresses that do not exist on this machine are left out if optional. */
export async function listenAll(
  martlet: Martlet,
  listeners: readonly ListenerConfiguration[],
  log: Logger,
): Promise<void> {
  for (const listener of listeners) {
    try {
      const { places: _, optional: __, ...options } = listener
      await martlet.listen(options)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (!listener.optional || (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT')) throw locatedIn(listener, error)
      log.debug({ host: listener.host, code }, 'this address family is not there: listening without it')
    }
  }
}

/** What the broker is told by a configuration: seconds become milliseconds. */
export function brokerSettings(configuration: Configuration): BrokerSettings {
  const ms = (seconds: number): number => seconds * 1000
  return {
    maxPacketSize: configuration.maxPacketSize,
    maxInflightMessages: configuration.maxInflightMessages,
    maxQueuedMessages: configuration.maxQueuedMessages,
    maxQueuedBytes: configuration.maxQueuedBytes,
    queueWindow: configuration.queueWindow,
    queueQos0Messages: configuration.queueQos0Messages,
    maxKeepalive: configuration.maxKeepalive,
    connectTimeout: ms(configuration.connectTimeout),
    writeTimeout: ms(configuration.writeTimeout),
    lingerTimeout: ms(configuration.lingerTimeout),
    retryInterval: ms(configuration.retryInterval),
    outputLimit: configuration.outputLimit,
    outputHighWater: configuration.outputHighWater,
    maxTopicLevels: storableTopicLevels(configuration),
    maxSubscriptionsPerClient: configuration.maxSubscriptionsPerClient,
    maxSessions: configuration.maxSessions,
    sessionExpiry: configuration.persistentClientExpiration,
    mqtt5SessionExpiry: hasForeignStore(configuration) ? 0 : configuration.persistentClientExpiration,
    maxUnstoredBytes: configuration.maxUnstoredBytes,
    willGracePeriod: ms(configuration.willGracePeriod),
    hookTimeout: ms(configuration.hookTimeout),
    maxRetainedMessages: configuration.maxRetainedMessages,
    maxRetainedBytes: configuration.maxRetainedBytes,
    retainAvailable: configuration.retainAvailable,
    maxQos: configuration.maxQos as QoS,
    maxTopicAlias: configuration.maxTopicAlias,
    maxTopicAliasBroker: configuration.maxTopicAliasBroker,
    validatePayloadFormat: configuration.validatePayloadFormat,
    wildcardSubscriptions: configuration.wildcardSubscriptions,
    sharedSubscriptions: configuration.sharedSubscriptions,
    subscriptionIdentifiers: configuration.subscriptionIdentifiers,
    responseInformation: configuration.responseInformation,
    serverReference: configuration.serverReference,
    allowAnonymous: configuration.allowAnonymous,
    allowZeroLengthClientId: configuration.allowZeroLengthClientid,
    autoIdPrefix: configuration.autoIdPrefix,
    connectionMessages: configuration.connectionMessages,
    shortcutAfter: configuration.shortcutAfter,
    overload: overloadSettings(configuration),
  }
}

/** What the reactor is told by a configuration. */
export function reactorSettings(configuration: Configuration): ConstructorParameters<typeof Reactor>[0] {
  return {
    maxConnections: configuration.maxConnections,
    inboxRecords: configuration.inboxRecords,
    inboxSize: configuration.inboxSize,
    outboxWords: configuration.outboxWords,
    outboxSize: configuration.outboxSize,
    readSize: configuration.readSize,
    topicIds: configuration.topicIds,
    maxTurns: configuration.maxTurns,
    acceptBudget: configuration.acceptBudget,
    unadmittedPacketLimit: configuration.unadmittedPacketLimit,
    partialBudget: configuration.partialBudget,
    highWater: configuration.outputHighWater,
    lowWater: configuration.outputLowWater,
    flushAfter: configuration.flushAfter,
    handshakeBudget: configuration.handshakeBudget,
    userTimeout: configuration.writeTimeout * 1000,
    poison: configuration.poison || process.env.MARTLET_POISON === '1',
  }
}
