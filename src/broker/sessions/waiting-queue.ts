// The messages that wait for one session or one shared group, oldest first. Owns what enters (within the limits, or at the
// cost of the oldest), what leaves unsent (expired, dropped, ended), and the counters and records of both; holds a reference
// on each message. A window of messages at the front is here, in memory; what a long queue has behind it is paged-queue.ts.
// Exists only while something waits. Whose it is and what that means: session-queue.ts, group-queue.ts.
import type { QoS } from '../../mqtt/qos.ts'
import { MessageQueue } from '../../qos/message-queue.ts'
import type { BrokerContext } from '../context.ts'
import { Delivery } from '../message.ts'
import type { SlowReaderPolicy } from '../overload/settings.ts'
import type { Publication } from '../publication.ts'
import type { DropReason } from './dropped-messages.ts'
import type { PagedMessage } from './page.ts'
import { PagedQueue, type PagedQueueOwner } from './paged-queue.ts'

/** `fits` has the limits, which are those of the whole queue. */
const NO_LIMITS = { count: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }

export abstract class WaitingQueue extends MessageQueue<Delivery> implements PagedQueueOwner {
  readonly #context: BrokerContext
  /** Behind what is in memory at the front. */
  #rest: PagedQueue | undefined

  constructor(context: BrokerContext) {
    super(NO_LIMITS)
    this.#context = context
  }

  /** How records name whose it is. */
  abstract readonly recordName: string
  /** How the log does. */
  protected abstract readonly name: string
  /** The store knows it: every change is recorded, and what is far back may be on disk only. */
  protected abstract readonly isStored: boolean
  protected abstract readonly slowReaderPolicy: SlowReaderPolicy
  protected abstract recordQueued(delivery: Delivery): void
  protected abstract recordDropped(delivery: Delivery): void
  /** One was dropped; the counters of the whole broker are counted here. */
  abstract countDropped(reason: DropReason): void
  /** There was no room for the newest. */
  protected abstract handleFull(): void
  /** There may be more at the front. */
  protected abstract handleMore(): void
  /** Nothing is skipped: what cannot be read now is read when somebody asks again. */
  protected abstract handleStuck(): void

  override get size(): number {
    return this.#rest === undefined ? super.size : super.size + this.#rest.size
  }

  override get bytes(): number {
    return this.#rest === undefined ? super.bytes : super.bytes + this.#rest.bytes
  }

  /** Whether some of it is on disk only. */
  get hasPages(): boolean {
    return this.#rest?.hasPages === true
  }

