// Store, then acknowledge. Collects what must outlive the process, commits it in batches (one under way, all that comes
// meanwhile joins the next), and says when what was collected so far is safe. With a volatile store it collects
// nothing and nobody waits.
import type { DurableStore } from '../store/durable-store.ts'
import type { JournalRecord } from '../store/journal-record.ts'
import type { Clock } from '../timers/clock.ts'
import type { Delivery, Message } from './message.ts'
import type { Session } from './session.ts'
import type { SubscriptionOptions } from './subscription.ts'
import type { Will } from './wills.ts'

/** Told when a ticket is safe, or that it never will be. */
export interface JournalWaiter {
  handleStored(ticket: number): void
  handleNotStored(ticket: number): void
}

export class Journal {
  /** Nothing outlives the process: nothing is collected, nobody waits. */
  readonly isVolatile: boolean
  readonly #store: DurableStore
  readonly #clock: Clock
  readonly #failed: (error: unknown) => void
  #batch: JournalRecord[] = []
  #appended = 0
  #appendedAtBegin = 0
  #ticket = 1
  #committing: Promise<void> | undefined
  #commitDue = false
  #waiters = new Set<JournalWaiter>()
  #nextMessage = 1

  constructor(store: DurableStore, clock: Clock, failed: (error: unknown) => void) {
    this.#store = store
    this.#clock = clock
    this.isVolatile = store.volatile
    this.#failed = failed
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
    return this.#ticket
  }

  /** Asks to be told of every ticket that becomes safe, until `forget`. */
  wait(waiter: JournalWaiter): void {
    this.#waiters.add(waiter)
  }

  forget(waiter: JournalWaiter): void {
    this.#waiters.delete(waiter)
  }

  /** Starts a commit if there is something to commit and none is under way. */
  #commit(): void {
    if (this.#committing !== undefined || this.#batch.length === 0) return
    const batch = this.#batch
    const ticket = this.#ticket
    this.#batch = []
    this.#ticket++
    this.#committing = this.#store.commit(batch).then(
      () => this.#committed(ticket),
      (error: unknown) => {
        // What was not stored is never acknowledged: the clients see no answer, the operator sees why.
        this.#committing = undefined
        this.#failed(error)
        for (const waiter of [...this.#waiters]) waiter.handleNotStored(ticket)
        this.#commit()
      },
    )
  }

  #committed(ticket: number): void {
    this.#committing = undefined
    for (const waiter of [...this.#waiters]) waiter.handleStored(ticket)
    this.#commit()
  }

  sessionOpened(session: Session): void {
    if (this.isVolatile) return
    const { clientId, version, expiryInterval } = session
    session.isRecorded = true
    this.#append({ type: 'session-opened', clientId, protocolVersion: version, expiryInterval })
  }

  sessionLeft(session: Session): void {
    if (this.isVolatile) return
    const { clientId, expiryInterval } = session
    this.#append({ type: 'session-left', clientId, at: this.#clock.wall(), expiryInterval })
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

  queued(clientId: string, delivery: Delivery): void {
    if (this.isVolatile || delivery.qos === 0) return
    const { qos, retain, subscriptionIds } = delivery
    const message = this.#number(delivery.message)
    const subscriptionIdentifiers = subscriptionIds ?? []
    this.#append({ type: 'message-queued', clientId, message, qos, retain, subscriptionIdentifiers })
  }

  queuedDropped(clientId: string, delivery: Delivery): void {
    if (this.isVolatile || delivery.qos === 0) return
    this.#append({ type: 'message-dropped', clientId, message: this.#number(delivery.message) })
  }

  sent(clientId: string, packetId: number, delivery: Delivery): void {
    if (this.isVolatile || delivery.qos === 0) return
    const { qos, retain, subscriptionIds } = delivery
    const message = this.#number(delivery.message)
    const subscriptionIdentifiers = subscriptionIds ?? []
    this.#append({ type: 'message-sent', clientId, message, packetId, qos, retain, subscriptionIdentifiers })
  }

  released(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.#append({ type: 'message-received', clientId, packetId })
  }

  acknowledged(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.#append({ type: 'message-acknowledged', clientId, packetId })
  }

  inboundAdded(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.#append({ type: 'inbound-added', clientId, packetId })
  }

  inboundReleased(clientId: string, packetId: number): void {
    if (!this.isVolatile) this.#append({ type: 'inbound-released', clientId, packetId })
  }

  retained(message: Message): void {
    if (this.isVolatile) return
    this.#append({ type: 'retained-set', topicName: message.topic, message: this.#number(message) })
  }

  retainedRemoved(topicName: string): void {
    if (!this.isVolatile) this.#append({ type: 'retained-removed', topicName })
  }

  willSet(clientId: string, will: Will, lost: boolean): void {
    if (this.isVolatile) return
    const { topic, payload, qos, retain, delay, expiry, properties } = will
    this.#append({
      type: 'will-set',
      clientId,
      topicName: topic,
      payload,
      qos,
      retain,
      delayInterval: delay,
      expiryInterval: expiry,
      properties,
      at: lost ? this.#clock.wall() : undefined,
    })
  }

  willRemoved(clientId: string): void {
    if (!this.isVolatile) this.#append({ type: 'will-removed', clientId })
  }

  /** Resolves when everything collected is committed, or the store has failed. */
  async settle(): Promise<void> {
    while (this.#committing !== undefined || this.#batch.length > 0) {
      this.#commit()
      await this.#committing
    }
  }

  /** The number a message is stored under; stores it at the first call. */
  #number(message: Message): number {
    if (message.storedAs !== 0) return message.storedAs
    message.storedAs = this.#nextMessage++
    const untilExpiry = message.expiresAt - this.#clock.now()
    this.#append({
      type: 'message-stored',
      message: message.storedAs,
      topicName: message.topic,
      payload: message.payload(),
      qos: message.qos,
      at: this.#clock.wall(),
      expiresAt: this.#clock.wall() + untilExpiry,
      properties: message.properties,
    })
    return message.storedAs
  }

  #append(record: JournalRecord): void {
    this.#appended++
    this.#batch.push(record)
    if (this.#commitDue) return
    this.#commitDue = true
    // A microtask runs when the turn's one call, or the timer or promise that brought us here, is over: the batch is
    // everything that call did, and whoever comes next (a deadline, a hook's answer) has collected nothing yet.
    queueMicrotask(() => {
      this.#commitDue = false
      this.begin()
      this.#commit()
    })
  }
}
