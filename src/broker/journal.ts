// Store, then acknowledge. Collects what must outlive the process, commits it in batches (one under way, all that comes
// meanwhile joins the next), and says when what was collected so far is safe. With a volatile store it collects
// nothing and nobody waits. What a failing store refused stays with it, to be stored before anything newer; meanwhile
// nothing more is handed over.
import type { DurableStore } from '../store/durable-store.ts'
import type { JournalRecord } from '../store/journal-record.ts'
import type { Clock } from '../timers/clock.ts'
import { JournalBatch, type StoredMessage } from './journal-batch.ts'
import type { Delivery, Message } from './message.ts'
import type { Session } from './session.ts'
import type { SubscriptionOptions } from './subscription.ts'
import type { Will } from './wills.ts'

/** Told when a ticket is safe. */
export interface JournalWaiter {
  handleStored(ticket: number): void
}

export interface JournalParts {
  readonly store: DurableStore
  readonly clock: Clock
  /** Bytes that may wait for the store before publishers do. */
  readonly limit: number
  /** The store refused a batch; `retry` asks whether it works again. */
  failed(error: unknown): void
  /** After failures the store took everything again. */
  recovered(): void
}

/** Names a shared group in the records: no Client Identifier contains U+0000 [MQTT-1.5.4-2]. */
export const GROUP_MARK = '\0'

export class Journal {
  /** Nothing outlives the process: nothing is collected, nobody waits. */
  readonly isVolatile: boolean
  readonly #parts: JournalParts
  #batch = new JournalBatch(1)
  #appended = 0
  #appendedAtBegin = 0
  #committing: Promise<void> | undefined
  #isScheduled = false
  #waiters = new Set<JournalWaiter>()
  #forRoom: (() => void)[] = []
  #nextMessage = 1
  #newest = { wall: -Infinity, now: 0 }
  /** The store refused the last batch. */
  isFailing = false
  /** Batches the store has taken. */
  commits = 0

  constructor(parts: JournalParts) {
    this.#parts = parts
    this.isVolatile = parts.store.volatile
  }

  /**
   * Goes on behind what was recovered: message numbers after `lastMessage`, and a wall clock that is never older than
   * `newest`, the time of the newest record (a board without a battery starts in 1970).
   */
  resume(lastMessage: number, newest: number): void {
    this.#nextMessage = lastMessage + 1
    this.#newest = { wall: newest, now: this.#parts.clock.now() }
  }

