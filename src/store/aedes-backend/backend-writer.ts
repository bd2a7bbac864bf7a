// Single changes of the backend, each of which may be tried again: what was done already does no harm. A backend says "no such
// packet" by rejecting, as it says everything; whether it is out of order altogether, a question it can always answer tells.

import type { AedesPacket, AedesSubscription } from '../aedes/aedes-packet.ts'
import type { SubscriptionSet, WillSet } from '../journal-record.ts'
import type { Backend } from './backend.ts'
import { BROKER_ID } from './backend-broker.ts'
import { willPacket } from './backend-packets.ts'
import { markPacket, pageTopic, SESSION_FILTER, sessionTopic } from './bookkeeping.ts'
import type { Entry, StoredSession } from './sessions.ts'

/** No identifier MQTT can give: for packets of sessions that are no longer known. */
const NO_ID = 65536

export class BackendWriter {
  readonly #backend: Backend

  constructor(backend: Backend) {
    this.#backend = backend
  }

  async retain(packet: AedesPacket): Promise<void> {
    await this.#backend.storeRetained(packet)
  }

  /** Keeps `value` in our books; undefined removes it. */
  async mark(topic: string, value: unknown): Promise<void> {
    await this.#backend.storeRetained(markPacket(topic, value))
  }

  // ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Makes room for a session: what another broker, or a crash, left under its name goes. */
  async prepare(session: StoredSession): Promise<void> {
    if (session.isPrepared) return
    await this.#clean(session.clientId)
    await this.markSession(session)
    await this.#backend.addSubscriptions(clientOf(session), [subscription(SESSION_FILTER, 0)])
    session.isPrepared = true
  }

  async markSession(session: StoredSession): Promise<void> {
    await this.mark(sessionTopic(session.clientId), session.mark)
  }

  /** Ends a session: first it is no longer known, then what it had goes. */
  async endSession(session: StoredSession): Promise<void> {
    await this.mark(sessionTopic(session.clientId), undefined)
    for (const ids of Object.values(session.ids)) ids.clear()
    await this.writeReleased(session)
    await this.writeInbound(session)
    for (const entry of [...session.held]) await this.remove(session, entry)
    await this.#clean(session.clientId)
  }

  async subscribe(session: StoredSession, record: SubscriptionSet): Promise<void> {
    const { topicFilter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = record
    if (topicFilter === SESSION_FILTER) return
    const identified = subscriptionIdentifier === 0 ? {} : { subscriptionIdentifier }
    const options = { rh: retainHandling, rap: retainAsPublished, nl: noLocal, ...identified }
    await this.#backend.addSubscriptions(clientOf(session), [{ topic: topicFilter, qos, ...options }])
  }

  async unsubscribe(session: StoredSession, topicFilter: string): Promise<void> {
    if (topicFilter !== SESSION_FILTER) await this.#backend.removeSubscriptions(clientOf(session), [topicFilter])
  }

  async #clean(clientId: string): Promise<void> {
    const client = { id: clientId }
    for await (const packet of this.#backend.outgoingStream(client)) await this.discard(clientId, packet)
    await this.#backend.cleanSubscriptions(client)
    await this.#backend.cleanIncoming(client)
  }

  // ── messages to a client ─────────────────────────────────────────────────────────────────────────────────────────

  async enqueue(session: StoredSession, entry: Entry): Promise<void> {
    if (entry.isStored) return
    if (entry.isGone) return session.forget(entry)
    await this.#backend.outgoingEnqueueCombi([{ clientId: session.clientId }], entry.packet)
    entry.isStored = true
    session.held.add(entry)
  }

  /** Tells which identifier it was sent under. */
  async tell(session: StoredSession, entry: Entry): Promise<void> {
    const { packetId } = entry
    if (entry.isGone || !entry.isStored || packetId === undefined || entry.told === packetId) return
    await this.#update(session, entry, packetId)
    entry.told = packetId
  }

  async remove(session: StoredSession, entry: Entry): Promise<void> {
    if (!entry.isStored) return
    const client = clientOf(session)
    if (entry.told !== undefined) {
      const cleared = await this.#backend.outgoingClearMessageId(client, acknowledgement(entry.told))
      if (cleared !== undefined && cleared !== null) return session.forget(entry)
      // It has forgotten which packet that was: Redis knows the newest 100,000 identifiers.
    }
    const messageId = entry.told ?? session.freeId()
    if (await this.#whetherThere(() => this.#update(session, entry, messageId)))
      await this.#backend.outgoingClearMessageId(client, acknowledgement(messageId))
    session.forget(entry)
  }

  /** Removes a packet as it was read from the queue of a client. */
  async discard(clientId: string, packet: AedesPacket): Promise<void> {
    const client = { id: clientId }
    const messageId = packet.messageId ?? NO_ID
    if (await this.#whetherThere(() => this.#backend.outgoingUpdate(client, { ...packet, messageId })))
      await this.#backend.outgoingClearMessageId(client, acknowledgement(messageId))
  }

  async writeReleased(session: StoredSession): Promise<void> {
    await this.#writePages(session, 'released')
  }

  #update(session: StoredSession, entry: Entry, messageId: number): Promise<unknown> {
    return this.#backend.outgoingUpdate(clientOf(session), { ...entry.packet, messageId })
  }

  // ── QoS 2 messages from a client ─────────────────────────────────────────────────────────────────────────────────

  /** `message` is the newest of the batch: if that was not committed, neither was this. */
  async addInbound(session: StoredSession, messageId: number, message: number): Promise<void> {
    const packet: AedesPacket = {
      cmd: 'publish',
      topic: '',
      payload: Buffer.alloc(0),
      qos: 2,
      retain: false,
      dup: false,
      messageId,
      brokerId: 'martlet-inbound',
      brokerCounter: message,
    }
    await this.#backend.incomingStorePacket(clientOf(session), packet)
  }

  async releaseInbound(session: StoredSession, messageId: number): Promise<void> {
    const client = clientOf(session)
    try {
      await this.#backend.incomingDelPacket(client, { messageId })
    } catch (error) {
      const isThere = await this.#whetherThere(() => this.#backend.incomingGetPacket(client, { messageId }))
      if (isThere) throw error
    }
  }

  async writeInbound(session: StoredSession): Promise<void> {
    await this.#writePages(session, 'inbound')
  }

  async #writePages(session: StoredSession, kind: 'inbound' | 'released'): Promise<void> {
    await session.ids[kind].write((page, ids) => this.mark(pageTopic(kind, session.clientId, page), ids))
  }

  // ── wills ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async setWill(will: WillSet): Promise<void> {
    await this.#backend.putWill({ id: will.clientId, brokerId: BROKER_ID }, willPacket(will))
  }

  async removeWill(clientId: string): Promise<void> {
    await this.#backend.delWill({ id: clientId, brokerId: BROKER_ID })
  }

  /** False when the call was rejected although the backend answers: there is no such packet. */
  async #whetherThere(call: () => Promise<unknown>): Promise<boolean> {
    try {
      await call()
      return true
    } catch {
      await this.#backend.countOffline() // rejects if the backend does not answer at all
      return false
    }
  }
}

function subscription(topic: string, qos: 0 | 1 | 2): AedesSubscription {
  return { topic, qos, rh: 0, rap: false, nl: false }
}

function acknowledgement(messageId: number): { cmd: string; messageId: number } {
  return { cmd: 'puback', messageId }
}

function clientOf({ clientId }: StoredSession): { id: string } {
  return { id: clientId }
}
