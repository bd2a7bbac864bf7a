// What a journal says: its records, replayed in order, as plain values. Knows nothing of a living broker, so a test can
// compare the two. Messages nobody needs any more are forgotten as the replay goes on.
import type {
  JournalRecord,
  MessageQueued,
  MessageSent,
  MessageStored,
  SubscriptionSet,
  WillSet,
} from '../../store/journal-record.ts'
import { type RecoveredDelivery, RecoveredQueue } from './recovered-queue.ts'

export interface RecoveredInflight extends RecoveredDelivery {
  /** The shared group it came from, named as its session is. */
  readonly group: string | undefined
  isReleased: boolean
}

const ALREADY_RECEIVED = { message: 0, qos: 2, retain: false, subscriptionIdentifiers: [], group: undefined } as const

export class RecoveredSession {
  protocolVersion: 3 | 4 | 5 = 4
  expiryInterval = 0
  /** Wall time, ms, at which its client left; undefined: it was connected when the broker ended. */
  leftAt: number | undefined
  readonly subscriptions = new Map<string, SubscriptionSet>()
  readonly queue: RecoveredQueue = new RecoveredQueue()
  /** By packet identifier, in the order they were sent. */
  readonly inflight = new Map<number, RecoveredInflight>()
  readonly inbound = new Set<number>()
}

/** A message some record has brought. */
export interface KnownMessage<B> {
  references: number
  /** Bytes of Topic Name, its length, and payload. */
  readonly size: number
  /** Wall time, ms. */
  readonly expiresAt: number
  /** Undefined when it was left on disk: it stands far back in a queue, or there was no room for all that nobody needed yet. */
  body: B | undefined
}

/** What becomes of messages as they are replayed: where their payloads live until it is known who needs them. */
export interface Bodies<B> {
  /** Keeps the message; the record's bytes may be gone after this call. */
  keep(record: MessageStored): B
  release(body: B): void
}

/** How much of what is replayed stays in memory; without it, all. */
export interface RecoveryWindow {
  /** Of each queue, from its front. */
  readonly messages: number
  readonly bytes: number
  /** Bytes of messages that no record has referred to yet: a checkpoint brings all its messages first. */
  readonly unclaimed: number
}

/** The records themselves. */
export const RECORDS: Bodies<MessageStored> = { keep: (record) => record, release: () => {} }

const ALL: RecoveryWindow = { messages: Infinity, bytes: Infinity, unclaimed: Infinity }

export class RecoveredState<B> {
  readonly sessions = new Map<string, RecoveredSession>()
  /** Message numbers by Topic Name. */
  readonly retained = new Map<string, number>()
  readonly wills = new Map<string, WillSet>()
  /** The highest message number given out. */
  lastMessage = 0
  /** The newest wall time in any record, ms; -Infinity if none has one. */
  newest = -Infinity
  /** Records replayed. */
  records = 0
  readonly #messages = new Map<number, KnownMessage<B>>()
  readonly #bodies: Bodies<B>
  readonly #window: RecoveryWindow
  /** Bytes of messages in memory that nothing refers to yet. */
  #unclaimed = 0

  constructor(bodies: Bodies<B>, window: RecoveryWindow = ALL) {
    this.#bodies = bodies
    this.#window = window
  }

  /** The message of that number; undefined if no record has brought it, or it was left on disk. */
  message(number: number): B | undefined {
    return this.#messages.get(number)?.body
  }

  /** What is known of the message of that number; undefined if no record has brought it. */
  known(number: number): KnownMessage<B> | undefined {
    return this.#messages.get(number)
  }

  /** One place less needs it; it stays known. */
  leave(number: number): void {
    const known = this.#messages.get(number)
    if (known !== undefined) known.references--
  }

  /** Every message some record has brought and something may need. */
  messages(): Iterable<KnownMessage<B>> {
    return this.#messages.values()
  }

  get messageCount(): number {
    return this.#messages.size
  }

  apply(record: JournalRecord): void {
    this.records++
    switch (record.type) {
      case 'session-opened':
        this.#opened(record.clientId, record.protocolVersion, record.expiryInterval)
        break
      case 'session-left':
        this.#left(record.clientId, record.at, record.expiryInterval)
        break
      case 'session-removed':
        this.#removed(record.clientId)
        break
      case 'subscription-set':
        this.#session(record.clientId).subscriptions.set(record.topicFilter, record)
        break
      case 'subscription-removed':
        this.#session(record.clientId).subscriptions.delete(record.topicFilter)
        break
      case 'message-stored':
        this.#stored(record)
        break
      case 'message-queued':
        this.#queued(record)
        break
      case 'message-dropped':
        this.#release(this.#take(this.#session(record.clientId), record.message))
        break
      case 'message-sent':
        this.#sent(record)
        break
      case 'message-received':
        this.#received(record.clientId, record.packetId)
        break
      case 'message-acknowledged':
        this.#acknowledged(record.clientId, record.packetId)
        break
      case 'inbound-added':
        this.#session(record.clientId).inbound.add(record.packetId)
        break
      case 'inbound-released':
        this.#session(record.clientId).inbound.delete(record.packetId)
        break
      case 'retained-set':
        this.#retain(record.topicName, record.message)
        break
      case 'retained-removed':
        this.#retain(record.topicName, undefined)
        break
      case 'will-set':
        this.#seen(record.at)
        this.wills.set(record.clientId, record)
        break
      case 'will-removed':
        this.wills.delete(record.clientId)
        break
      default:
        record satisfies never
    }
  }

