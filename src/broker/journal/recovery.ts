// After a restart: what the journal says becomes sessions, queues, packets in flight, retained messages and wills again,
// before anybody can connect. Time went on meanwhile: what has expired is not put back, what waits goes on waiting for the
// rest of its time. A clock that is older than the newest record is not believed: then nothing has expired.
import { InboundQos2 } from '../../qos/inbound-qos2.ts'
import { OutboundInflight } from '../../qos/outbound-inflight.ts'
import type { DurableStore } from '../../store/durable-store.ts'
import type { MessageStored, WillSet } from '../../store/journal-record.ts'
import type { BrokerContext } from '../context.ts'
import { Delivery, type Message } from '../message.ts'
import type { SharedGroup } from '../routing/shared-subscriptions.ts'
import { Session } from '../sessions/session.ts'
import { SessionQueue } from '../sessions/session-queue.ts'
import type { WaitingQueue } from '../sessions/waiting-queue.ts'
import type { Will } from '../wills.ts'
import { GROUP_MARK } from './journal.ts'
import { RECOVERED, StoredMessage } from './journal-batch.ts'
import { messageOf } from './message-of-record.ts'
import type { RecoveredDelivery } from './recovered-queue.ts'
import { type Bodies, type RecoveredInflight, type RecoveredSession, RecoveredState } from './recovered-state.ts'

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

/** Bytes of messages kept while replaying that nothing refers to yet. */
const UNCLAIMED_BYTES = 64 << 20

/**
 * Reads the store's whole journal into a broker that is still empty; call before anybody can connect. Payloads that stand
 * far back in long queues stay on disk if the store reads back.
 */
export async function recover(store: DurableStore, context: BrokerContext): Promise<Recovered> {
  const { isActive, windowMessages: messages, windowBytes: bytes } = context.pager
  // Payloads go where they will stay, outside V8's heap: a million of them on it would be collected again and again.
  const bodies: Bodies<Message> = {
    keep: (record) => messageOf(context.kept, record).hold(),
    release: (message) => message.release(),
  }
  const window = isActive ? { messages, bytes, unclaimed: UNCLAIMED_BYTES } : undefined
  const state = new RecoveredState(bodies, window)
  for await (const record of store.recover({ borrows: true })) state.apply(record)
  state.lastMessage = Math.max(state.lastMessage, store.newestMessage ?? 0)
  state.newest = Math.max(state.newest, store.newestWallTime ?? -Infinity)
  const recovery = new Recovery(context, state)
  await recovery.fetch(store)
  return recovery.run()
}

/** Messages asked for in one read. */
const FETCHED_AT_ONCE = 1024
/** ms. */
const TELL_EVERY = 1000

class Recovery {
  readonly #context: BrokerContext
  readonly #state: RecoveredState<Message>
  /** Wall time and broker clock of one moment: what turns one into the other. */
  readonly #wall: number
  readonly #now: number
  #toldAt = performance.now()
  readonly #counts = { sessions: 0, queued: 0, inflight: 0, retained: 0, wills: 0, expired: 0 }

  constructor(context: BrokerContext, state: RecoveredState<Message>) {
    this.#context = context
    this.#state = state
    context.journal.resume(state.lastMessage, state.newest)
    this.#now = context.clock.now()
    this.#wall = context.journal.wall()
  }

