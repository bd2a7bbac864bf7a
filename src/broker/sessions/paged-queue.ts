// Where a long queue goes on behind what is in memory at its front: pages, whose payloads are on disk only, and behind them
// the newest messages, which become a page as soon as there are enough of them and the store has them. Holds a reference
// on each message that is in memory. What leaves for good is handed to the owner, the session's queue.
import type { QoS } from '../../mqtt/qos.ts'
import { MessageQueue } from '../../qos/message-queue.ts'
import type { MessageStored } from '../../store/durable-store.ts'
import type { BrokerContext } from '../context.ts'
import { RECOVERED, StoredMessage } from '../journal/journal-batch.ts'
import { messageOf } from '../journal/message-of-record.ts'
import { Delivery } from '../message.ts'
import { Page, type PagedMessage } from './page.ts'
import type { PageReader } from './pager.ts'

const NO_LIMITS = { count: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }

/** The front of the queue, which takes what is read back. */
export interface PagedQueueOwner {
  /** Takes these over, behind what it has; nothing if they were taken from the end of the pages meanwhile. */
  handlePaged(deliveries: readonly Delivery[]): void
  /** The oldest page cannot be read. It stays; the next one who asks tries again. */
  handleUnreadable(error: unknown): void
}

export class PagedQueue implements PageReader {
  readonly #context: BrokerContext
  readonly #owner: PagedQueueOwner
  /** Oldest first; none is empty. */
  #pages: Page[] = []
  readonly #newest = new MessageQueue<Delivery>(NO_LIMITS)
  /** In all pages. */
  #count = 0
  #bytes = 0
  /** The page being read. */
  #reading: Page | undefined
  /** What the store had when the newest messages were last looked at: they are worth another look when it has more. */
  #lookedAt = -1

  constructor(context: BrokerContext, owner: PagedQueueOwner) {
    this.#context = context
    this.#owner = owner
  }

  get size(): number {
    return this.#count + this.#newest.size
  }

  get bytes(): number {
    return this.#bytes + this.#newest.bytes
  }

  /** Whether anything is on disk only, or stands behind what is. */
  get hasPages(): boolean {
    return this.#pages.length > 0
  }

  /** Appends a message that is in memory. */
  push(delivery: Delivery, size: number): void {
    const { pager } = this.#context
    const newest = this.#newest
    newest.push(delivery, size)
    if (newest.bytes >= pager.windowBytes || newest.size >= pager.windowMessages) this.#pageOut()
  }

  /** Appends a message that is on disk only: after a restart, before anything else is appended. */
  restore(message: PagedMessage): void {
    const { pager } = this.#context
    let page = this.#pages.at(-1)
    if (page === undefined || page.count >= pager.windowMessages || page.bytes >= pager.windowBytes) {
      page?.seal()
      page = new Page(pager.windowMessages)
      this.#pages.push(page)
    }
    this.#add(page, message)
  }

  /** The oldest of the newest messages, once there are no pages before it. */
  shiftNewest(): Delivery | undefined {
    return this.hasPages ? undefined : this.#newest.shift()
  }

  /** Takes out the oldest message wherever it is. */
  shift(): PagedMessage | Delivery | undefined {
    const page = this.#pages[0]
    if (page === undefined) return this.#newest.shift()
    const oldest = page.shift()!
    this.#left(oldest)
    if (page.isEmpty) this.#pages.shift()
    return oldest
  }

