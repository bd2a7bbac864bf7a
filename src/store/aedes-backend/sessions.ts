// What the backend holds, or will when the batches on their way are carried out, as far as it takes to carry out the next:
// sessions, the messages in their queues and in flight, identifiers in use. No backend is asked anything here.

import type { AedesPacket } from '../aedes/aedes-packet.ts'
import type { MessageStored, SubscriptionSet } from '../journal-record.ts'
import { type How, queuedPacket } from './backend-packets.ts'
import type { IdKind, SessionMark } from './bookkeeping.ts'

/** A message's place in one session. */
export class Entry {
  readonly message: number
  readonly packet: AedesPacket
  /** The Packet Identifier it was sent under; undefined: it waits. */
  packetId: number | undefined
  /** The backend has it. */
  isStored = false
  /** The session needs it no more. */
  isGone = false
  /** The identifier this process last told the backend. */
  told: number | undefined

  constructor(message: number, packet: AedesPacket) {
    this.message = message
    this.packet = packet
  }
}

/** Packet Identifiers in use, in pages that are written as a whole: a change costs at most PAGE of them. */
export class IdPages {
  readonly #pages = new Map<number, Set<number>>()
  readonly #dirty = new Set<number>()

  add(id: number): void {
    const page = pageOf(id)
    const ids = this.#pages.get(page)
    if (ids === undefined) this.#pages.set(page, new Set([id]))
    else ids.add(id)
    this.#dirty.add(page)
  }

  /** As it was read back. */
  restore(page: number, ids: readonly number[]): void {
    this.#pages.set(page, new Set(ids))
  }

  has(id: number): boolean {
    return this.#pages.get(pageOf(id))?.has(id) === true
  }

  *[Symbol.iterator](): Generator<number, void> {
    for (const ids of this.#pages.values()) yield* ids
  }

  delete(id: number): boolean {
    const page = pageOf(id)
    const ids = this.#pages.get(page)
    if (ids?.delete(id) !== true) return false
    if (ids.size === 0) this.#pages.delete(page)
    this.#dirty.add(page)
    return true
  }

  /** Hands over every page that changed; one whose writing fails stays to be written. */
  async write(store: (page: number, ids: readonly number[] | undefined) => Promise<void>): Promise<void> {
    for (const page of [...this.#dirty]) {
      this.#dirty.delete(page)
      const ids = this.#pages.get(page)
      try {
        await store(page, ids === undefined ? undefined : [...ids])
      } catch (error) {
        this.#dirty.add(page)
        throw error
      }
    }
  }

  /** All pages are to be written again. */
  touch(): void {
    for (const page of this.#pages.keys()) this.#dirty.add(page)
  }

  /** All go, and their pages with the next `write`. */
  clear(): void {
    for (const page of this.#pages.keys()) this.#dirty.add(page)
    this.#pages.clear()
  }
}

const PAGE = 256

function pageOf(id: number): number {
  return Math.floor(id / PAGE)
}

export class StoredSession {
  readonly clientId: string
  mark: SessionMark
  /** The backend has its mark, and nothing of others under its name. */
  isPrepared = false
  readonly subscriptions = new Map<string, SubscriptionSet>()
  /** Waiting, by message; a message may wait more than once. */
  readonly #queue = new Map<number, Entry[]>()
  readonly inflight = new Map<number, Entry>()
  /** What the backend has of it. */
  readonly held = new Set<Entry>()
  readonly ids: Readonly<Record<IdKind, IdPages>> = { inbound: new IdPages(), released: new IdPages() }
  /** How many entries there are of a message, those on their way in or out too. */
  readonly #entries = new Map<number, number>()
  /** The newest message of the batch an inbound identifier came in; absent: of an earlier process. */
  readonly inboundTags = new Map<number, number>()
  /** Names given out so far to what would have had the same. */
  #copies = 0

  constructor(clientId: string, mark: SessionMark) {
    this.clientId = clientId
    this.mark = mark
  }

  /** Appends to the queue. */
  enqueue(entry: Entry): void {
    const waiting = this.#queue.get(entry.message)
    if (waiting === undefined) this.#queue.set(entry.message, [entry])
    else waiting.push(entry)
  }

  /** Takes the oldest entry of a message out of the queue. */
  take(message: number): Entry | undefined {
    const waiting = this.#queue.get(message)
    const entry = waiting?.shift()
    if (waiting?.length === 0) this.#queue.delete(message)
    return entry
  }

  /** All that wait or are in flight. */
  *live(): Generator<Entry, void> {
    yield* this.inflight.values()
    for (const waiting of this.#queue.values()) yield* waiting
  }

  newEntry(message: MessageStored, how: How): Entry {
    const { clientId } = this
    const count = this.#entries.get(message.message) ?? 0
    this.#entries.set(message.message, count + 1)
    const copy = count > 0 ? `~${Date.now().toString(36)}.${++this.#copies}` : ''
    return new Entry(message.message, queuedPacket(message, { ...how, clientId, copy }))
  }

  /** An identifier nothing is in flight under: the interface removes by identifier only. */
  freeId(): number {
    let id = 65535
    while (this.inflight.has(id) && id > 1) id--
    return id
  }

  /** The backend has lost all of it: nothing is stored. */
  lose(): void {
    this.isPrepared = false
    for (const entry of this.held) if (entry.isGone) this.forget(entry)
    this.held.clear()
    for (const entry of this.live()) {
      entry.isStored = false
      entry.told = undefined
    }
    for (const ids of Object.values(this.ids)) ids.touch()
  }

  /** The backend has it no more, or never had it and never will. */
  forget(entry: Entry): void {
    entry.isStored = false
    this.held.delete(entry)
    const { message } = entry
    const count = this.#entries.get(message) ?? 0
    if (count > 1) this.#entries.set(message, count - 1)
    else this.#entries.delete(message)
  }

  /** An entry that was read back. */
  restore(entry: Entry): void {
    entry.isStored = true
    this.held.add(entry)
    this.#entries.set(entry.message, (this.#entries.get(entry.message) ?? 0) + 1)
  }
}
