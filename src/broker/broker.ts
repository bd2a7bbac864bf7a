// One broker: makes its parts, receives from the reactor what belongs to no single connection, and closes in order.
// Knows nothing of files, arguments or the process; src/server puts it together with a reactor and listeners.

import { ReasonCode } from '../mqtt/reason-code.ts'
import { topicNameProblem, topicProblemInBytes } from '../mqtt/topic.ts'
import type { Connection, ConnectionReceiver } from '../net/connection.ts'
import type { ReactorReceiver, Traffic } from '../net/reactor.ts'
import type { RecipientGroup } from '../net/recipient-group.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { Counters } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import { ThrottledLog } from '../telemetry/throttled-log.ts'
import type { Clock } from '../timers/clock.ts'
import { TimerLoop } from '../timers/timer-loop.ts'
import { Client } from './clients/client.ts'
import type { BrokerContext, Wire } from './context.ts'
import type { Deadline } from './deadlines.ts'
import { BrokerEvents } from './events.ts'
import type { Hooks } from './hooks.ts'
import { Journal } from './journal/journal.ts'
import { type Recovered, recover } from './journal/recovery.ts'
import { type ListenerRules, ListenerTable } from './listener-rules.ts'
import { v8Heap } from './overload/heap.ts'
import { MemoryReturn } from './overload/memory-return.ts'
import { Overload } from './overload/overload.ts'
import { type OutgoingMessage, OwnPublications } from './own-publications.ts'
import { Publication } from './publication.ts'
import { RetainedStore } from './retained/retained-store.ts'
import { Router } from './routing/router.ts'
import { Shortcuts } from './routing/shortcuts.ts'
import type { Subscription } from './routing/subscription.ts'
import { Topic } from './routing/topic.ts'
import { DroppedMessages } from './sessions/dropped-messages.ts'
import { ExpirySweep } from './sessions/expiry-sweep.ts'
import { Pager } from './sessions/pager.ts'
import { SessionRegistry } from './sessions/session-registry.ts'
import type { BrokerSettings } from './settings.ts'
import { Wills } from './wills.ts'

/** The reactor, as the broker needs it beyond its shared memory. */
export interface BrokerReactor extends Wire {
  newGroup(connectionOf: (member: Subscription) => Connection): RecipientGroup<Subscription>
  resumeListener(listener: number): void
  /** From now on every packet is told, until new decisions are made. */
  revokeShortcuts(): void
  /** Bytes waiting to be written to all connections together. */
  readonly queuedBytes: number
  /** Bytes of all kept frames. */
  readonly keptBytes: number
  /** Bytes read and written since the start. */
  readonly bytesMoved: number
  /** Gives free memory back to the system. */
  trim(): void
  receivers(): ConnectionReceiver[]
  /** What went over the wire since the start. */
  traffic(): Traffic
}

