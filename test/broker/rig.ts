// A broker's parts around a FakeReactor, with time that stands still: for tests of one part with the real others. What
// src/broker/broker.ts puts together is put together here again, only with timers the test moves.

import { Client } from '../../src/broker/clients/client.ts'
import type { BrokerContext } from '../../src/broker/context.ts'
import type { Deadline } from '../../src/broker/deadlines.ts'
import { BrokerEvents } from '../../src/broker/events.ts'
import type { Hooks } from '../../src/broker/hooks.ts'
import { Journal } from '../../src/broker/journal/journal.ts'
import { ListenerTable } from '../../src/broker/listener-rules.ts'
import type { Heap } from '../../src/broker/overload/heap.ts'
import { Overload } from '../../src/broker/overload/overload.ts'
import type { OverloadSettings } from '../../src/broker/overload/settings.ts'
import { Publication } from '../../src/broker/publication.ts'
import { RetainedStore } from '../../src/broker/retained/retained-store.ts'
import { Router } from '../../src/broker/routing/router.ts'
import { Shortcuts } from '../../src/broker/routing/shortcuts.ts'
import type { Topic } from '../../src/broker/routing/topic.ts'
import { Pager } from '../../src/broker/sessions/pager.ts'
import type { Session } from '../../src/broker/sessions/session.ts'
import { SessionRegistry } from '../../src/broker/sessions/session-registry.ts'
import type { BrokerSettings } from '../../src/broker/settings.ts'
import { type Will, Wills } from '../../src/broker/wills.ts'
import type { QoS } from '../../src/mqtt/qos.ts'
import type { Connection } from '../../src/net/connection.ts'
import type { DurableStore } from '../../src/store/durable-store.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import type { LogFields, Logger } from '../../src/telemetry/log.ts'
import { ThrottledLog } from '../../src/telemetry/throttled-log.ts'
import { ManualClock } from '../../src/timers/clock.ts'
import { DeadlineWheel } from '../../src/timers/deadline-wheel.ts'
import { FakeReactor } from './fake-reactor.ts'

export const OVERLOAD_SETTINGS: OverloadSettings = {
  slowReaderPolicy: 'drop_newest',
  maxQueuedBytesTotal: 1 << 30,
  maxQueuedMessagesTotal: Infinity,
  maxQueuedDiskTotal: Infinity,
  maxOutputBytesTotal: 1 << 30,
  maxHeapPercent: 80,
  takeoverDelay: 1000,
  takeoverDelayMax: 30_000,
  loginDelay: 1000,
  loginDelayMax: 30_000,
  rateLimitAction: 'slow',
  clientMessageRate: 0,
  clientByteRate: 0,
  addressMessageRate: 0,
  addressByteRate: 0,
  addressConnectRate: 0,
}

export const SETTINGS: BrokerSettings = {
  maxPacketSize: 1 << 20,
  maxInflightMessages: 256,
  maxQueuedMessages: 1000,
  maxQueuedBytes: 1 << 24,
  queueWindow: 1 << 16,
  queueQos0Messages: false,
  maxKeepalive: 0,
  connectTimeout: 10_000,
  writeTimeout: 60_000,
  lingerTimeout: 5_000,
  retryInterval: 0,
  outputLimit: 4 << 20,
  outputHighWater: 1 << 19,
  maxTopicLevels: 128,
  maxSubscriptionsPerClient: 100,
  maxSessions: 1000,
  sessionExpiry: 3600,
  mqtt5SessionExpiry: 3600,
  maxUnstoredBytes: 16 << 20,
  willGracePeriod: 30_000,
  hookTimeout: 30_000,
  shortcutAfter: 8,
  maxRetainedMessages: 1000,
  maxRetainedBytes: 1 << 20,
  retainAvailable: true,
  maxQos: 2,
  maxTopicAlias: 10,
  maxTopicAliasBroker: 10,
  validatePayloadFormat: false,
  wildcardSubscriptions: true,
  sharedSubscriptions: true,
  subscriptionIdentifiers: true,
  responseInformation: '',
  serverReference: '',
  allowAnonymous: true,
  allowZeroLengthClientId: true,
  autoIdPrefix: 'auto-',
  connectionMessages: false,
  overload: OVERLOAD_SETTINGS,
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: LogFields
  readonly message: string
}

