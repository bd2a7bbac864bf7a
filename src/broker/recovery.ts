// After a restart: what the journal says becomes sessions, queues, packets in flight, retained messages and wills again,
// before anybody can connect. Time went on meanwhile: what has expired is not put back, what waits goes on waiting for the
// rest of its time. A clock that is older than the newest record is not believed: then nothing has expired.
import type { QoS } from '../mqtt/qos.ts'
import { InboundQos2 } from '../qos/inbound-qos2.ts'
import { OutboundInflight } from '../qos/outbound-inflight.ts'
import type { DurableStore } from '../store/durable-store.ts'
import type { WillSet } from '../store/journal-record.ts'
import type { BrokerContext } from './context.ts'
import { GROUP_MARK } from './journal.ts'
import { StoredMessage } from './journal-batch.ts'
import { Delivery, Message } from './message.ts'
import { type RecoveredDelivery, type RecoveredSession, RecoveredState } from './recovered-state.ts'
import { Session } from './session.ts'
import { SessionQueue } from './session-queue.ts'
import type { Will } from './wills.ts'

/** What was put back, for the log. */
export interface Recovered {
  readonly records: number
  readonly sessions: number
  readonly queued: number
  readonly inflight: number
  readonly retained: number
  readonly wills: number
  /** Left out: their time was over. */
  readonly expired: number
}

/** Reads the store's whole journal into a broker that is still empty; call before anybody can connect. */
export async function recover(store: DurableStore, context: BrokerContext): Promise<Recovered> {
  const state = new RecoveredState()
  for await (const record of store.recover()) state.apply(record)
  state.lastMessage = Math.max(state.lastMessage, store.newestMessage ?? 0)
  state.newest = Math.max(state.newest, store.newestWallTime ?? -Infinity)
  return new Recovery(context, state).run()
}

class Recovery {
  readonly #context: BrokerContext
  readonly #state: RecoveredState
  readonly #messages = new Map<number, Message>()
  /** Wall time and broker clock of one moment: what turns one into the other. */
  readonly #wall: number
  readonly #now: number
  readonly #counts = { sessions: 0, queued: 0, inflight: 0, retained: 0, wills: 0, expired: 0 }

  constructor(context: BrokerContext, state: RecoveredState) {
    this.#context = context
    this.#state = state
    context.journal.resume(state.lastMessage, state.newest)
    this.#now = context.clock.now()
    this.#wall = context.journal.wall()
  }

