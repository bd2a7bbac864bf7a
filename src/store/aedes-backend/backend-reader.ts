// Reads a backend back at the start: what it holds becomes journal records again, and the planner's picture of it. What a
// batch left that was never committed is taken back here. Sessions of another broker are left where they are: the
// interface cannot list them. Its retained messages and wills it can, so they are taken over.

import type { AedesPacket } from '../aedes/aedes-packet.ts'
import type { JournalRecord, SubscriptionSet } from '../journal-record.ts'
import type { Backend } from './backend.ts'
import { BROKER_ID } from './backend-broker.ts'
import { messageOf, numberOf, willOf } from './backend-packets.ts'
import type { BackendWriter } from './backend-writer.ts'
import {
  COMMIT,
  type CommitMark,
  clientIdOf,
  markOf,
  PAGES,
  publishedTopic,
  SESSION_FILTER,
  SESSIONS,
  type SessionMark,
} from './bookkeeping.ts'
import type { Planner } from './planner.ts'
import { Entry, StoredSession } from './sessions.ts'

export class BackendReader {
  readonly #backend: Backend
  readonly #writer: BackendWriter
  readonly #planner: Planner
  /** The newest message that was committed; what is newer was not. */
  #committed = 0

  constructor(backend: Backend, writer: BackendWriter, planner: Planner) {
    this.#backend = backend
    this.#writer = writer
    this.#planner = planner
  }

  async *records(): AsyncGenerator<JournalRecord, void> {
    for await (const packet of this.#backend.createRetainedStream(COMMIT)) {
      const { message, at } = markOf<CommitMark>(packet)
      this.#committed = message
      this.#planner.newestMessage = message
      this.#planner.newestWallTime = at ?? -Infinity
    }
    const marks = new Map<string, SessionMark>()
    for await (const packet of this.#backend.createRetainedStream(SESSIONS))
      marks.set(clientIdOf(packet.topic, 2), markOf<SessionMark>(packet))
    await this.#readPages(marks)
    for (const [clientId, mark] of marks) yield* this.#session(clientId, mark)
    yield* this.#retained()
    yield* this.#wills()
  }

  async #readPages(marks: ReadonlyMap<string, SessionMark>): Promise<void> {
    for (const [clientId, mark] of marks) this.#planner.sessions.set(clientId, new StoredSession(clientId, mark))
    for await (const packet of this.#backend.createRetainedStream(PAGES)) {
      const [, , kind, , page] = packet.topic.split('/')
      const session = this.#planner.sessions.get(clientIdOf(packet.topic, 3))
      if (session === undefined || (kind !== 'inbound' && kind !== 'released')) continue
      session.ids[kind].restore(Number(page), markOf<number[]>(packet))
    }
  }