/** A log that remembers. */
export class LogMemory implements Logger {
  readonly debugging = true
  readonly lines: LogLine[] = []

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: 'debug', fields, message })
  }

  info(fields: LogFields, message: string): void {
    this.lines.push({ level: 'info', fields, message })
  }

  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: 'warn', fields, message })
  }

  error(fields: LogFields, message: string): void {
    this.lines.push({ level: 'error', fields, message })
  }

  at(level: LogLine['level']): LogLine[] {
    return this.lines.filter((line) => line.level === level)
  }
}

export interface RigOptions {
  readonly settings?: Partial<BrokerSettings>
  readonly overload?: Partial<OverloadSettings>
  readonly heap?: Heap
  readonly hooks?: Hooks
  readonly store?: DurableStore
  /** Messages of a queue that stay in memory at its front; default 256. */
  readonly windowMessages?: number
  /** Words and bytes of the outbox. */
  readonly outbox?: readonly [words: number, bytes: number]
}

export interface SessionOptions {
  readonly version?: 3 | 4 | 5
  readonly cleanStart?: boolean
  /** Seconds; 0: ends with its connection. */
  readonly expiry?: number
}

export interface MessageOptions {
  readonly qos?: QoS
  readonly retain?: boolean
  readonly publisher?: Session | undefined
  readonly topic?: Topic
  /** Seconds. */
  readonly expiry?: number
}

export class Rig {
  readonly clock = new ManualClock(1_000_000)
  readonly reactor: FakeReactor
  readonly log = new LogMemory()
  readonly counters = new Counters()
  /** What listeners threw. */
  readonly failures: unknown[] = []
  readonly events = new BrokerEvents((error) => this.failures.push(error))
  readonly context: BrokerContext
  /** Wills published so far. */
  readonly wills: [clientId: string, will: Will][] = []
  /** An authorizer that answers at once; a test may put another in its place. */
  publishWill: (done: () => void) => void = (done) => done()
  readonly #wheel: DeadlineWheel<Deadline>

