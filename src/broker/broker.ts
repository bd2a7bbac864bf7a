// One broker: makes its parts, receives from the reactor what belongs to no single connection, and closes in order.
// Knows nothing of files, arguments or the process; src/server puts it together with a reactor and listeners.

import type { Properties } from '../mqtt/properties.ts'
import type { QoS } from '../mqtt/qos.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { topicNameProblem, topicProblemInBytes } from '../mqtt/topic.ts'
import type { Connection, ConnectionReceiver } from '../net/connection.ts'
import type { ReactorReceiver } from '../net/reactor.ts'
import type { RecipientGroup } from '../net/recipient-group.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { Counters } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import { ThrottledLog } from '../telemetry/throttled-log.ts'
import type { Clock } from '../timers/clock.ts'
import { TimerLoop } from '../timers/timer-loop.ts'
import { askHook } from './ask-hook.ts'
import { Client } from './client.ts'
import type { BrokerContext, Wire } from './context.ts'
import type { Deadline } from './deadlines.ts'
import { DroppedMessages } from './dropped-messages.ts'
import { BrokerEvents } from './events.ts'
import { ExpirySweep } from './expiry-sweep.ts'
import { forwardableProperties } from './forwardable-properties.ts'
import type { Hooks, Verdict } from './hooks.ts'
import { Journal } from './journal.ts'
import { Message } from './message.ts'
import { v8Heap } from './overload/heap.ts'
import { Overload } from './overload/overload.ts'
import { Pager } from './pager.ts'
import { Publication } from './publication.ts'
import { type Recovered, recover } from './recovery.ts'
import { RetainedStore } from './retained-store.ts'
import { Router } from './router.ts'
import { SessionRegistry } from './session-registry.ts'
import type { BrokerSettings } from './settings.ts'
import type { Subscription } from './subscription.ts'
import { Topic } from './topic.ts'
import { type Will, Wills } from './wills.ts'

/** The reactor, as the broker needs it beyond its shared memory. */
export interface BrokerReactor extends Wire {
  newGroup(connectionOf: (member: Subscription) => Connection): RecipientGroup<Subscription>
  resumeListener(listener: number): void
  /** Bytes waiting to be written to all connections together. */
  readonly queuedBytes: number
  /** Bytes of all kept frames. */
  readonly keptBytes: number
  receivers(): ConnectionReceiver[]
}

export interface BrokerParts {
  readonly settings: BrokerSettings
  readonly hooks: Hooks
  readonly store: DurableStore
  readonly clock: Clock
  readonly log: Logger
  readonly counters?: Counters
}

/** What the embedding program publishes. */
export interface OutgoingMessage {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos?: QoS
  readonly retain?: boolean
  readonly properties?: Properties
}

/** How long accepting pauses when descriptors ran out, ms. */
const ACCEPT_PAUSE = 1000
const RETRY_LIMIT = 100
const SWEEP_INTERVAL = 1000
/** How often a store that failed is offered again what it refused, ms. */
const STORE_RETRY = 1000
/** A replay of so many leaves hundreds of megabytes behind. */
const MANY_RECORDS = 100_000

export class Broker implements ReactorReceiver {
  readonly settings: BrokerSettings
  readonly counters: Counters
  readonly events = new BrokerEvents((error) => this.handleBug(error))
  readonly #parts: BrokerParts
  readonly #throttled: ThrottledLog
  readonly #timers: TimerLoop<Deadline>
  #context!: BrokerContext
  #reactor!: BrokerReactor
  #pausedListeners: Deadline[] = []
  #closing = false
  /** Postponed wills the log has told of. */
  #willsTold = 0

  constructor(parts: BrokerParts) {
    this.#parts = parts
    this.settings = parts.settings
    this.counters = parts.counters ?? new Counters()
    this.#throttled = new ThrottledLog(parts.log)
    this.#timers = new TimerLoop<Deadline>(parts.clock, (entry, now) => this.#due(entry, now))
    this.#timers.ref(false)
  }

