// What a sequence of records amounts to: the sessions, wills, retained messages and references there are after the last of
// them. Compaction folds old segments into this and writes down what is left. Messages are counted, not held.

import type { JournalRecord, SessionLeft, SessionOpened, SubscriptionSet, WillSet } from '../journal-record.ts'
import { type Delivery, LiveQueue, sharedDelivery } from './live-queue.ts'

interface Inflight {
  readonly message: number
  readonly delivery: Delivery
  readonly group: string | undefined
  /** PUBREC came: the message is the receiver's, only the identifier is left. */
  received: boolean
}

interface LiveSession {
  opened: SessionOpened
  left: SessionLeft | undefined
  readonly subscriptions: Map<string, SubscriptionSet>
  readonly queue: LiveQueue
  readonly inflight: Map<number, Inflight>
  readonly inbound: Set<number>
}

const ALREADY_RECEIVED: Delivery = sharedDelivery({ qos: 2, retain: false, subscriptionIdentifiers: [] })

export class LiveState {
  /** Message → how many records refer to it. */
  readonly #references = new Map<number, number>()
  readonly #sessions = new Map<string, LiveSession>()
  readonly #wills = new Map<string, WillSet>()
  readonly #retained = new Map<string, number>()

  /** True the first time it is asked for a message that something refers to: that is when to copy it. */
  claim(message: number): boolean {
    const references = this.#references.get(message)
    if (references === undefined || references < 0) return false
    this.#references.set(message, -references)
    return true
  }

  /** What the record changes. A record about a session that does not exist changes nothing. */
  apply(record: JournalRecord): void {
    switch (record.type) {
      case 'message-stored':
        break // counts once something refers to it
      case 'retained-set':
        this.#release(this.#retained.get(record.topicName))
        this.#retained.set(record.topicName, record.message)
        this.#refer(record.message)
        break
      case 'retained-removed':
        this.#release(this.#retained.get(record.topicName))
        this.#retained.delete(record.topicName)
        break
      case 'will-set':
        this.#wills.set(record.clientId, record)
        break
      case 'will-removed':
        this.#wills.delete(record.clientId)
        break
      case 'session-opened':
        this.#opened(record)
        break
      default:
        this.#applyToSession(record)
    }
  }

  /** Everything that needs no message: sessions, subscriptions, identifiers of clients, wills. */
  *withoutMessages(): Generator<JournalRecord, void> {
    for (const [clientId, session] of this.#sessions) {
      yield session.opened
      if (session.left !== undefined) yield session.left
      yield* session.subscriptions.values()
      for (const packetId of session.inbound) yield { type: 'inbound-added', clientId, packetId }
    }
    yield* this.#wills.values()
  }

  /** Everything that refers to messages; in flight comes before the queue, each in its order. */
  *references(): Generator<JournalRecord, void> {
    for (const [clientId, { inflight, queue }] of this.#sessions) {
      for (const [packetId, { message, delivery, group, received }] of inflight) {
        if (received) yield { type: 'message-received', clientId, packetId }
        else yield { type: 'message-sent', clientId, message, packetId, ...delivery, group }
      }
      for (const [message, delivery] of queue) yield { type: 'message-queued', clientId, message, ...delivery }
    }
    for (const [topicName, message] of this.#retained) yield { type: 'retained-set', topicName, message }
  }

  #opened(record: SessionOpened): void {
    const session = this.#sessions.get(record.clientId)
    if (session !== undefined) {
      session.opened = record
      session.left = undefined
      return
    }
    this.#sessions.set(record.clientId, {
      opened: record,
      left: undefined,
      subscriptions: new Map(),
      queue: new LiveQueue(),
      inflight: new Map(),
      inbound: new Set(),
    })
  }

  #applyToSession(
    record: Exclude<
      JournalRecord,
      { type: 'message-stored' | 'retained-set' | 'retained-removed' | 'will-set' | 'will-removed' | 'session-opened' }
    >,
  ): void {
    const session = this.#sessions.get(record.clientId)
    if (session === undefined) return
    switch (record.type) {
      case 'session-left':
        session.left = record
        break
      case 'session-removed':
        this.#removeSession(record.clientId, session)
        break
      case 'subscription-set':
        session.subscriptions.set(record.topicFilter, record)
        break
      case 'subscription-removed':
        session.subscriptions.delete(record.topicFilter)
        break
      case 'message-queued':
        session.queue.push(record.message, sharedDelivery(record))
        this.#refer(record.message)
        break
      case 'message-dropped':
        if (session.queue.remove(record.message)) this.#release(record.message)
        break
      case 'message-sent': {
        const { message, packetId, group } = record
        this.#endInflight(session, packetId)
        session.inflight.set(packetId, { message, delivery: sharedDelivery(record), group, received: false })
        if (!session.queue.remove(message)) this.#refer(message)
        break
      }
      case 'message-received': {
        this.#received(session, record.packetId)
        break
      }
      case 'message-acknowledged':
        this.#endInflight(session, record.packetId)
        break
      case 'inbound-added':
        session.inbound.add(record.packetId)
        break
      case 'inbound-released':
        session.inbound.delete(record.packetId)
        break
      default:
        record satisfies never
    }
  }

  /** A checkpoint tells an identifier that was received by this record alone: there is no message to name any more. */
  #received(session: LiveSession, packetId: number): void {
    const entry = session.inflight.get(packetId)
    if (entry === undefined)
      session.inflight.set(packetId, { message: 0, delivery: ALREADY_RECEIVED, group: undefined, received: true })
    else if (!entry.received) {
      entry.received = true
      this.#release(entry.message)
    }
  }

  #endInflight(session: LiveSession, packetId: number): void {
    const entry = session.inflight.get(packetId)
    if (entry === undefined) return
    session.inflight.delete(packetId)
    if (!entry.received) this.#release(entry.message)
  }

  #removeSession(clientId: string, { queue, inflight }: LiveSession): void {
    this.#sessions.delete(clientId)
    for (const [message] of queue) this.#release(message)
    for (const { message, received } of inflight.values()) if (!received) this.#release(message)
  }

  #refer(message: number): void {
    this.#references.set(message, (this.#references.get(message) ?? 0) + 1)
  }

  #release(message: number | undefined): void {
    const references = message === undefined ? undefined : this.#references.get(message)
    if (message === undefined || references === undefined) return
    if (references === 1) this.#references.delete(message)
    else this.#references.set(message, references - 1)
  }
}