  #seen(at: number | undefined): void {
    if (at !== undefined && at > this.newest) this.newest = at
  }

  #session(clientId: string): RecoveredSession {
    let session = this.sessions.get(clientId)
    if (session === undefined) {
      session = new RecoveredSession()
      this.sessions.set(clientId, session)
    }
    return session
  }

  #opened(clientId: string, protocolVersion: 3 | 4 | 5, expiryInterval: number): void {
    const session = this.#session(clientId)
    session.protocolVersion = protocolVersion
    session.expiryInterval = expiryInterval
    session.leftAt = undefined
  }

  #left(clientId: string, at: number, expiryInterval: number): void {
    this.#seen(at)
    const session = this.#session(clientId)
    session.leftAt = at
    session.expiryInterval = expiryInterval
    // The order of the map is the order in which they left.
    this.sessions.delete(clientId)
    this.sessions.set(clientId, session)
  }

  #removed(clientId: string): void {
    const session = this.sessions.get(clientId)
    if (session === undefined) return
    this.sessions.delete(clientId)
    for (const entry of session.queue) this.#release(entry)
    for (const entry of session.inflight.values()) if (!entry.isReleased) this.#release(entry)
  }

  #stored(record: MessageStored): void {
    this.#seen(record.at)
    if (record.message > this.lastMessage) this.lastMessage = record.message
    const { topicName, payload, expiresAt } = record
    const size = 2 + Buffer.byteLength(topicName) + payload.length
    const hasRoom = this.#unclaimed + size <= this.#window.unclaimed
    if (hasRoom) this.#unclaimed += size
    const body = hasRoom ? this.#bodies.keep(record) : undefined
    this.#messages.set(record.message, { references: 0, size, expiresAt, body })
  }

  #queued({ clientId, message, qos, retain, subscriptionIdentifiers }: MessageQueued): void {
    const known = this.#hold(message)
    if (known === undefined) return
    const { queue } = this.#session(clientId)
    // Far back in a queue, and needed nowhere else: it is read again when its turn comes.
    const isFar = queue.size >= this.#window.messages || queue.bytes >= this.#window.bytes
    if (isFar && known.references === 1) this.#leaveOnDisk(known)
    queue.push({ message, qos, retain, subscriptionIdentifiers }, known.size)
  }

  #leaveOnDisk(known: KnownMessage<B>): void {
    if (known.body !== undefined) this.#bodies.release(known.body)
    known.body = undefined
  }

  #take({ queue }: RecoveredSession, message: number): RecoveredDelivery | undefined {
    return queue.take(message, this.#messages.get(message)?.size ?? 0)
  }

  #sent({ clientId, message, packetId, qos, retain, subscriptionIdentifiers, group }: MessageSent): void {
    const session = this.#session(clientId)
    const wasQueued = this.#take(session, message) !== undefined
    if (!wasQueued && this.#hold(message) === undefined) return
    this.#acknowledged(clientId, packetId) // an identifier is given out again only when it was free
    session.inflight.set(packetId, { message, qos, retain, subscriptionIdentifiers, group, isReleased: false })
  }

  #received(clientId: string, packetId: number): void {
    const { inflight } = this.#session(clientId)
    const entry = inflight.get(packetId)
    if (entry === undefined) {
      // A compacted journal begins here: the message is the receiver's, PUBREL is due.
      inflight.set(packetId, { ...ALREADY_RECEIVED, isReleased: true })
    } else if (!entry.isReleased) {
      entry.isReleased = true
      this.#release(entry)
    }
  }

  #acknowledged(clientId: string, packetId: number): void {
    const inflight = this.sessions.get(clientId)?.inflight
    const entry = inflight?.get(packetId)
    if (entry === undefined) return
    inflight!.delete(packetId)
    if (!entry.isReleased) this.#release(entry)
  }

  #retain(topicName: string, message: number | undefined): void {
    const previous = this.retained.get(topicName)
    this.retained.delete(topicName)
    if (message !== undefined && this.#hold(message) !== undefined) this.retained.set(topicName, message)
    if (previous !== undefined) this.#release({ message: previous })
  }

  /** One place more needs the message. Undefined: no record has brought it, as after a damaged part of the journal. */
  #hold(message: number): KnownMessage<B> | undefined {
    const known = this.#messages.get(message)
    if (known === undefined) return undefined
    if (known.references++ === 0 && known.body !== undefined) this.#unclaimed -= known.size
    return known
  }

  #release(entry: { readonly message: number } | undefined): void {
    if (entry === undefined) return
    const known = this.#messages.get(entry.message)
    if (known === undefined || --known.references > 0) return
    this.#leaveOnDisk(known)
    this.#messages.delete(entry.message)
  }
}