  /** Takes out what `wanted` says yes to, told of QoS and time of expiry, and hands it to `taken`; once nothing expires before `soonest`. */
  remove(
    soonest: number,
    wanted: (qos: QoS, expiresAt: number) => boolean,
    taken: (message: PagedMessage | Delivery) => void,
  ): void {
    for (const page of this.#pages) {
      if (page.soonestExpiry > soonest) continue
      page.remove(wanted, (message) => {
        this.#left(message)
        taken(message)
      })
    }
    if (this.#pages.some((page) => page.isEmpty)) this.#pages = this.#pages.filter((page) => !page.isEmpty)
    this.#newest.remove((delivery) => {
      if (!wanted(delivery.qos, delivery.message.expiresAt)) return false
      taken(delivery)
      return true
    })
  }

  /** Begins to read the oldest page back, unless that is under way. */
  read(): void {
    const page = this.#pages[0]
    if (page === undefined || this.#reading !== undefined) return
    this.#reading = page
    const numbers = page.numbers()
    // Never at once: who asks is in the middle of taking out what there is.
    if (numbers.length === 0) queueMicrotask(() => this.handleRead([]))
    else this.#context.pager.read(numbers, page.pagedBytes, this)
  }

  handleRead(messages: readonly (MessageStored | undefined)[]): void {
    const page = this.#reading
    this.#reading = undefined
    // Dropped meanwhile, all of it: there may be another one to read.
    if (page === undefined || this.#pages[0] !== page) {
      this.#owner.handlePaged([])
      return
    }
    const found = new Map<number, MessageStored>()
    for (const message of messages) if (message !== undefined) found.set(message.message, message)
    const missing = page.numbers().filter((number) => !found.has(number))
    if (missing.length > 0) {
      this.#owner.handleUnreadable(new Error(`the store has lost ${missing.length} messages, ${missing[0]} the first`))
      return
    }
    this.#handOver(page, found)
  }

  handleReadFailed(error: unknown): void {
    this.#reading = undefined
    if (this.#pages.length > 0) this.#owner.handleUnreadable(error)
  }

  /** What is in memory, oldest first. */
  *inMemory(): Generator<Delivery, void> {
    for (const page of this.#pages) yield* page.inMemory()
    yield* this.#newest
  }

  /** As many of the newest messages as make a page, if the store has them, become one. */
  #pageOut(): void {
    const { journal } = this.#context
    if (this.#lookedAt === journal.storedTicket) return
    const count = this.#pageful()
    if (count === 0) {
      this.#lookedAt = journal.storedTicket
      return
    }
    const page = new Page(count)
    for (let taken = 0; taken < count; taken++) {
      const delivery = this.#newest.shift()!
      const { message, qos, retain, subscriptionIds } = delivery
      const { stored, size, expiresAt } = message
      if (delivery.recordedIn === 0 || stored === undefined) {
        this.#add(page, delivery)
        continue
      }
      this.#add(page, { number: stored.number, qos, retain, size, expiresAt, subscriptionIds })
      journal.forgotten(delivery) // the store's place remains, this one's is a number
      message.release()
    }
    this.#pages.push(page)
  }

  /** How many of the newest messages make a page; 0 if the store does not have enough of them yet. */
  #pageful(): number {
    const { journal, pager } = this.#context
    let count = 0
    let bytes = 0
    for (const { recordedIn, message } of this.#newest) {
      if (recordedIn > journal.storedTicket) return 0
      count++
      bytes += message.size
      if (count >= pager.windowMessages || bytes >= pager.windowBytes) return count
    }
    return 0
  }

  /** The oldest page goes to the front of the queue. */
  #handOver(page: Page, found: ReadonlyMap<number, MessageStored>): void {
    const { kept } = this.#context
    const deliveries: Delivery[] = []
    for (let next = page.shift(); next !== undefined; next = page.shift()) {
      this.#left(next)
      if (next instanceof Delivery) {
        deliveries.push(next)
        continue
      }
      const { number, qos, retain, expiresAt, subscriptionIds } = next
      const message = messageOf(kept, found.get(number)!)
      message.restored(retain, expiresAt)
      message.stored = new StoredMessage(message, number, RECOVERED, 0)
      message.stored.references = 1
      const delivery = new Delivery(message.hold(), qos, retain, subscriptionIds)
      delivery.recordedIn = RECOVERED
      deliveries.push(delivery)
    }
    this.#pages.shift()
    this.#owner.handlePaged(deliveries)
  }

  #add(page: Page, message: PagedMessage | Delivery): void {
    const { counters } = this.#context
    this.#count++
    if (message instanceof Delivery) {
      this.#bytes += message.message.size
      page.addInMemory(message)
      return
    }
    this.#bytes += message.size
    page.add(message)
    counters.messagesPaged++
    counters.bytesPaged += message.size
  }

  #left(message: PagedMessage | Delivery): void {
    const { counters } = this.#context
    this.#count--
    if (message instanceof Delivery) {
      this.#bytes -= message.message.size
      return
    }
    this.#bytes -= message.size
    counters.messagesPaged--
    counters.bytesPaged -= message.size
  }
}