  /** Wall time for records, ms. */
  wall(): number {
    const { clock } = this.#parts
    return Math.max(clock.wall(), this.#newest.wall + clock.now() - this.#newest.now)
  }

  /** The handling of a packet begins: what it appends, its answer must wait for. */
  begin(): void {
    this.#appendedAtBegin = this.#appended
  }

  /** Whether anything was collected since `begin`, in this call into JavaScript. */
  get mustWait(): boolean {
    return this.#appended !== this.#appendedAtBegin
  }

  /** The ticket that will be told as stored once everything collected up to now is safe. */
  get openTicket(): number {
    return this.#batch.ticket
  }

  /** The store fails, or has hardly any space left: nothing is taken that it would have to keep. */
  get takesNothingNew(): boolean {
    return this.isFailing || this.isShort
  }

  /** The store takes what it is given, but its space is nearly used up. */
  get isShort(): boolean {
    return this.#parts.store.shortage !== undefined
  }

  /** Whether more must not be collected for now: the store is behind, fails, or is nearly full. */
  get isBlocked(): boolean {
    return this.takesNothingNew || this.#batch.bytes >= this.#parts.limit
  }

  /** Resolves when it may have changed that more must not be collected. */
  room(): Promise<void> {
    return new Promise((resolve) => this.#forRoom.push(resolve))
  }

  /** Asks to be told of every ticket that becomes safe, until `forget`. */
  wait(waiter: JournalWaiter): void {
    this.#waiters.add(waiter)
  }

  forget(waiter: JournalWaiter): void {
    this.#waiters.delete(waiter)
  }

  /** The store failed a while ago: asks whether it works again. */
  retry(): void {
    if (this.#forRoom.length > 0 && !this.isBlocked) this.#tellRoom() // space was short, and is no longer
    // An empty batch stands behind what was refused, so when it is stored all that is too.
    if (this.isFailing) this.#handOver([], this.#batch.ticket - 1)
  }

  /** Starts a commit if there is something to commit and none is under way. */
  #commit(): void {
    if (this.isFailing || this.#batch.isEmpty) return
    if (this.#committing !== undefined) return
    const batch = this.#batch
    this.#batch = new JournalBatch(batch.ticket + 1)
    const records = batch.finish((stored) => this.#messageRecord(stored))
    this.#handOver(records, batch.ticket)
    this.#tellRoom()
  }

  #handOver(records: JournalRecord[], ticket: number): void {
    this.#committing ??= this.#parts.store.commit(records).then(
      () => this.#committed(ticket),
      (error: unknown) => this.#failed(error),
    )
  }

  #committed(ticket: number): void {
    this.#committing = undefined
    this.commits++
    if (this.isFailing) {
      this.isFailing = false
      this.#parts.recovered()
      this.#tellRoom()
    }
    for (const waiter of [...this.#waiters]) waiter.handleStored(ticket)
    this.#commit()
  }

  /** What was not stored is never acknowledged. */
  #failed(error: unknown): void {
    this.#committing = undefined
    this.isFailing = true
    // Those who stand still for want of room must look again: some of them are refused now.
    this.#tellRoom()
    this.#parts.failed(error)
  }

  #tellRoom(): void {
    const waiting = this.#forRoom
    this.#forRoom = []
    for (const resolve of waiting) resolve()
  }

  // ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

  sessionOpened(session: Session): void {
    if (this.isVolatile) return
    const { clientId, version, expiryInterval } = session
    this.#append({ type: 'session-opened', clientId, protocolVersion: version, expiryInterval })
  }

  sessionLeft(session: Session, at = this.wall()): void {
    if (this.isVolatile) return
    const { clientId, expiryInterval } = session
    this.#append({ type: 'session-left', clientId, at, expiryInterval })
  }

  sessionRemoved(clientId: string): void {
    if (!this.isVolatile) this.#append({ type: 'session-removed', clientId })
  }

  subscribed(clientId: string, topicFilter: string, options: SubscriptionOptions, retainHandling: 0 | 1 | 2): void {
    if (this.isVolatile) return
    const { qos, noLocal, retainAsPublished, subscriptionId: subscriptionIdentifier } = options
    const type = 'subscription-set'
    this.#append({
      type,
      clientId,
      topicFilter,
      qos,
      noLocal,
      retainAsPublished,
      retainHandling,
      subscriptionIdentifier,
    })
  }

  unsubscribed(clientId: string, topicFilter: string): void {
    if (!this.isVolatile) this.#append({ type: 'subscription-removed', clientId, topicFilter })
  }

  // ── messages on their way to a session ───────────────────────────────────────────────────────────────────────────