  constructor(options: RigOptions = {}) {
    const { hooks = {}, store = new MemoryStore() } = options
    const settings = { ...SETTINGS, ...options.settings, overload: { ...OVERLOAD_SETTINGS, ...options.overload } }
    const { clock, counters, events, log } = this
    const reactor = new FakeReactor(...(options.outbox ?? [4096, 4096]))
    this.reactor = reactor
    const wheel = new DeadlineWheel<Deadline>(clock.now(), 1)
    this.#wheel = wheel
    const timers = {
      set: (entry: Deadline, at: number) => wheel.set(entry, at),
      cancel: (entry: Deadline) => wheel.cancel(entry),
    }
    const throttled = new ThrottledLog(log)
    const journal = new Journal({
      store,
      clock,
      limit: settings.maxUnstoredBytes,
      failed: (error) => log.error({ err: error }, 'the store failed'),
      recovered: () => log.info({}, 'the store works again'),
    })
    const { outbox, kept } = reactor
    const overload = new Overload({
      settings: settings.overload,
      counters,
      throttled,
      clock,
      timers,
      keptBytes: () => 0,
      ...(options.heap === undefined ? {} : { heap: options.heap }),
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
      pager: new Pager({ store, windowBytes: settings.queueWindow, windowMessages: options.windowMessages ?? 256 }),
      router: new Router(reactor, settings.maxTopicLevels, () => this.context),
      shortcuts: new Shortcuts(outbox, reactor.memory.decisions, settings.shortcutAfter),
      overload,
      retained: new RetainedStore({ settings, counters, throttled, journal, clock, memory: overload.memory }),
      sessions: undefined as unknown as SessionRegistry,
      wills: new Wills(timers, clock, journal, counters, (clientId, will, done) => {
        this.wills.push([clientId, will])
        this.publishWill(done)
      }),
      publication: new Publication(outbox, kept, () => clock.now()),
      tap: () => {},
      queuedBytes: (connection) => reactor.memory.queued[connection.slot]!,
      dropped: (clientId, why) =>
        throttled.warn(`dropped:${clientId}`, clock.now(), { client: clientId, reason: why }, 'message dropped'),
    }
    this.context = Object.assign(context, { sessions: new SessionRegistry(context) })
  }

  /** Lets time pass and tells every deadline that is due. */
  advance(ms: number): void {
    this.clock.advance(ms)
    this.#wheel.advance(this.clock.now(), (entry, now) => entry.handleDeadline(now))
  }

  /** Deadlines set now. */
  get deadlines(): number {
    return this.#wheel.size
  }

  /** Opens a session; not connected yet. */
  session(clientId: string, options: SessionOptions = {}): Session {
    const { version = 4, cleanStart = false, expiry = 0 } = options
    const { session } = this.context.sessions.open(clientId, version, cleanStart)
    this.context.sessions.keep(session, expiry)
    return session
  }

  /** Opens a session and gives it a connection, as CONNECT does. */
  connected(clientId: string, options: SessionOptions = {}): Session {
    const session = this.session(clientId, options)
    this.attach(session)
    return session
  }

  attach(session: Session, receiveMaximum = this.context.settings.maxInflightMessages): Connection {
    const connection = this.reactor.connection()
    session.attach(connection, receiveMaximum)
    session.pump()
    return connection
  }

  /** A client that was just accepted. */
  client(): Client {
    return new Client(this.context, this.reactor.connection())
  }

  /** Puts a PUBLISH body into the inbox and names it; for use in a turn. `publication.drop()` is the caller's. */
  inbox(topicName: string, payload: string, options: MessageOptions = {}): Publication {
    const { router, publication } = this.context
    const { qos = 0, retain = false, publisher, topic = router.topic(topicName), expiry } = options
    const name = Buffer.from(topicName)
    const body = Buffer.concat([
      Buffer.from([name.length >> 8, name.length & 255]),
      name,
      Buffer.from(qos > 0 ? [0, 1] : []),
      Buffer.from(payload),
    ])
    const offset = 64
    this.reactor.inboxBytes.set(body, offset)
    publication.fromInbox(topic, name.length, offset, body.length, offset + 2 + name.length + (qos > 0 ? 2 : 0))
    publication.qos = qos
    publication.retain = retain
    publication.publisher = publisher
    if (expiry !== undefined) publication.expiresAt = this.clock.now() + expiry * 1000
    return publication
  }

  /** One turn with one PUBLISH in it, routed. Returns whether anybody subscribed. */
  publish(topicName: string, payload: string, options: MessageOptions = {}): boolean {
    return this.reactor.turn(() => {
      const publication = this.inbox(topicName, payload, options)
      const matched = this.context.router.publish(publication)
      publication.drop()
      return matched
    })
  }

  /** One turn with Control Packets of one client in it. */
  packets(client: Client, ...packets: readonly Uint8Array[]): void {
    this.reactor.turn(() => {
      let offset = 64
      for (const packet of packets) {
        const header = headerLength(packet)
        this.reactor.inboxBytes.set(packet.subarray(header), offset)
        client.handlePacket(packet[0]!, 0, offset, packet.length - header, 0)
        offset += packet.length
      }
    })
  }
}

/** Bytes of a packet's fixed header. */
export function headerLength(packet: Uint8Array): number {
  let at = 1
  while ((packet[at]! & 0x80) !== 0) at++
  return at + 1
}