  run(): Recovered {
    const { sessions, retained, wills, records } = this.#state
    // First what is over: the messages it needed are needed in one place fewer.
    for (const [clientId, session] of sessions) if (this.#expiryOf(session) <= this.#now) this.#expire(clientId)
    // Sessions whose clients were connected come behind those whose clients had left: they leave now.
    for (const [clientId, session] of sessions) if (session.leftAt !== undefined) this.#session(clientId, session)
    for (const [clientId, session] of sessions) if (session.leftAt === undefined) this.#session(clientId, session)
    for (const [clientId, group] of sessions) if (clientId.startsWith(GROUP_MARK)) this.#group(clientId, group)
    for (const [topicName, message] of retained) this.#retain(topicName, message)
    for (const [clientId, will] of wills) this.#will(clientId, will)
    for (const message of this.#messages.values()) message.release()
    return { records, ...this.#counts }
  }

  /** When the session ends, ms of the broker's clock. */
  #expiryOf({ expiryInterval, leftAt = this.#wall }: RecoveredSession): number {
    return this.#monotonic(leftAt + Math.min(expiryInterval, this.#context.settings.sessionExpiry) * 1000)
  }

  #expire(clientId: string): void {
    if (clientId.startsWith(GROUP_MARK)) return
    this.#state.apply({ type: 'session-removed', clientId })
    this.#context.journal.sessionRemoved(clientId)
    this.#context.counters.sessionsExpired++
    this.#counts.expired++
  }

  #session(clientId: string, recovered: RecoveredSession): void {
    if (clientId.startsWith(GROUP_MARK)) return
    const { journal, sessions, settings } = this.#context
    const expiryInterval = Math.min(recovered.expiryInterval, settings.sessionExpiry)
    const session = new Session(this.#context, clientId, recovered.protocolVersion)
    session.expiryInterval = expiryInterval
    for (const { topicFilter, ...options } of recovered.subscriptions.values()) {
      const { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier: subscriptionId } = options
      session.subscribe(topicFilter, { qos, noLocal, retainAsPublished, subscriptionId }, retainHandling)
    }
    // Not before: what the journal says already it need not be told again.
    session.isStored = !journal.isVolatile
    this.#inflight(session, recovered)
    this.#queue(session, recovered)
    if (recovered.inbound.size > 0) {
      session.inbound = new InboundQos2(65535)
      for (const packetId of recovered.inbound) session.inbound.add(packetId)
    }
    sessions.restore(session, this.#expiryOf(recovered))
    // Its clock runs from here, also if we crash again before it is back.
    if (recovered.leftAt === undefined) journal.sessionLeft(session, this.#wall)
    this.#counts.sessions++
  }

  #inflight(session: Session, { inflight }: RecoveredSession): void {
    if (inflight.size === 0) return
    session.inflight = new OutboundInflight<Delivery>()
    for (const [packetId, entry] of inflight) {
      const delivery = entry.isReleased ? undefined : this.#delivery(entry)
      session.inflight.restore(packetId, entry.qos, entry.isReleased ? 'released' : 'published', delivery)
      this.#counts.inflight++
    }
  }

  #queue(session: Session, { queue }: RecoveredSession): void {
    const { counters, journal } = this.#context
    const restored = new SessionQueue(this.#context, session)
    for (const entry of queue) {
      const delivery = this.#delivery(entry)
      if (delivery === undefined) continue
      const { size, expiresAt } = delivery.message
      const isExpired = expiresAt <= this.#now
      if (isExpired || !restored.push(delivery, size)) {
        if (isExpired) counters.droppedExpired++
        else counters.droppedQueueFull++ // the limit was lowered
        this.#counts.expired += isExpired ? 1 : 0
        journal.queuedDropped(session.clientId, delivery)
        delivery.message.release()
        continue
      }
      counters.messagesQueued++
      counters.bytesQueued += size
      this.#counts.queued++
    }
    if (restored.size > 0) session.queue = restored
  }

  /** What waited for a shared group; nobody's, if all its members are gone. */
  #group(clientId: string, { queue }: RecoveredSession): void {
    const { journal, router } = this.#context
    const name = clientId.slice(GROUP_MARK.length)
    const group = router.sharedGroup(name)
    if (group === undefined) {
      const waiting = [...queue].flatMap((entry) => this.#message(entry.message, entry.retain)?.hold() ?? [])
      journal.groupRemoved(name, waiting)
      for (const message of waiting) message.release()
      return
    }
    group.restored()
    for (const entry of queue) {
      const message = this.#message(entry.message, entry.retain)?.hold()
      if (message === undefined) continue
      if (message.expiresAt > this.#now) {
        group.restore(message)
        this.#counts.queued++
        continue
      }
      journal.groupTaken(name, message)
      message.release()
      this.#context.counters.droppedExpired++
      this.#counts.expired++
    }
  }

  #retain(topicName: string, number: number): void {
    const message = this.#message(number, true)
    if (message === undefined) return
    const { retained } = this.#context
    retained.restore(message.hold())
    this.#counts.retained++
    if (message.expiresAt > this.#now) return
    retained.expire(retained.get(topicName)!)
    this.#counts.retained--
    this.#counts.expired++
  }

  /**
   * A will whose delay ran goes on, and is due at the end of its session at the latest. That of a client which was
   * connected waits for it: for the delay, or for the time that any client has to come back.
   */
  #will(clientId: string, record: WillSet): void {
    const { settings, sessions, wills } = this.#context
    const session = sessions.get(clientId)
    const { at = this.#wall, delayInterval } = record
    const delay = Math.min(delayInterval, session === undefined ? 0 : session.expiryInterval) * 1000
    const due = record.at === undefined ? Math.max(delay, settings.willGracePeriod) : delay
    const will: Will = {
      client: {
        clientId,
        username: undefined,
        remoteAddress: '',
        protocolVersion: session?.version ?? 4,
      },
      topic: record.topicName,
      payload: record.payload,
      qos: record.qos,
      retain: record.retain,
      properties: record.properties,
      delay: delayInterval,
      expiry: record.expiryInterval,
    }
    wills.restore(clientId, will, this.#monotonic(at + due))
    this.#counts.wills++
  }

  #delivery({ message: number, qos, retain, subscriptionIdentifiers }: RecoveredDelivery): Delivery | undefined {
    const message = this.#message(number, retain)
    if (message === undefined) return undefined
    const ids = subscriptionIdentifiers.length === 0 ? undefined : subscriptionIdentifiers
    const delivery = new Delivery(message.hold(), qos, retain, ids)
    delivery.recordedIn = RECOVERED
    return delivery
  }

  /** The message of that number, made once. */
  #message(number: number, retain: boolean): Message | undefined {
    const known = this.#messages.get(number)
    if (known !== undefined) return known
    const record = this.#state.message(number)
    if (record === undefined) return undefined
    const { kept } = this.#context
    const name = Buffer.from(record.topicName)
    const bytes = Buffer.allocUnsafe(2 + name.length + record.payload.length)
    bytes.writeUInt16BE(name.length, 0)
    bytes.set(name, 2)
    bytes.set(record.payload, 2 + name.length)
    const message = new Message(kept, kept.keepBytes(bytes, 2 + name.length), {
      topic: record.topicName,
      qos: record.qos as QoS,
      retain,
      size: bytes.length,
      payloadLength: record.payload.length,
      properties: record.properties,
      expiresAt: this.#monotonic(record.expiresAt),
    })
    message.stored = new StoredMessage(message, number, RECOVERED, 0)
    message.stored.references = this.#state.referencesOf(number)
    this.#messages.set(number, message.hold()) // until everything is put back
    return message
  }

  /** A wall time as a time of the broker's clock; Infinity stays. */
  #monotonic(wall: number): number {
    return wall - this.#wall + this.#now
  }
}

/** Stands for the batch of all that was recovered: none that will be open again. */
const RECOVERED = -1
