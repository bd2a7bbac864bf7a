// The messages that wait for one session, oldest first. Owns what enters (within the limits, or at the cost of the oldest),
// what leaves unsent (expired, dropped, ended), and the counters and records of both; holds a reference on each message.
// Exists only while something waits.
import type { QoS } from '../mqtt/qos.ts'
import { MessageQueue } from '../qos/message-queue.ts'
import type { BrokerContext } from './context.ts'
import { Delivery } from './message.ts'
import type { Publication } from './publication.ts'
import type { Session } from './session.ts'

export class SessionQueue extends MessageQueue<Delivery> {
  readonly #context: BrokerContext
  readonly #session: Session

  constructor(context: BrokerContext, session: Session) {
    super(context.queueLimits)
    this.#context = context
    this.#session = session
  }

  /** Appends a publication, or drops it for want of room. */
  add(publication: Publication, qos: QoS, retain: boolean, ids: readonly number[] | undefined): void {
    const { counters, journal } = this.#context
    const size = 2 + publication.topicLength + publication.payloadLength
    if (!this.#hasRoom(size)) return
    const delivery = new Delivery(publication.keep().hold(), qos, retain, ids)
    this.push(delivery, size)
    counters.messagesQueued++
    counters.bytesQueued += size
    if (this.#session.isStored) journal.queued(this.#session.clientId, delivery)
  }

  /** Takes the oldest, with the reference on its message. */
  take(): Delivery | undefined {
    const delivery = this.shift()
    if (delivery !== undefined) this.#unqueued(delivery)
    return delivery
  }

  /** Gives back what has expired [MQTT-3.3.2-5]. */
  dropExpired(now: number): void {
    this.remove((delivery) => {
      if (delivery.message.expiresAt > now) return false
      this.#context.counters.droppedExpired++
      this.#drop(delivery)
      return true
    })
  }

  /** Gives back the QoS 0 messages: they waited for the connection only. */
  dropQos0(): void {
    this.remove((delivery) => {
      if (delivery.qos > 0) return false
      this.#unqueued(delivery)
      this.#context.counters.droppedSessionEnded++
      delivery.message.release()
      return true
    })
  }

  /** The session is over: gives everything back. */
  end(): void {
    for (let next = this.take(); next !== undefined; next = this.take()) {
      this.#context.counters.droppedSessionEnded++
      next.message.release()
    }
  }

  /** The store forgot the session. */
  forgetRecords(): void {
    for (const delivery of this) this.#context.journal.forgotten(delivery)
  }

  /** Whether it takes `size` bytes more; makes room if the policy is to drop the oldest, counts what is dropped. */
  #hasRoom(size: number): boolean {
    const { overload } = this.#context
    const session = this.#session
    if (!overload.memory.takesMessage(size, this.bytes)) {
      this.#context.dropped(session.clientId, 'memory')
      return false
    }
    const policy = this.#session.slowReaderPolicy
    const fits = this.makeRoom(size, policy === 'drop_oldest' ? (victim) => this.#droppedFull(victim) : undefined)
    if (fits) return true
    this.#droppedFull(undefined) // the newest: what was accepted first is delivered first
    session.owner?.tooSlow()
    return false
  }

  /** It was full: the oldest message has been taken out of it, or (undefined) the newest never got in. */
  #droppedFull(oldest: Delivery | undefined): void {
    this.#context.counters.droppedQueueFull++
    this.#context.dropped(this.#session.clientId, 'queue full')
    if (oldest !== undefined) this.#drop(oldest)
  }

  /** One that has been taken out will not be sent. */
  #drop(delivery: Delivery): void {
    this.#unqueued(delivery)
    if (this.#session.isStored) this.#context.journal.queuedDropped(this.#session.clientId, delivery)
    delivery.message.release()
  }

  #unqueued(delivery: Delivery): void {
    this.#context.counters.messagesQueued--
    this.#context.counters.bytesQueued -= delivery.message.size
  }
}