  /** Appends a publication, or drops it for want of room. */
  add(publication: Publication, qos: QoS, retain: boolean, ids: readonly number[] | undefined): void {
    const size = 2 + publication.topicLength + publication.payloadLength
    if (!this.#hasRoom(size)) return
    const delivery = new Delivery(publication.keep().hold(), qos, retain, ids)
    if (this.isStored) this.recordQueued(delivery)
    this.#append(delivery, size)
  }

  /** Appends a message that is in memory and recorded already: after a restart. */
  restore(delivery: Delivery): void {
    this.#append(delivery, delivery.message.size)
  }

  /** Appends a message that is on disk only; nothing in memory may follow while the broker starts. */
  restorePaged(message: PagedMessage): void {
    this.#rest ??= new PagedQueue(this.#context, this)
    this.#rest.restore(message)
    this.#context.counters.messagesQueued++
    this.#context.counters.bytesQueued += message.size
  }

  /** Whether one more message belongs on disk: the window at the front is full. */
  get isWindowFull(): boolean {
    const { pager } = this.#context
    return this.#rest !== undefined || super.bytes >= pager.windowBytes || super.size >= pager.windowMessages
  }

  /** Whether a message of so many bytes is within the limits. */
  fits(size: number): boolean {
    const { count, bytes } = this.#context.queueLimits
    return this.size < count && this.bytes + size <= bytes
  }

  /** The oldest, which stays. Undefined: nothing waits, or what does is still on disk. */
  override peek(): Delivery | undefined {
    if (super.size === 0 && this.#rest !== undefined) this.#drawNear()
    return super.peek()
  }

  /** Takes the oldest, with the reference on its message. Undefined: nothing waits, or what does is still on disk. */
  take(): Delivery | undefined {
    let delivery = this.shift()
    if (delivery === undefined && this.#rest !== undefined) {
      this.#drawNear()
      delivery = this.shift()
    }
    if (delivery !== undefined) this.#unqueued(delivery)
    return delivery
  }

  /** Has the next page read, if there is one, before the front runs dry. */
  readAhead(): void {
    const { pager } = this.#context
    if (this.hasPages && super.size <= pager.windowMessages / 2 && super.bytes <= pager.windowBytes / 2)
      this.#rest!.read()
  }

  handlePaged(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.push(delivery, delivery.message.size)
    this.handleMore()
  }

  handleUnreadable(error: unknown): void {
    const { counters, throttled, clock } = this.#context
    counters.queueReadFailures++
    const fields = { client: this.name, queued: this.size, err: error }
    throttled.warn(`unreadable:${this.name}`, clock.now(), fields, 'queued messages cannot be read from the store')
    this.handleStuck()
  }

  /** Gives back what has expired [MQTT-3.3.2-5]. */
  dropExpired(now: number): void {
    const expired = (message: PagedMessage | Delivery): void => {
      this.#context.counters.droppedExpired++
      this.countDropped('expired')
      this.#drop(message)
    }
    this.remove((delivery) => {
      if (delivery.message.expiresAt > now) return false
      expired(delivery)
      return true
    })
    this.#rest?.remove(now, (_, expiresAt) => expiresAt <= now, expired)
  }

  /** Gives back the QoS 0 messages: they waited for the connection only. */
  dropQos0(): void {
    const ended = (message: PagedMessage | Delivery): void => {
      this.#context.counters.droppedSessionEnded++
      this.#drop(message)
    }
    this.remove((delivery) => {
      if (delivery.qos > 0) return false
      ended(delivery)
      return true
    })
    this.#rest?.remove(Number.POSITIVE_INFINITY, (qos) => qos === 0, ended)
  }

  /** Whose it was is over, and its records with it: gives everything back. */
  end(): void {
    const { counters } = this.#context
    for (let next = this.#oldest(); next !== undefined; next = this.#oldest()) {
      counters.droppedSessionEnded++
      this.#unqueued(next)
      if (next instanceof Delivery) next.message.release()
    }
    this.#rest = undefined
  }

  /** The store forgot whose it was, and with that what is on disk only. */
  forgetRecords(): void {
    for (const delivery of this.inMemory()) this.#context.journal.forgotten(delivery)
  }

  /** What is in memory, oldest first; the queue must not change meanwhile. */
  *inMemory(): Generator<Delivery, void> {
    yield* this
    if (this.#rest !== undefined) yield* this.#rest.inMemory()
  }

  #append(delivery: Delivery, size: number): void {
    const { counters, pager } = this.#context
    counters.messagesQueued++
    counters.bytesQueued += size
    if (this.#rest === undefined && pager.isActive && this.isStored && this.isWindowFull)
      this.#rest = new PagedQueue(this.#context, this)
    if (this.#rest === undefined) this.push(delivery, size)
    else this.#rest.push(delivery, size)
  }

  /** The front is empty: without pages in between, the newest messages are the front from now on. */
  #drawNear(): void {
    const rest = this.#rest!
    for (let next = rest.shiftNewest(); next !== undefined; next = rest.shiftNewest())
      this.push(next, next.message.size)
    if (!rest.hasPages) this.#rest = undefined
  }

  /** Takes out the oldest message wherever it is. */
  #oldest(): PagedMessage | Delivery | undefined {
    const oldest = this.shift() ?? this.#rest?.shift()
    if (this.#rest?.size === 0) this.#rest = undefined
    return oldest
  }

  /** Whether it takes `size` bytes more; makes room if the policy is to drop the oldest, counts what is dropped. */
  #hasRoom(size: number): boolean {
    const { overload } = this.#context
    if (!overload.memory.takesMessage(size, this.bytes)) {
      this.countDropped('memory')
      this.#context.dropped(this.name, 'memory')
      return false
    }
    if (this.slowReaderPolicy === 'drop_oldest') this.#dropOldestFor(size)
    if (this.fits(size)) return true
    this.#countFull() // the newest: what was accepted first is delivered first
    this.handleFull()
    return false
  }

  /** Takes out the oldest messages until one of `size` bytes fits, unless it would not even fit an empty queue. */
  #dropOldestFor(size: number): void {
    const { count, bytes } = this.#context.queueLimits
    if (count === 0 || size > bytes) return
    while (!this.fits(size)) {
      const oldest = this.#oldest()
      if (oldest === undefined) return
      this.#countFull()
      this.#drop(oldest)
    }
  }

  #countFull(): void {
    this.#context.counters.droppedQueueFull++
    this.countDropped('queueFull')
    this.#context.dropped(this.name, 'queue full')
  }

  /** One that has been taken out will not be sent. */
  #drop(message: PagedMessage | Delivery): void {
    this.#unqueued(message)
    if (!(message instanceof Delivery)) {
      this.#context.journal.pagedDropped(this.recordName, message.number)
      return
    }
    if (this.isStored) this.recordDropped(message)
    message.message.release()
  }

  #unqueued(message: PagedMessage | Delivery): void {
    this.#context.counters.messagesQueued--
    this.#context.counters.bytesQueued -= message instanceof Delivery ? message.message.size : message.size
  }
}