  get context(): BrokerContext {
    return this.#context
  }

  /** Gives the broker its reactor; before anything else. */
  attach(reactor: BrokerReactor): void {
    this.#reactor = reactor
    const { settings, hooks, store, clock, log } = this.#parts
    const { counters, events } = this
    const throttled = this.#throttled
    const timers = this.#timers
    const journal = new Journal({
      store,
      clock,
      limit: settings.maxUnstoredBytes,
      failed: (error) => this.#storeFailed(error),
      recovered: () => log.warn({ failures: counters.storeFailures }, 'the store works again: nothing was lost'),
    })
    const { memory, outbox, kept } = reactor
    const overload = new Overload({
      settings: settings.overload,
      counters,
      throttled,
      clock,
      timers,
      keptBytes: () => reactor.keptBytes,
    })
    const context: BrokerContext = {
      settings,
      queueLimits: { count: settings.maxQueuedMessages, bytes: settings.maxQueuedBytes },
      clock,
      log,
      throttled,
      counters,
      wire: reactor,
      outbox,
      kept,
      timers,
      hooks,
      events,
      journal,
      pager: new Pager({ store, windowBytes: settings.queueWindow }),
      router: new Router(reactor, settings.maxTopicLevels, () => context),
      overload,
      retained: new RetainedStore({ settings, counters, throttled, journal, clock, memory: overload.memory }),
      sessions: undefined as unknown as SessionRegistry,
      wills: new Wills(timers, clock, journal, counters, (clientId, will) =>
        this.#guard(() => this.#publishWill(clientId, will)),
      ),
      publication: new Publication(outbox, kept, () => clock.now()),
      tap: (publication, clientId) => this.#tap(publication, clientId),
      queuedBytes: (connection) => memory.queued[connection.slot]!,
      dropped: (clientId, why) =>
        throttled.warn(`dropped:${clientId}`, clock.now(), { client: clientId, reason: why }, 'message dropped'),
    }
    this.#context = Object.assign(context, { sessions: new SessionRegistry(context) })
    if (settings.retryInterval > 0) this.#every(settings.retryInterval / 2, (now) => this.#retry(now))
    this.#every(10_000, (now) => throttled.flush(now))
    if (!journal.isVolatile) this.#every(STORE_RETRY, () => journal.retry())
    const sweep = new ExpirySweep(this.#context)
    this.#every(SWEEP_INTERVAL, (now) => sweep.run(now))
    this.#every(SWEEP_INTERVAL, (now) => this.#relieve(now))
  }

  // ── called by the reactor ────────────────────────────────────────────────────────────────────────────────────────

  handleOpened(connection: Connection): Client {
    this.counters.connectionOpened()
    const client = new Client(this.#context, connection)
    if (this.#closing) client.end({ reason: 'the broker is closing' })
    return client
  }

  handleTopic(id: number, name: string, nameOffset: number, nameLength: number): void {
    const problem =
      topicProblemInBytes(this.#reactor.inboxBytes, nameOffset, nameLength) ??
      topicNameProblem(name, this.settings.maxTopicLevels)
    this.#context.router.nameTopic(id, new Topic(name, problem, true))
  }

  handleForgotten(id: number): void {
    this.#context.router.forgetTopic(id)
  }

  handleAcceptPaused(listener: number, errno: number): void {
    this.counters.acceptPauses++
    const { clock } = this.#parts
    this.#throttled.warn(
      'accept-paused',
      clock.now(),
      { listener, errno, connections: this.counters.connectionsCurrent },
      'out of file descriptors: no new connections for a moment',
    )
    const resume = deadline(() => {
      this.#pausedListeners = this.#pausedListeners.filter((paused) => paused !== resume)
      this.#reactor.resumeListener(listener)
      return undefined
    })
    this.#pausedListeners.push(resume)
    this.#timers.set(resume, clock.now() + ACCEPT_PAUSE)
  }

  handleRefused(listener: number, count: number): void {
    this.counters.connectionsRefused += count
    this.#throttled.warn(
      'refused-full',
      this.#parts.clock.now(),
      { listener, count },
      'connections refused: max_connections reached',
    )
  }

  handleBug(error: unknown): void {
    this.counters.internalErrors++
    this.#parts.log.error({ err: error }, 'internal error')
  }

  // ── for the embedding program ────────────────────────────────────────────────────────────────────────────────────

  /** Brings the counters up to what others count: the reactor, the router. Called before they are read. */
  updateGauges(wire: {
    bytesReceived: number
    bytesSent: number
    publishSent: number
    publishBytesSent: number
  }): void {
    const { counters } = this
    const { router } = this.#context
    // Acknowledgements and answers are counted where they are written, PUBLISH packets by the reactor.
    counters.messagesSent += wire.publishSent - counters.publishSent
    Object.assign(counters, wire)
    counters.storeCommits = this.#context.journal.commits
    counters.subscriptions = router.subscriptionCount
    counters.sharedSubscriptions = router.sharedSubscriptionCount
  }

  /** Puts back what the store remembers; before any listener opens. */
  async recover(): Promise<Recovered> {
    const recovered = await recover(this.#parts.store, this.#context)
    // What the replay left behind is collected before anybody connects, not while they do.
    if (recovered.records > MANY_RECORDS) v8Heap.collect()
    return recovered
  }

  /** How many messages never reached a client, by reason, in its present session; all 0 if none was, or there is no session. */
  droppedFor(clientId: string): Readonly<DroppedMessages> {
    return this.#context.sessions.get(clientId)?.dropped ?? new DroppedMessages()
  }

  /** Publishes as the broker itself. Throws a TypeError when the topic is no Topic Name. Returns whether anybody subscribed. */
  publish(message: OutgoingMessage): boolean {
    const topic = this.#context.router.topic(message.topic)
    if (topic.problem !== undefined) throw new TypeError(topic.problem)
    const payload = typeof message.payload === 'string' ? Buffer.from(message.payload) : message.payload
    const { properties = {} } = message
    const expiry = properties.messageExpiryInterval ?? Number.POSITIVE_INFINITY
    return this.#publish(topic, payload, {
      qos: message.qos ?? 0,
      retain: message.retain ?? false,
      properties: forwardableProperties(properties),
      expiry,
      clientId: undefined,
    })
  }

  /**
   * Ends every client in order: wills without delay are published and stored, MQTT 5 clients hear 0x8B, output is
   * flushed. Resolves when all connections are closed or `timeout` ms are over; the caller closes the reactor.
   */
  async close(timeout: number): Promise<void> {
    this.#closing = true
    const clients = this.#reactor.receivers().filter((receiver) => receiver instanceof Client)
    // First all wills, then all ends: those who watch others see them go.
    for (const client of clients) client.sendWillNow()
    this.#context.wills.publishDue()
    const { serverReference } = this.settings
    const reasonCode = serverReference === '' ? ReasonCode.ServerShuttingDown : ReasonCode.UseAnotherServer
    for (const client of clients) client.end({ reason: 'the broker is closing', reasonCode })
    await this.#context.journal.settle()
    const until = this.#parts.clock.now() + timeout
    while (this.#reactor.receivers().length > 0 && this.#parts.clock.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await this.#context.journal.settle()
    this.#timers.close()
    this.#throttled.close()
    await this.#parts.store.close()
  }

  #publish(
    topic: Topic,
    payload: Uint8Array,
    how: { qos: QoS; retain: boolean; properties: Uint8Array; expiry: number; clientId: string | undefined },
  ): boolean {
    const { kept, router, retained, outbox } = this.#context
    const { clock } = this.#parts
    const name = Buffer.from(topic.name)
    const bytes = Buffer.allocUnsafe(2 + name.length + payload.length)
    bytes.writeUInt16BE(name.length, 0)
    bytes.set(name, 2)
    bytes.set(payload, 2 + name.length)
    const message = new Message(kept, kept.keepBytes(bytes, 2 + name.length), {
      topic: topic.name,
      qos: how.qos,
      retain: how.retain,
      size: bytes.length,
      payloadLength: payload.length,
      properties: how.properties,
      expiresAt: how.expiry === Number.POSITIVE_INFINITY ? how.expiry : clock.now() + how.expiry * 1000,
    })
    // A publication of its own: this may happen while a client's is being handled (its will, a hook that publishes).
    const own = new Publication(outbox, kept, () => clock.now())
    own.fromMessage(topic, message.hold(), undefined)
    if (how.retain) retained.apply(own)
    const matched = router.publish(own)
    this.#tap(own, how.clientId)
    own.drop()
    return matched
  }

  #storeFailed(error: unknown): void {
    this.counters.storeFailures++
    this.#throttled.warn(
      'store-failed',
      this.#parts.clock.now(),
      { err: error, failures: this.counters.storeFailures },
      'the store failed: nothing more is acknowledged that it would have to keep; it is tried again every second',
    )
  }

  #publishWill(clientId: string, will: Will): void {
    const verdict = this.#mayPublishWill(will)
    if (verdict instanceof Promise) {
      verdict.then(
        (settled) => this.#publishWillIf(settled, clientId, will),
        (error: unknown) => this.handleBug(error),
      )
    } else {
      this.#publishWillIf(verdict, clientId, will)
    }
  }

  /** A will is a PUBLISH of its client: the authorizer is asked when it is due. */
  #mayPublishWill(will: Will): Verdict | Promise<Verdict> {
    const { authorizePublish } = this.#parts.hooks
    if (will.topic.startsWith('$SYS/')) return false
    if (authorizePublish === undefined) return true
    const { topic, qos, retain, payload, client } = will
    const question = { client, topic, qos, retain, payload: () => Buffer.from(payload) }
    return askHook(this.#context, client.clientId, () => authorizePublish(question))
  }

  #publishWillIf(verdict: Verdict, clientId: string, will: Will): void {
    if (verdict !== true) {
      this.counters.notAuthorized++
      this.#throttled.warn(
        `will-refused:${clientId}`,
        this.#parts.clock.now(),
        { client: clientId, topic: will.topic },
        'will refused',
      )
      return
    }
    this.counters.willsPublished++
    const topic = this.#context.router.topic(will.topic)
    this.#publish(topic, will.payload, { ...will, clientId })
  }

  #tap(publication: Publication, clientId: string | undefined): void {
    if (!this.events.hasPublishedListener) return
    const { topic, qos, retain } = publication
    this.events.tell('published', { topic: topic.name, payload: publication.keep().payload(), qos, retain, clientId })
  }

  #relieve(now: number): void {
    const { overload, wire } = this.#context
    if (overload.memory.isHeapShort) overload.memory.look(now)
    this.#tellOfWills(now)
    const clients = (): Client[] => this.#reactor.receivers().filter((receiver) => receiver instanceof Client)
    overload.relieveOutput(this.#reactor.queuedBytes, wire.memory, clients)
  }

  #tellOfWills(now: number): void {
    const { willsPostponed: postponed } = this.counters
    if (postponed === this.#willsTold) return
    this.#willsTold = postponed
    this.#throttled.warn('wills', now, { postponed }, 'many wills at once: they are spread over turns')
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.handleBug(error)
    }
  }

  #retry(now: number): void {
    for (const session of this.#context.sessions) session.retry(now - this.settings.retryInterval, RETRY_LIMIT)
  }

  #every(interval: number, action: (now: number) => void): void {
    const entry = deadline((now) => {
      action(now)
      return now + interval
    })
    this.#timers.set(entry, this.#parts.clock.now() + interval)
  }

  #due(entry: Deadline, now: number): number | undefined {
    try {
      return entry.handleDeadline(now)
    } catch (error) {
      this.handleBug(error)
      return undefined
    }
  }
}

function deadline(handleDeadline: (now: number) => number | undefined): Deadline {
  return { wheelNext: undefined, wheelPrevious: undefined, dueAt: 0, handleDeadline }
}