  /** Brings into memory what was left on disk while replaying and is needed there now. */
  async fetch(store: DurableStore): Promise<void> {
    const missing = this.#missing()
    for (let from = 0; from < missing.length; from += FETCHED_AT_ONCE) {
      const numbers = missing.slice(from, from + FETCHED_AT_ONCE)
      for (const record of await this.#read(store, numbers))
        if (record !== undefined) this.#state.known(record.message)!.body = messageOf(this.#context.kept, record).hold()
      this.#tell('read again', from, missing.length)
    }
  }

  /** What cannot be read a second time is said and left out: a damaged store never keeps the broker from starting. */
  async #read(store: DurableStore, numbers: readonly number[]): Promise<(MessageStored | undefined)[]> {
    try {
      return await store.readMessages!(numbers)
    } catch (error) {
      this.#context.log.error(
        { err: error, messages: numbers.length },
        'messages cannot be read from the store: left out',
      )
      return []
    }
  }

  /** How far it is, once a second. */
  #tell(what: string, done: number, total: number): void {
    if (performance.now() < this.#toldAt + TELL_EVERY) return
    this.#toldAt = performance.now()
    this.#context.log.info({ percent: Math.floor((done / total) * 100), [what]: done }, 'recovering')
  }

  /** Numbers of messages needed in memory whose payloads are on disk, ascending. */
  #missing(): number[] {
    const missing = new Set<number>()
    const need = (number: number): void => {
      const known = this.#state.known(number)
      if (known !== undefined && known.body === undefined) missing.add(number)
    }
    const { windowMessages, windowBytes } = this.#context.pager
    for (const { queue, inflight } of this.#state.sessions.values()) {
      for (const { message, isReleased } of inflight.values()) if (!isReleased) need(message)
      let messages = 0
      let bytes = 0
      for (const { message } of queue) {
        if (messages >= windowMessages || bytes >= windowBytes) break
        const known = this.#state.known(message)
        if (known === undefined || this.#monotonic(known.expiresAt) <= this.#now) continue
        messages++
        bytes += known.size
        need(message)
      }
    }
    for (const message of this.#state.retained.values()) need(message)
    return [...missing].sort((one, other) => one - other)
  }

  run(): Recovered {
    const { sessions, retained, wills, records } = this.#state
    // First what is over: the messages it needed are needed in one place fewer.
    for (const [clientId, session] of sessions) if (this.#expiryOf(session) <= this.#now) this.#expire(clientId)
    // Sessions whose clients were connected come behind those whose clients had left: they leave now.
    for (const [clientId, session] of sessions) if (session.leftAt !== undefined) this.#session(clientId, session)
    for (const [clientId, session] of sessions) if (session.leftAt === undefined) this.#session(clientId, session)
    for (const [clientId, group] of sessions) if (clientId.startsWith(GROUP_MARK)) this.#group(clientId, group)
    this.#returnToGroups()
    let done = 0
    for (const [topicName, message] of retained) {
      this.#retain(topicName, message)
      if (++done % 1024 === 0) this.#tell('retained', done, retained.size)
    }
    for (const [clientId, will] of wills) this.#will(clientId, will)
    // Until now each was held for the replay; what nobody took goes.
    for (const { body } of this.#state.messages()) body?.release()
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
    const queue = new SessionQueue(this.#context, session)
    this.#fill(queue, recovered, true)
    if (queue.size > 0) session.queue = queue
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

  /** `isLimited`: what is over the limits, which may have been lowered, is dropped. */
  #fill(restored: WaitingQueue, { queue }: RecoveredSession, isLimited: boolean): void {
    const { counters, journal, pager } = this.#context
    for (const entry of queue) {
      const known = this.#state.known(entry.message)
      if (known === undefined) continue
      const { size } = known
      const expiresAt = this.#monotonic(known.expiresAt)
      const isExpired = expiresAt <= this.#now
      if (isExpired || (isLimited && !restored.fits(size))) {
        if (isExpired) counters.droppedExpired++
        else counters.droppedQueueFull++
        restored.countDropped(isExpired ? 'expired' : 'queueFull')
        this.#counts.expired += isExpired ? 1 : 0
        journal.pagedDropped(restored.recordName, entry.message)
        this.#leave(entry.message)
        continue
      }
      this.#counts.queued++
      const delivery = pager.isActive && restored.isWindowFull ? undefined : this.#delivery(entry)
      if (delivery === undefined) {
        const { message: number, qos, retain, subscriptionIdentifiers } = entry
        const subscriptionIds = subscriptionIdentifiers.length === 0 ? undefined : subscriptionIdentifiers
        restored.restorePaged({ number, qos, retain, size, expiresAt, subscriptionIds })
        this.#leave(number)
      } else restored.restore(delivery)
    }
  }

  /** What waited for a shared group; nobody's, if all its members are gone. */
  #group(clientId: string, recovered: RecoveredSession): void {
    const { journal, router } = this.#context
    const name = clientId.slice(GROUP_MARK.length)
    const group = router.sharedGroup(name)
    if (group === undefined) {
      journal.groupRemoved(name, [])
      for (const { message } of recovered.queue) this.#leave(message)
      return
    }
    // What had come back to it from its members was over its limits before, too.
    group.restored((queue) => this.#fill(queue, recovered, false))
  }

  /**
   * QoS 1 messages of shared groups that were on their way to a member at the crash go back to their group, as they do when
   * a member's connection ends [MQTT-4.8.2-4]: its client may never come back.
   */
  #returnToGroups(): void {
    const returned: { session: Session; packetId: number; group: SharedGroup; entry: RecoveredInflight }[] = []
    for (const [clientId, { inflight }] of this.#state.sessions) {
      const session = this.#context.sessions.get(clientId)
      for (const [packetId, entry] of inflight) {
        if (session === undefined || entry.group === undefined || entry.qos !== 1) continue
        const group = this.#context.router.sharedGroup(entry.group.slice(GROUP_MARK.length))
        if (group !== undefined) returned.push({ session, packetId, group, entry })
      }
    }
    returned.sort((one, other) => one.entry.message - other.entry.message)
    for (const { session, packetId, group } of returned) {
      const delivery = session.inflight!.puback(packetId)
      if (!(delivery instanceof Delivery)) continue
      group.takeBack(delivery.message)
      this.#context.journal.acknowledged(session.clientId, packetId, delivery)
      this.#counts.inflight--
      this.#counts.queued++
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
        username: record.username,
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

  /** One place needs the message no more, or not in memory. */
  #leave(number: number): void {
    const stored = this.#state.message(number)?.stored
    if (stored !== undefined) stored.references--
    this.#state.leave(number)
  }

  /** The message of that number, told once what the records of others say of it. */
  #message(number: number, retain: boolean): Message | undefined {
    const known = this.#state.known(number)
    const message = known?.body
    if (known === undefined || message === undefined || message.stored !== undefined) return message
    message.restored(retain, this.#monotonic(known.expiresAt))
    message.stored = new StoredMessage(message, number, RECOVERED, 0)
    message.stored.references = known.references
    return message
  }

  /** A wall time as a time of the broker's clock; Infinity stays. */
  #monotonic(wall: number): number {
    return wall - this.#wall + this.#now
  }
}
