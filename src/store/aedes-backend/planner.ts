// Journal records → plans. Keeps the picture of what the backend holds in step with the records, at once; the plan follows.
// Payloads stay here as long as a place needs them: a queued message may be wanted again when it is sent, and the
// interface gives back a queue from its beginning only.
//
// The order within a batch: everything is added before the mark that commits it, so what a crash leaves half done is known
// as such and taken back. What a client has acknowledged is true whatever becomes of the batch, and leaves room
// for its identifier to be used again, so it is carried out where it stands. What is dropped goes last: it may have moved
// to another session.

import { randomUUID } from 'node:crypto'
import type { JournalRecord, MessageStored, WillSet } from '../journal-record.ts'
import { type How, retainedPacket } from './backend-packets.ts'
import type { BackendWriter } from './backend-writer.ts'
import { COMMIT, type CommitMark, storedTopic } from './bookkeeping.ts'
import { Plan } from './plan.ts'
import { type Entry, StoredSession } from './sessions.ts'

interface Known {
  readonly record: MessageStored
  references: number
}

type Elsewhere =
  | 'message-stored'
  | 'retained-set'
  | 'retained-removed'
  | 'will-set'
  | 'will-removed'
  | 'session-removed'
/** Records that say something of one session. */
type OfSession = Exclude<JournalRecord, { type: Elsewhere }>

/** What a record takes beside its payload, about. */
const RECORD_BYTES = 200

export class Planner {
  readonly sessions = new Map<string, StoredSession>()
  /** Topic → message. */
  readonly retained = new Map<string, number>()
  readonly wills = new Map<string, WillSet>()
  /** What the backend's mark should be now; undefined: it has none yet. */
  newestMark: CommitMark | undefined
  /** Who wrote the mark found at the start. */
  previousOwner: string | undefined
  readonly #owner: string = randomUUID()
  #batches = 0
  readonly #messages = new Map<number, Known>()
  readonly #writer: BackendWriter
  newestMessage = 0
  newestWallTime = -Infinity

  constructor(writer: BackendWriter) {
    this.#writer = writer
  }

  /** The batch as a plan; what it says holds from now on, here. */
  plan(batch: readonly JournalRecord[]): Plan {
    const plan = new Plan(sizeOf(batch))
    const unreferenced = new Set<number>()
    for (const record of batch) this.#apply(record, plan, unreferenced)
    for (const number of unreferenced) if (this.#messages.get(number)?.references === 0) this.#messages.delete(number)
    plan.newestMessage = this.newestMessage
    for (const tag of plan.tagged) tag(plan.newestMessage)
    if (batch.length > 0) {
      const mark = this.#mark()
      plan.mark = mark
      plan.commit.add('commit', async () => {
        await this.#writer.mark(COMMIT, mark)
        this.newestMark = mark
      })
    }
    return plan
  }

  /** A message that was read back, or is stored now: until nothing refers to it. */
  know(record: MessageStored): void {
    if (record.message > this.newestMessage) this.newestMessage = record.message
    this.#seen(record.at)
    this.#messages.set(record.message, { record, references: 0 })
  }

  refer(message: number): MessageStored | undefined {
    const known = this.#messages.get(message)
    if (known === undefined) return undefined
    known.references++
    return known.record
  }

  messageOf(number: number): MessageStored | undefined {
    return this.#messages.get(number)?.record
  }

  isKnown(message: number): boolean {
    return this.#messages.has(message)
  }

  #mark(): CommitMark {
    const at = Number.isFinite(this.newestWallTime) ? this.newestWallTime : null
    return { format: 1, message: this.newestMessage, at, owner: this.#owner, batch: ++this.#batches }
  }

  #seen(at: number | undefined): void {
    if (at !== undefined && at > this.newestWallTime) this.newestWallTime = at
  }