  async *#session(clientId: string, mark: SessionMark): AsyncGenerator<JournalRecord, void> {
    const session = this.#planner.sessions.get(clientId)!
    const expiryInterval = mark.expiry ?? Infinity
    yield { type: 'session-opened', clientId, protocolVersion: mark.version, expiryInterval }
    for (const { topic, qos, rh, rap, nl, subscriptionIdentifier } of (await this.#backend.subscriptionsByClient({
      id: clientId,
    })) ?? []) {
      if (topic === SESSION_FILTER) continue
      yield {
        type: 'subscription-set',
        clientId,
        topicFilter: topic,
        qos,
        noLocal: nl ?? false,
        retainAsPublished: rap ?? false,
        retainHandling: (rh ?? 0) as SubscriptionSet['retainHandling'],
        subscriptionIdentifier: subscriptionIdentifier ?? 0,
      }
    }
    for (const packetId of session.ids.released) yield { type: 'message-received', clientId, packetId }
    yield* this.#outgoing(session)
    yield* this.#inbound(session)
    // Behind the rest: a record of a session that left would say it is back.
    if (mark.left !== null) yield { type: 'session-left', clientId, at: mark.left, expiryInterval }
  }

  async *#outgoing(session: StoredSession): AsyncGenerator<JournalRecord, void> {
    const { clientId } = session
    const seen = new Set<string>()
    const packets: AedesPacket[] = []
    // Read whole before anything is removed from it.
    for await (const packet of this.#backend.outgoingStream({ id: clientId })) packets.push(packet)
    for (const packet of packets) {
      const name = `${packet.brokerCounter}@${packet.brokerId}`
      // A call that was tried again may have been carried out twice.
      if (packet.cmd === 'publish' && seen.has(name)) continue
      seen.add(name)
      const number = numberOf(packet)
      const messageId = packet.messageId ?? undefined
      // As another broker keeps it, which ran meanwhile.
      if (packet.cmd === 'pubrel' && messageId !== undefined && !session.ids.released.has(messageId)) {
        session.ids.released.add(messageId)
        await this.#writer.writeReleased(session)
        yield { type: 'message-received', clientId, packetId: messageId }
      }
      const isReleased = messageId !== undefined && session.ids.released.has(messageId)
      if (packet.cmd !== 'publish' || isReleased || (number ?? 0) > this.#committed) {
        await this.#writer.discard(clientId, packet)
        continue
      }
      yield* this.#queued(session, packet, number)
    }
  }

  *#queued(session: StoredSession, packet: AedesPacket, number: number | undefined): Generator<JournalRecord, void> {
    const { clientId } = session
    const { newestMessage } = this.#planner
    // The messages of a shared group are stored as they were published, those of a client as it gets them.
    const isGroup = clientId.startsWith('\0')
    const message = number === undefined || isGroup ? newestMessage + 1 : number
    if (!this.#planner.isKnown(message)) {
      const record = messageOf(packet, message)
      this.#planner.know(record)
      yield record
    }
    this.#planner.refer(message)
    const entry = new Entry(message, packet)
    session.restore(entry)
    const qos = packet.qos === 2 ? 2 : 1
    const { retain = false } = packet
    const subscriptionIdentifiers: readonly number[] = []
    const packetId = packet.messageId ?? undefined
    if (packetId === undefined || session.inflight.has(packetId)) {
      session.enqueue(entry)
      yield { type: 'message-queued', clientId, message, qos, retain, subscriptionIdentifiers }
      return
    }
    entry.packetId = packetId
    session.inflight.set(packetId, entry)
    yield { type: 'message-sent', clientId, message, packetId, qos, retain, subscriptionIdentifiers, group: undefined }
  }

  async *#inbound(session: StoredSession): AsyncGenerator<JournalRecord, void> {
    const { clientId } = session
    for (const packetId of [...session.ids.inbound]) {
      const packet = await this.#inboundPacket(clientId, packetId)
      if (packet !== undefined && Number(packet.brokerCounter ?? 0) <= this.#committed) {
        yield { type: 'inbound-added', clientId, packetId }
        continue
      }
      session.ids.inbound.delete(packetId)
      if (packet !== undefined) await this.#writer.releaseInbound(session, packetId)
    }
    await this.#writer.writeInbound(session)
  }

  async #inboundPacket(clientId: string, messageId: number): Promise<AedesPacket | undefined> {
    try {
      return await this.#backend.incomingGetPacket({ id: clientId }, { messageId })
    } catch {
      await this.#backend.countOffline() // rejects if it was not for want of the packet
      return undefined
    }
  }

  async *#retained(): AsyncGenerator<JournalRecord, void> {
    const { retained } = this.#planner
    for await (const packet of this.#backend.createRetainedStream('#')) {
      const topicName = publishedTopic(packet.topic)
      // A stream may tell of one topic twice (HSCAN does).
      if (topicName === undefined || retained.has(topicName)) continue
      const message = this.#planner.newestMessage + 1
      const record = messageOf(packet, message, topicName)
      this.#planner.know(record)
      this.#planner.refer(message)
      retained.set(topicName, message)
      yield record
      yield { type: 'retained-set', topicName, message }
    }
  }

  async *#wills(): AsyncGenerator<JournalRecord, void> {
    for await (const packet of this.#backend.streamWill({})) {
      const { brokerId, clientId } = packet
      if (clientId === undefined || clientId === '') continue
      const will = willOf(packet, clientId)
      if (brokerId !== undefined && brokerId !== BROKER_ID) {
        // Another broker's: ours from here on, or it would be published again after every start.
        await this.#backend.delWill({ id: clientId, brokerId })
        await this.#writer.setWill(will)
      }
      yield will
    }
  }
}