  /** Appended to the session's queue. */
  queued(clientId: string, delivery: Delivery): void {
    const { qos, retain, subscriptionIds } = delivery
    if (this.isVolatile || qos === 0) return
    const stored = this.#stored(delivery.message)
    const subscriptionIdentifiers = subscriptionIds ?? []
    this.#addFor(stored, delivery, {
      type: 'message-queued',
      clientId,
      message: stored.number,
      qos,
      retain,
      subscriptionIdentifiers,
    })
    stored.references++
  }

  /** Left the session's queue unsent. */
  queuedDropped(clientId: string, delivery: Delivery): void {
    const { stored } = delivery.message
    if (this.isVolatile || delivery.qos === 0 || stored === undefined) return
    if (delivery.recordedIn === this.#batch.ticket) this.#takeBack(stored, delivery.recordedAt)
    else this.#append({ type: 'message-dropped', clientId, message: stored.number })
    this.#dereference(stored)
  }

  /** Sent under a packet identifier, from the queue or directly. */
  sent(clientId: string, packetId: number, delivery: Delivery): void {
    const { qos, retain, subscriptionIds } = delivery
    if (this.isVolatile || qos === 0) return
    const stored = this.#stored(delivery.message)
    if (delivery.recordedIn === 0) stored.references++
    delivery.queuedIn = delivery.recordedIn
    delivery.queuedAt = delivery.recordedAt
    const subscriptionIdentifiers = subscriptionIds ?? []
    this.#addFor(stored, delivery, {
      type: 'message-sent',
      clientId,
      message: stored.number,
      packetId,
      qos,
      retain,
      subscriptionIdentifiers,
    })
  }

  /** PUBREC came. */
  received(clientId: string, packetId: number, delivery: Delivery): void {
    if (this.isVolatile) return
    this.#append({ type: 'message-received', clientId, packetId })
    this.#dereference(delivery.message.stored)
  }

  /** The identifier is free. `delivery` is absent after PUBREC, which took the message already. */
  acknowledged(clientId: string, packetId: number, delivery: Delivery | undefined): void {
    if (this.isVolatile) return
    const stored = delivery?.message.stored
    const mayVanish = stored !== undefined && delivery!.qos === 1 && !stored.wasShared
    if (mayVanish && delivery!.recordedIn === this.#batch.ticket) {
      this.#takeBackSent(clientId, stored, delivery!)
    } else {
      this.#append({ type: 'message-acknowledged', clientId, packetId })
    }
    this.#dereference(stored)
  }

  /** The session ended, and one message it held with it; its own record tells of all. */
  forgotten(delivery: Delivery): void {
    if (delivery.recordedIn === 0) return
    delivery.recordedIn = 0
    this.#dereference(delivery.message.stored)
  }

  // ── shared groups: a session each, without a client ──────────────────────────────────────────────────────────────

  groupOpened(name: string): void {
    if (this.isVolatile) return
    const clientId = GROUP_MARK + name
    this.#append({ type: 'session-opened', clientId, protocolVersion: 5, expiryInterval: Infinity })
  }

  groupQueued(name: string, message: Message): void {
    const { qos, retain } = message
    if (this.isVolatile || qos === 0) return
    const stored = this.#stored(message)
    stored.records++
    stored.references++
    stored.wasShared = true
    const clientId = GROUP_MARK + name
    const subscriptionIdentifiers: readonly number[] = []
    this.#append({ type: 'message-queued', clientId, message: stored.number, qos, retain, subscriptionIdentifiers })
  }

  groupTaken(name: string, message: Message): void {
    if (this.isVolatile || message.stored === undefined) return
    this.#append({ type: 'message-dropped', clientId: GROUP_MARK + name, message: message.stored.number })
    this.#dereference(message.stored)
  }

  /** The group ended, with what waited there. */
  groupRemoved(name: string, waiting: Iterable<Message>): void {
    if (this.isVolatile) return
    this.sessionRemoved(GROUP_MARK + name)
    for (const { stored } of waiting) this.#dereference(stored)
  }

  // ── messages on their way from a client ──────────────────────────────────────────────────────────────────────────

  inboundAdded(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.#append({ type: 'inbound-added', clientId, packetId })
  }

  inboundReleased(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.#append({ type: 'inbound-released', clientId, packetId })
  }

  // ── retained messages and wills ──────────────────────────────────────────────────────────────────────────────────

  retained(message: Message): void {
    if (this.isVolatile) return
    const stored = this.#stored(message)
    stored.records++
    stored.references++
    this.#append({ type: 'retained-set', topicName: message.topic, message: stored.number })
  }

  /** Another message took its place. */
  retainedReplaced(message: Message): void {
    this.#dereference(message.stored)
  }

  retainedRemoved(message: Message): void {
    if (this.isVolatile) return
    this.#append({ type: 'retained-removed', topicName: message.topic })
    this.#dereference(message.stored)
  }

  willSet(clientId: string, will: Will, lost: boolean): void {
    if (this.isVolatile) return
    const { topic, payload, qos, retain, delay, expiry, properties } = will
    this.#appendWill({
      type: 'will-set',
      clientId,
      topicName: topic,
      payload,
      qos,
      retain,
      delayInterval: delay,
      expiryInterval: expiry,
      properties,
      at: lost ? this.wall() : undefined,
    })
  }

  willRemoved(clientId: string): void {
    if (!this.isVolatile) this.#appendWill({ type: 'will-removed', clientId })
  }

  // ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * What an answer that waits for nothing but this QoS 1 message may be told of: that all its receivers have acknowledged
   * it before it was stored. Undefined when the answer must wait for the store.
   */
  onlyMessage(message: Message | undefined): StoredMessage | undefined {
    const stored = message?.stored
    if (stored === undefined || stored.batch !== this.#batch.ticket) return undefined
    // The message and the records that name it, all appended since `begin`.
    return this.#appended - this.#appendedAtBegin === 1 + stored.records ? stored : undefined
  }

  /** Resolves when everything collected is committed, or the store has failed. */
  async settle(): Promise<void> {
    while (this.#committing !== undefined || !this.#batch.isEmpty) {
      if (this.isFailing) this.retry()
      else this.#commit()
      await this.#committing
      if (this.isFailing) return
    }
  }

  // ── inner workings ───────────────────────────────────────────────────────────────────────────────────────────────

  /** What is known of the message; the first place that needs it has it stored. */
  #stored(message: Message): StoredMessage {
    if (message.stored !== undefined) return message.stored
    message.stored = this.#batch.addMessage(message, this.#nextMessage++)
    this.#collected()
    return message.stored
  }

  #messageRecord({ message, number }: StoredMessage): JournalRecord {
    const { topic: topicName, qos, properties, expiresAt } = message
    const at = this.wall()
    const payload = message.payload()
    const until = at + expiresAt - this.#parts.clock.now()
    return { type: 'message-stored', message: number, topicName, payload, qos, at, expiresAt: until, properties }
  }

  #addFor(stored: StoredMessage, delivery: Delivery, record: JournalRecord): void {
    if (stored.batch === this.#batch.ticket) stored.records++
    delivery.recordedIn = this.#batch.ticket
    delivery.recordedAt = this.#append(record)
  }

  /** It was sent and acknowledged within the open batch: as if it had never been sent, nor queued if that was here too. */
  #takeBackSent(clientId: string, stored: StoredMessage, delivery: Delivery): void {
    const { queuedIn, queuedAt, recordedAt } = delivery
    if (queuedIn !== 0 && queuedIn !== this.#batch.ticket) {
      this.#batch.replace(recordedAt, { type: 'message-dropped', clientId, message: stored.number })
      return
    }
    this.#takeBack(stored, recordedAt)
    if (queuedIn !== 0) this.#takeBack(stored, queuedAt)
  }

  /** Takes a record that names the message out of the open batch. */
  #takeBack(stored: StoredMessage, at: number): void {
    this.#batch.takeBack(at)
    if (stored.batch === this.#batch.ticket) stored.records--
  }

  /** One place needs the message no more; with the last one the journal forgets its number. */
  #dereference(stored: StoredMessage | undefined): void {
    if (stored === undefined || --stored.references > 0) return
    const { message, waiting } = stored
    message.stored = undefined
    if (stored.batch !== this.#batch.ticket || stored.records > 0) return
    this.#batch.takeBackMessage(stored)
    waiting?.releaseEarly()
  }

  #append(record: JournalRecord): number {
    const at = this.#batch.add(record)
    this.#collected()
    return at
  }

  #appendWill(record: JournalRecord & { clientId: string }): void {
    this.#batch.addWill(record.clientId, record)
    this.#collected()
  }

  #collected(): void {
    this.#appended++
    if (this.#isScheduled) return
    this.#isScheduled = true
    // A microtask runs when the turn's one call, or the timer or promise that brought us here, is over: the batch is
    // everything that call did, and whoever comes next (a deadline, a hook's answer) has collected nothing yet.
    queueMicrotask(() => {
      this.#isScheduled = false
      this.begin()
      this.#commit()
    })
  }
}
