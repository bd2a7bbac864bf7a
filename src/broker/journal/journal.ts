// Store, then acknowledge: the words. One method for each change that must outlive the process, which becomes a record of
// the open batch, or takes back what it made unnecessary there. When batches are stored is journal-commits.ts.
import type { JournalRecord } from '../../store/journal-record.ts'
import type { Delivery, Message } from '../message.ts'
import type { SubscriptionOptions } from '../routing/subscription.ts'
import type { Session } from '../sessions/session.ts'
import type { Will } from '../wills.ts'
import type { StoredMessage } from './journal-batch.ts'
import { JournalCommits } from './journal-commits.ts'

/** Names a shared group in the records: no Client Identifier contains U+0000 [MQTT-1.5.4-2]. */
export const GROUP_MARK = '\0'

export class Journal extends JournalCommits {
  #nextMessage = 1
  #newest = { wall: -Infinity, now: 0 }

  /**
   * Goes on behind what was recovered: message numbers after `lastMessage`, and a wall clock that is never older than
   * `newest`, the time of the newest record (a board without a battery starts in 1970).
   */
  resume(lastMessage: number, newest: number): void {
    this.#nextMessage = lastMessage + 1
    this.#newest = { wall: newest, now: this.parts.clock.now() }
  }

  /** Wall time for records, ms. */
  wall(): number {
    const { clock } = this.parts
    return Math.max(clock.wall(), this.#newest.wall + clock.now() - this.#newest.now)
  }

  // ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

  sessionOpened(session: Session): void {
    if (this.isVolatile) return
    const { clientId, version, expiryInterval } = session
    this.append({ type: 'session-opened', clientId, protocolVersion: version, expiryInterval })
  }

  sessionLeft(session: Session, at = this.wall()): void {
    if (this.isVolatile) return
    const { clientId, expiryInterval } = session
    this.append({ type: 'session-left', clientId, at, expiryInterval })
  }

  sessionRemoved(clientId: string): void {
    if (!this.isVolatile) this.append({ type: 'session-removed', clientId })
  }

  subscribed(clientId: string, topicFilter: string, options: SubscriptionOptions, retainHandling: 0 | 1 | 2): void {
    if (this.isVolatile) return
    const { qos, noLocal, retainAsPublished, subscriptionId: subscriptionIdentifier } = options
    const type = 'subscription-set'
    this.append({
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
    if (!this.isVolatile) this.append({ type: 'subscription-removed', clientId, topicFilter })
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
    if (delivery.recordedIn === this.batch.ticket) this.#takeBack(stored, delivery.recordedAt)
    else this.append({ type: 'message-dropped', clientId, message: stored.number })
    this.#dereference(stored)
  }

  /** Left the session's queue unsent, never read back from disk. */
  pagedDropped(clientId: string, message: number): void {
    this.append({ type: 'message-dropped', clientId, message })
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
      group: delivery.group?.storedName,
    })
  }

  /** PUBREC came. */
  received(clientId: string, packetId: number, delivery: Delivery): void {
    if (this.isVolatile) return
    this.append({ type: 'message-received', clientId, packetId })
    this.#dereference(delivery.message.stored)
  }

  /** The identifier is free. `delivery` is absent after PUBREC, which took the message already. */
  acknowledged(clientId: string, packetId: number, delivery: Delivery | undefined): void {
    if (this.isVolatile) return
    const stored = delivery?.message.stored
    const mayVanish = stored !== undefined && delivery!.qos === 1 && !stored.wasShared
    if (mayVanish && delivery!.recordedIn === this.batch.ticket) {
      this.#takeBackSent(clientId, stored, delivery!)
    } else {
      this.append({ type: 'message-acknowledged', clientId, packetId })
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
    this.append({ type: 'session-opened', clientId, protocolVersion: 5, expiryInterval: Infinity })
  }

  /** `delivery`: the place in the group's queue, if it is in one. */
  groupQueued(name: string, message: Message, delivery?: Delivery): void {
    const { qos, retain } = message
    if (this.isVolatile || qos === 0) return
    const stored = this.#stored(message)
    stored.records++
    stored.references++
    stored.wasShared = true
    const clientId = GROUP_MARK + name
    const subscriptionIdentifiers: readonly number[] = []
    this.append({ type: 'message-queued', clientId, message: stored.number, qos, retain, subscriptionIdentifiers })
    if (delivery !== undefined) delivery.recordedIn = this.batch.ticket
  }

  groupTaken(name: string, message: Message): void {
    if (this.isVolatile || message.stored === undefined) return
    this.append({ type: 'message-dropped', clientId: GROUP_MARK + name, message: message.stored.number })
    this.#dereference(message.stored)
  }

  /** The group ended, and with it what had come back to it. */
  groupRemoved(name: string, waiting: Iterable<Message>): void {
    if (this.isVolatile) return
    this.sessionRemoved(GROUP_MARK + name)
    for (const { stored } of waiting) this.#dereference(stored)
  }

  // ── messages on their way from a client ──────────────────────────────────────────────────────────────────────────

  inboundAdded(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.append({ type: 'inbound-added', clientId, packetId })
  }

  inboundReleased(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.append({ type: 'inbound-released', clientId, packetId })
  }

  // ── retained messages and wills ──────────────────────────────────────────────────────────────────────────────────

  retained(message: Message): void {
    if (this.isVolatile) return
    const stored = this.#stored(message)
    stored.records++
    stored.references++
    this.append({ type: 'retained-set', topicName: message.topic, message: stored.number })
  }

  /** Another message took its place. */
  retainedReplaced(message: Message): void {
    this.#dereference(message.stored)
  }

  retainedRemoved(message: Message): void {
    if (this.isVolatile) return
    this.append({ type: 'retained-removed', topicName: message.topic })
    this.#dereference(message.stored)
  }

  willSet(clientId: string, will: Will, lost: boolean): void {
    if (this.isVolatile) return
    const { topic, payload, qos, retain, delay, expiry, properties, client } = will
    this.appendWill({
      type: 'will-set',
      clientId,
      topicName: topic,
      payload,
      qos,
      retain,
      delayInterval: delay,
      expiryInterval: expiry,
      properties,
      username: client.username,
      at: lost ? this.wall() : undefined,
    })
  }

  willRemoved(clientId: string): void {
    if (!this.isVolatile) this.appendWill({ type: 'will-removed', clientId })
  }

  // ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * What an answer that waits for nothing but this QoS 1 message may be told of: that all its receivers have acknowledged
   * it before it was stored. Undefined when the answer must wait for the store.
   */
  onlyMessage(message: Message | undefined): StoredMessage | undefined {
    const stored = message?.stored
    if (stored === undefined || stored.batch !== this.batch.ticket) return undefined
    // The message and the records that name it, all appended since `begin`.
    return this.appended - this.appendedAtBegin === 1 + stored.records ? stored : undefined
  }

  // ── inner workings ───────────────────────────────────────────────────────────────────────────────────────────────

  /** What is known of the message; the first place that needs it has it stored. */
  #stored(message: Message): StoredMessage {
    if (message.stored !== undefined) return message.stored
    message.stored = this.batch.addMessage(message, this.#nextMessage++)
    this.collected()
    return message.stored
  }

  protected messageRecord({ message, number }: StoredMessage): JournalRecord {
    const { topic: topicName, qos, properties, expiresAt } = message
    const at = this.wall()
    const payload = message.payload()
    const until = at + expiresAt - this.parts.clock.now()
    return { type: 'message-stored', message: number, topicName, payload, qos, at, expiresAt: until, properties }
  }

  #addFor(stored: StoredMessage, delivery: Delivery, record: JournalRecord): void {
    if (stored.batch === this.batch.ticket) stored.records++
    delivery.recordedIn = this.batch.ticket
    delivery.recordedAt = this.append(record)
  }

  /** It was sent and acknowledged within the open batch: as if it had never been sent, nor queued if that was here too. */
  #takeBackSent(clientId: string, stored: StoredMessage, delivery: Delivery): void {
    const { queuedIn, queuedAt, recordedAt } = delivery
    if (queuedIn !== 0 && queuedIn !== this.batch.ticket) {
      this.batch.replace(recordedAt, { type: 'message-dropped', clientId, message: stored.number })
      return
    }
    this.#takeBack(stored, recordedAt)
    if (queuedIn !== 0) this.#takeBack(stored, queuedAt)
  }

  /** Takes a record that names the message out of the open batch. */
  #takeBack(stored: StoredMessage, at: number): void {
    this.batch.takeBack(at)
    if (stored.batch === this.batch.ticket) stored.records--
  }

  /** One place needs the message no more; with the last one the journal forgets its number. */
  #dereference(stored: StoredMessage | undefined): void {
    if (stored === undefined || --stored.references > 0) return
    const { message, waiting } = stored
    message.stored = undefined
    if (stored.batch !== this.batch.ticket || stored.records > 0) return
    this.batch.takeBackMessage(stored)
    waiting?.releaseEarly()
  }
}