export interface BrokerParts {
  readonly settings: BrokerSettings
  readonly hooks: Hooks
  readonly store: DurableStore
  readonly clock: Clock
  readonly log: Logger
  readonly counters?: Counters
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
  #own!: OwnPublications
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
    events.onPublishedListener = () => reactor.revokeShortcuts()
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
      listeners: new ListenerTable(settings.overload),
      pager: new Pager({ store, windowBytes: settings.queueWindow }),
      router: new Router(reactor, settings.maxTopicLevels, () => context),
      shortcuts: new Shortcuts(outbox, memory.decisions, settings.shortcutAfter),
      overload,
      retained: new RetainedStore({ settings, counters, throttled, journal, clock, memory: overload.memory }),
      sessions: undefined as unknown as SessionRegistry,
      wills: new Wills(timers, clock, journal, counters, (clientId, will, done) =>
        this.#guard(() => this.#own.publishWill(clientId, will, done)),
      ),
      publication: new Publication(outbox, kept, () => clock.now()),
      tap: (publication, clientId) => this.#tap(publication, clientId),
      queuedBytes: (connection) => memory.queued[connection.slot]!,
      dropped: (clientId, why) =>
        throttled.warn(`dropped:${clientId}`, clock.now(), { client: clientId, reason: why }, 'message dropped'),
    }
    this.#context = Object.assign(context, { sessions: new SessionRegistry(context) })
    this.#own = new OwnPublications(this.#context, (error) => this.handleBug(error))
    if (settings.retryInterval > 0) this.#every(settings.retryInterval / 2, (now) => this.#retry(now))
    this.#every(10_000, (now) => throttled.flush(now))
    if (!journal.isVolatile) this.#every(STORE_RETRY, () => journal.retry())
    const sweep = new ExpirySweep(this.#context)
    this.#every(SWEEP_INTERVAL, (now) => sweep.run(now))
    this.#every(SWEEP_INTERVAL, (now) => this.#relieve(now))
    const memoryReturn = new MemoryReturn({ log, counters, trim: () => reactor.trim() })
    this.#every(SWEEP_INTERVAL, (now) => memoryReturn.look(now, reactor.bytesMoved))
  }

  /** What holds for those who come through a listener; to be called in the turn that opens it. */
  setListenerRules(listener: number, rules: Partial<ListenerRules>): void {
    this.#context.listeners.set(listener, rules)
  }

  // ── called by the reactor ────────────────────────────────────────────────────────────────────────────────────────

  handleOpened(connection: Connection): Client {
    this.#context.overload.connectionOpened(connection.remoteAddress)
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
      { listener: this.#context.listeners.at(listener).name, errno, connections: this.counters.connectionsCurrent },
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
      `refused-full:${listener}`,
      this.#parts.clock.now(),
      { listener: this.#context.listeners.at(listener).name, count },
      'connections refused: max_connections reached',
    )
  }

  handleBug(error: unknown): void {
    this.counters.internalErrors++
    this.#parts.log.error({ err: error }, 'internal error')
  }

  // ── for the embedding program ────────────────────────────────────────────────────────────────────────────────────

  /** Brings the counters up to what others count: the reactor, the router. Called before they are read. */
  updateGauges(): void {
    const { counters } = this
    const { journal, router } = this.#context
    const traffic = this.#reactor.traffic()
    // Acknowledgements and answers are counted where they are written, PUBLISH packets by the reactor; and of those that took
    // a shortcut only the reactor knows.
    const shortcuts = traffic.shortcuts - counters.shortcuts
    counters.messagesSent += traffic.publishSent - counters.publishSent
    counters.messagesReceived += shortcuts
    counters.publishReceived += shortcuts
    counters.publishBytesReceived += traffic.shortcutBytes - counters.shortcutBytes
    Object.assign(counters, traffic)
    counters.storeCommits = journal.commits
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
    return this.#own.publish(message)
  }

  /**
   * Ends every client in order: wills without delay are published and stored, MQTT 5 clients hear 0x8B, output is
   * flushed, the store is closed. Resolves when that is done, or after `timeout` ms at the latest: a client or a store that
   * does not answer is left behind, and the log says so. The caller closes the reactor.
   */
  async close(timeout: number): Promise<void> {
    const { clock, log, store } = this.#parts
    const { journal } = this.#context
    const end = clock.now() + timeout
    const left = (share: number): number => Math.max(0, end - timeout * (1 - share) - clock.now())
    this.#closing = true
    const clients = this.#reactor.receivers().filter((receiver) => receiver instanceof Client)
    // First all wills, then all ends: those who watch others see them go.
    for (const client of clients) client.sendWillNow()
    this.#context.wills.publishDue()
    const { serverReference } = this.settings
    const reasonCode = serverReference === '' ? ReasonCode.ServerShuttingDown : ReasonCode.UseAnotherServer
    for (const client of clients) client.end({ reason: 'the broker is closing', reasonCode })
    // What waits for the store can be answered when it has it; the last word to those who do not wait is on its way.
    const isSettled = await within(left(0.6), journal.settle())
    while (this.#reactor.receivers().length > 0 && left(0.8) > 0)
      await new Promise((resolve) => setTimeout(resolve, 10))
    const connections = this.#reactor.receivers().length
    if (connections > 0) log.warn({ connections }, 'closing: connections that did not end in time are cut off')
    if (isSettled) await within(left(0.85), journal.settle())
    this.#timers.close()
    this.#throttled.close()
    const { unstoredRecords: records } = journal
    if (!(await within(left(1), store.close())) || records > 0)
      log.warn(
        { records },
        'closing: the store does not answer or fails; what it had not stored is abandoned, unacknowledged',
      )
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

/** Waits for the promise, and no longer than so many milliseconds; whether it was in time. */
async function within(ms: number, promise: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

function deadline(handleDeadline: (now: number) => number | undefined): Deadline {
  return { wheelNext: undefined, wheelPrevious: undefined, dueAt: 0, handleDeadline }
}