  #apply(record: JournalRecord, plan: Plan, unreferenced: Set<number>): void {
    const release = (message: number): void => {
      const known = this.#messages.get(message)
      if (known !== undefined && --known.references === 0) unreferenced.add(message)
    }
    switch (record.type) {
      case 'message-stored':
        this.know(record)
        unreferenced.add(record.message)
        return
      case 'retained-set':
        this.#retain(record.topicName, record.message, plan, release)
        return
      case 'retained-removed':
        this.#retain(record.topicName, undefined, plan, release)
        return
      case 'will-set':
        this.#seen(record.at)
        this.wills.set(record.clientId, record)
        plan.changes.add(record.clientId, () => this.#writer.setWill(record))
        return
      case 'will-removed':
        this.wills.delete(record.clientId)
        plan.changes.add(record.clientId, () => this.#writer.removeWill(record.clientId))
        return
      case 'session-removed':
        this.#removed(record.clientId, plan, release)
        return
      default:
        this.#applyTo(this.#session(record.clientId, plan), record, plan, release)
    }
  }

  #applyTo(session: StoredSession, record: OfSession, plan: Plan, release: (message: number) => void): void {
    const { clientId } = session
    const writer = this.#writer
    switch (record.type) {
      case 'session-opened': {
        const { protocolVersion: version, expiryInterval } = record
        session.mark = { version, expiry: finite(expiryInterval), left: null }
        plan.changes.add(clientId, () => writer.markSession(session))
        return
      }
      case 'session-left':
        this.#seen(record.at)
        session.mark = { ...session.mark, expiry: finite(record.expiryInterval), left: record.at }
        plan.changes.add(clientId, () => writer.markSession(session))
        return
      case 'subscription-set':
        session.subscriptions.set(record.topicFilter, record)
        plan.changes.add(clientId, () => writer.subscribe(session, record))
        return
      case 'subscription-removed':
        session.subscriptions.delete(record.topicFilter)
        plan.changes.add(clientId, () => writer.unsubscribe(session, record.topicFilter))
        return
      case 'message-queued': {
        const entry = this.#enqueue(session, { ...record, group: undefined }, plan)
        if (entry !== undefined) session.enqueue(entry)
        return
      }
      case 'message-dropped': {
        const entry = session.take(record.message)
        if (entry !== undefined) this.#drop(session, entry, plan, release)
        return
      }
      case 'message-sent': {
        this.#free(session, record.packetId, plan, release) // given out again only when it was free
        const waiting = session.take(record.message)
        const { packet } = waiting ?? {}
        const isSame = packet?.qos === record.qos && packet.retain === record.retain && packet.clientId === record.group
        const entry = isSame ? waiting! : this.#enqueue(session, record, plan)
        if (waiting !== undefined && !isSame) this.#drop(session, waiting, plan, release)
        if (entry === undefined) return
        entry.packetId = record.packetId
        session.inflight.set(record.packetId, entry)
        plan.changes.add(clientId, () => writer.tell(session, entry))
        return
      }
      case 'message-received': {
        session.ids.released.add(record.packetId)
        plan.changes.add(clientId, () => writer.writeReleased(session))
        this.#acknowledged(session, record.packetId, plan, release)
        return
      }
      case 'message-acknowledged':
        this.#free(session, record.packetId, plan, release)
        return
      case 'inbound-added': {
        const { packetId } = record
        session.ids.inbound.add(packetId)
        plan.tagged.push((message) => session.inboundTags.set(packetId, message))
        plan.changes.add(clientId, () => writer.addInbound(session, packetId, plan.newestMessage))
        plan.pages.add(clientId, () => writer.writeInbound(session))
        return
      }
      case 'inbound-released': {
        const { packetId } = record
        if (!session.ids.inbound.delete(packetId)) return
        session.inboundTags.delete(packetId)
        plan.changes.add(clientId, () => writer.releaseInbound(session, packetId))
        plan.pages.add(clientId, () => writer.writeInbound(session))
        return
      }
      default:
        record satisfies never
    }
  }

  /** The session of that name; made, if there is none. */
  #session(clientId: string, plan: Plan): StoredSession {
    const known = this.sessions.get(clientId)
    if (known !== undefined) return known
    const session = new StoredSession(clientId, { version: 4, expiry: null, left: null })
    this.sessions.set(clientId, session)
    plan.changes.add(clientId, () => this.#writer.prepare(session))
    return session
  }

  #removed(clientId: string, plan: Plan, release: (message: number) => void): void {
    const session = this.sessions.get(clientId)
    if (session === undefined) return
    this.sessions.delete(clientId)
    for (const { message } of session.live()) release(message)
    plan.changes.add(clientId, () => this.#writer.endSession(session))
  }

  #enqueue(
    session: StoredSession,
    { message, ...how }: How & { readonly message: number },
    plan: Plan,
  ): Entry | undefined {
    const record = this.refer(message)
    if (record === undefined) return undefined // after damage: as everywhere, what nobody brought is not there
    const entry = session.newEntry(record, how)
    plan.changes.add(session.clientId, () => this.#writer.enqueue(session, entry))
    return entry
  }

  #drop(session: StoredSession, entry: Entry, plan: Plan, release: (message: number) => void): void {
    entry.isGone = true
    release(entry.message)
    plan.removals.add(session.clientId, () => this.#writer.remove(session, entry))
  }

  /** The identifier is nobody's any more. */
  #free(session: StoredSession, packetId: number, plan: Plan, release: (message: number) => void): void {
    this.#acknowledged(session, packetId, plan, release)
    if (session.ids.released.delete(packetId))
      plan.changes.add(session.clientId, () => this.#writer.writeReleased(session))
  }

  #acknowledged(session: StoredSession, packetId: number, plan: Plan, release: (message: number) => void): void {
    const entry = session.inflight.get(packetId)
    if (entry === undefined) return
    session.inflight.delete(packetId)
    entry.isGone = true
    release(entry.message)
    plan.changes.add(session.clientId, () => this.#writer.remove(session, entry))
  }

  #retain(topicName: string, message: number | undefined, plan: Plan, release: (message: number) => void): void {
    const previous = this.retained.get(topicName)
    this.retained.delete(topicName)
    const record = message === undefined ? undefined : this.refer(message)
    if (record !== undefined) this.retained.set(topicName, record.message)
    if (previous !== undefined) release(previous)
    const topic = storedTopic(topicName)
    plan.retained.set(topicName, record?.message)
    plan.changes.add(`\0retained ${topicName}`, async () => {
      // Only the newest of a batch is worth a call.
      if (plan.retained.get(topicName) !== record?.message) return
      await (record === undefined
        ? this.#writer.mark(topic, undefined)
        : this.#writer.retain(retainedPacket(record, topic)))
    })
  }
}

function finite(seconds: number): number | null {
  return seconds === Infinity ? null : seconds
}

function sizeOf(batch: readonly JournalRecord[]): number {
  let bytes = 0
  for (const record of batch) bytes += RECORD_BYTES + ('payload' in record ? record.payload.length : 0)
  return bytes
}
