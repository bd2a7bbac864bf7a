// The interface of aedes-persistence 11 on our journal: every method changes the state in memory and resolves when the
// change is on disk. What Aedes asks for is answered from memory.
//
// How it is written down: subscriptions and outgoing packets as our own records, a session being there as long as it has
// either. Aedes' identifiers are not as unique as ours must be, so a packet is in flight under its message's number, and
// the identifier stands beside it. What else has a name (retained messages, QoS 2 packets received, wills, PUBRELs) is a
// retained record under a key: `r` topic, `i` identifier `:` client, `w` client, `o` number `:` client.

import { Readable } from 'node:stream'
import { matches } from '../../mqtt/topic.ts'
import type { JournalRecord } from '../journal-record.ts'
import { JournalStore, type JournalStoreOptions } from '../journal-store.ts'
import { type AedesPacket, type AedesSubscription, Packet, toRecord } from './aedes-packet.ts'
import { FilterTree } from './filter-tree.ts'
import { type Outgoing, OutgoingQueue } from './outgoing-queue.ts'
import { Replay } from './replay.ts'

export type AedesPersistenceOptions = JournalStoreOptions

interface Client {
  readonly id: string
}

interface Broker {
  readonly id: string
}

interface Session {
  readonly subscriptions: Map<string, Omit<AedesSubscription, 'topic'>>
  readonly outgoing: OutgoingQueue
}

interface Match extends Omit<AedesSubscription, 'subscriptionIdentifier'> {
  readonly clientId: string
}

const WILDCARD = /[+#]/

export class AedesPersistence {
  readonly #store: JournalStore
  readonly #sessions = new Map<string, Session>()
  readonly #filters = new FilterTree<Match>()
  /** Key → packet; see the head of this file. */
  readonly #named = new Map<string, AedesPacket>()
  /** Clients that have subscriptions. */
  #subscribers = 0
  #broker: Broker | undefined
  #destroyed = false

  constructor(options: AedesPersistenceOptions) {
    this.#store = new JournalStore(options)
  }

  get broker(): Broker | undefined {
    return this.#broker
  }

  /** Opens the store and reads it back. @throws StoreError `locked` if another process has it. */
  async setup(broker: Broker): Promise<void> {
    this.#broker = broker
    await this.#store.open()
    const replay = new Replay()
    for await (const record of this.#store.recover()) replay.apply(record)
    for (const [clientId, replayed] of replay.sessions) {
      const session = this.#session(clientId)
      for (const [topic, subscription] of replayed.subscriptions) {
        session.subscriptions.set(topic, subscription)
        this.#index(clientId, topic, subscription)
      }
      if (session.subscriptions.size > 0) this.#subscribers++
    }
    for (const [key, packet] of replay.named()) if (!key.startsWith('o')) this.#named.set(key, packet)
    this.#restoreQueues(replay)
  }

  /** What is queued and what took the place of something queued, in the order of their numbers. */
  #restoreQueues(replay: Replay): void {
    const replacements = new Map<string, [number, AedesPacket][]>()
    for (const [key, packet] of replay.named()) {
      if (!key.startsWith('o')) continue
      const clientId = clientOf(key)
      const number = Number(key.slice(1, key.indexOf(':')))
      replacements.set(clientId, [...(replacements.get(clientId) ?? []), [number, packet]])
    }
    for (const [clientId, replayed] of replay.sessions) {
      const { outgoing } = this.#session(clientId)
      const replaced = new Map(replacements.get(clientId))
      const waiting = new Map([...replay.outgoing(replayed)].map((one) => [one.message, one]))
      for (const message of [...replaced.keys(), ...waiting.keys()].sort((a, b) => a - b)) {
        const packet = replaced.get(message) ?? waiting.get(message)!.packet
        const entry = outgoing.add(message, packet)
        entry.replaced = replaced.has(message)
        outgoing.setMessageId(entry, entry.replaced ? packet.messageId : waiting.get(message)!.messageId)
      }
    }
  }

  /** @throws Error at the second call. */
  async destroy(): Promise<void> {
    if (this.#destroyed) throw new Error('destroyed called twice!')
    this.#destroyed = true
    await this.#store.close()
  }

  async storeRetained(packet: AedesPacket): Promise<void> {
    const key = `r${packet.topic}`
    if (packet.payload.length > 0) await this.#setNamed(key, { ...packet })
    else await this.#removeNamed(key)
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern])
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    return Readable.from(patterns.flatMap((pattern) => [...this.#retained(pattern)]))
  }

  async addSubscriptions(client: Client, subscriptions: readonly AedesSubscription[]): Promise<void> {
    const records: JournalRecord[] = []
    const session = this.#session(client.id, records)
    if (session.subscriptions.size === 0 && subscriptions.length > 0) this.#subscribers++
    for (const { topic, qos, rh, rap, nl, subscriptionIdentifier } of subscriptions) {
      const identified = subscriptionIdentifier === undefined ? {} : { subscriptionIdentifier }
      // As given, undefined included: Aedes gets back what it stored.
      const subscription = { qos, rh, rap, nl, ...identified } as Omit<AedesSubscription, 'topic'>
      session.subscriptions.set(topic, subscription)
      this.#index(client.id, topic, subscription)
      records.push({
        type: 'subscription-set',
        clientId: client.id,
        topicFilter: topic,
        qos,
        noLocal: nl ?? false,
        retainAsPublished: rap ?? false,
        retainHandling: (rh ?? 0) as 0 | 1 | 2,
        subscriptionIdentifier: subscriptionIdentifier ?? 0,
      })
    }
    await this.#store.commit(records)
  }

  async removeSubscriptions(client: Client, topics: readonly string[]): Promise<void> {
    const session = this.#sessions.get(client.id)
    if (session === undefined) return
    const records: JournalRecord[] = []
    for (const topicFilter of topics) {
      if (!session.subscriptions.delete(topicFilter)) continue
      this.#filters.delete(topicFilter, client.id)
      records.push({ type: 'subscription-removed', clientId: client.id, topicFilter })
    }
    if (records.length > 0 && session.subscriptions.size === 0) this.#subscribers--
    this.#endIfEmpty(client.id, session, records)
    await this.#store.commit(records)
  }

  async subscriptionsByClient(client: Client): Promise<AedesSubscription[]> {
    const subscriptions = this.#sessions.get(client.id)?.subscriptions ?? []
    return [...subscriptions].map(([topic, subscription]) => ({ topic, ...subscription }))
  }

  async cleanSubscriptions(client: Client): Promise<void> {
    const session = this.#sessions.get(client.id)
    if (session !== undefined) await this.removeSubscriptions(client, [...session.subscriptions.keys()])
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return { subsCount: this.#filters.size, clientsCount: this.#subscribers }
  }

  async subscriptionsByTopic(topic: string): Promise<Match[]> {
    return this.#filters.match(topic)
  }

  getClientList(topic: string): Readable {
    const clients = [...this.#sessions].filter(([, { subscriptions }]) => subscriptions.has(topic))
    return Readable.from(clients.map(([clientId]) => clientId))
  }

  async outgoingEnqueue(subscription: { clientId: string }, packet: AedesPacket): Promise<void> {
    await this.outgoingEnqueueCombi([subscription], packet)
  }

  /** The payload is stored once, whatever the number of receivers. */
  async outgoingEnqueueCombi(subscriptions: readonly { clientId: string }[], packet: AedesPacket): Promise<void> {
    if (subscriptions.length === 0) return
    let message = this.#store.newestMessage + 1
    const records: JournalRecord[] = [toRecord(packet, message)]
    const qos = packet.qos === 2 ? 2 : 1
    for (const { clientId } of subscriptions) {
      const { outgoing } = this.#session(clientId, records)
      // A queue names its packets by number: the second copy for the same client is a message of its own.
      if (outgoing.findMessage(message) !== undefined) records.push(toRecord(packet, ++message))
      outgoing.add(message, new Packet(packet))
      records.push({ type: 'message-queued', clientId, message, qos, retain: false, subscriptionIdentifiers: [] })
    }
    await this.#store.commit(records)
  }

  /** Gives the queued packet its identifier, or puts `packet` (PUBREL) in the place of the one that has it. */
  async outgoingUpdate(client: Client, packet: AedesPacket): Promise<void> {
    const session = this.#sessions.get(client.id)
    const same = session?.outgoing.findSame(packet)
    const { messageId } = packet
    if (session !== undefined && same !== undefined && !same.replaced) {
      session.outgoing.setMessageId(same, messageId)
      if (messageId !== undefined) await this.#store.commit([this.#sent(client.id, same.message, packet)])
      return
    }
    const entry = session?.outgoing.findMessageId(messageId)
    if (session === undefined || entry === undefined || entry.packet.brokerId === packet.brokerId)
      throw new Error('no such packet')
    const wasQueued = !entry.replaced
    session.outgoing.replace(entry, packet)
    const number = this.#store.newestMessage + 1
    const records: JournalRecord[] = [
      toRecord(packet, number),
      { type: 'retained-set', topicName: replacementKey(client, entry), message: number },
    ]
    if (wasQueued) records.push({ type: 'message-acknowledged', clientId: client.id, packetId: entry.message })
    await this.#store.commit(records)
  }

  /** The packet that had the identifier, which is free now; undefined if none had. */
  async outgoingClearMessageId(client: Client, { messageId }: AedesPacket): Promise<AedesPacket | undefined> {
    const session = this.#sessions.get(client.id)
    const entry = session?.outgoing.findMessageId(messageId)
    if (session === undefined || entry === undefined) return undefined
    session.outgoing.remove(entry)
    const records: JournalRecord[] = [
      entry.replaced
        ? { type: 'retained-removed', topicName: replacementKey(client, entry) }
        : { type: 'message-acknowledged', clientId: client.id, packetId: entry.message },
    ]
    this.#endIfEmpty(client.id, session, records)
    await this.#store.commit(records)
    return entry.packet
  }

  outgoingStream(client: Client): Readable {
    return Readable.from([...(this.#sessions.get(client.id)?.outgoing.packets() ?? [])])
  }

  async incomingStorePacket(client: Client, packet: AedesPacket): Promise<void> {
    const stored = new Packet(packet)
    stored.messageId = packet.messageId
    await this.#setNamed(incomingKey(client, packet), stored)
  }

  async incomingGetPacket(client: Client, packet: AedesPacket): Promise<AedesPacket> {
    const stored = this.#named.get(incomingKey(client, packet))
    if (stored === undefined) throw new Error('no such packet')
    return stored
  }

  async incomingDelPacket(client: Client, packet: AedesPacket): Promise<void> {
    const key = incomingKey(client, packet)
    if (!this.#named.has(key)) throw new Error('no such packet')
    await this.#removeNamed(key)
  }

  async cleanIncoming(client: Client): Promise<void> {
    const keys = [...this.#named.keys()].filter((key) => key.startsWith('i') && clientOf(key) === client.id)
    await Promise.all(keys.map((key) => this.#removeNamed(key)))
  }

  async putWill(client: Client, packet: AedesPacket): Promise<void> {
    if (this.#broker !== undefined) packet.brokerId = this.#broker.id
    packet.clientId = client.id
    await this.#setNamed(`w${client.id}`, packet)
  }

  async getWill(client: Client): Promise<AedesPacket | undefined> {
    return this.#named.get(`w${client.id}`)
  }

  async delWill(client: Client): Promise<AedesPacket | undefined> {
    const will = this.#named.get(`w${client.id}`)
    await this.#removeNamed(`w${client.id}`)
    return will
  }

  /** The wills of brokers that are not among `brokers`: theirs to publish is whoever asks. */
  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    const wills = [...this.#named].filter(([key, { brokerId }]) => key.startsWith('w') && !brokers[brokerId ?? ''])
    return Readable.from(wills.map(([, packet]) => packet))
  }

  *#retained(pattern: string): Generator<AedesPacket, void> {
    if (!WILDCARD.test(pattern)) {
      const packet = this.#named.get(`r${pattern}`)
      if (packet !== undefined) yield packet
      return
    }
    for (const [key, packet] of this.#named) if (key.startsWith('r') && matches(pattern, packet.topic)) yield packet
  }

  /** The client's session; made, and told to the journal, if there is none. */
  #session(clientId: string, records?: JournalRecord[]): Session {
    let session = this.#sessions.get(clientId)
    if (session === undefined) {
      session = { subscriptions: new Map(), outgoing: new OutgoingQueue() }
      this.#sessions.set(clientId, session)
      records?.push({ type: 'session-opened', clientId, protocolVersion: 4, expiryInterval: Infinity })
    }
    return session
  }

  #endIfEmpty(clientId: string, { subscriptions, outgoing }: Session, records: JournalRecord[]): void {
    if (subscriptions.size > 0 || outgoing.size > 0) return
    this.#sessions.delete(clientId)
    records.push({ type: 'session-removed', clientId })
  }

  /** QoS 0 subscriptions are kept and never matched, as in aedes-persistence: nothing is queued for them. */
  #index(clientId: string, topic: string, { qos, rh, rap, nl }: Omit<AedesSubscription, 'topic'>): void {
    if (qos === 0) this.#filters.delete(topic, clientId)
    else this.#filters.set(topic, clientId, { clientId, topic, qos, rh, rap, nl } as Match)
  }

  #sent(clientId: string, message: number, { qos, messageId }: AedesPacket): JournalRecord {
    const type = 'message-sent'
    const subscriptionIdentifiers = [messageId!]
    return {
      type,
      clientId,
      message,
      packetId: message,
      qos: qos === 2 ? 2 : 1,
      retain: false,
      subscriptionIdentifiers,
      group: undefined,
    }
  }

  async #setNamed(key: string, packet: AedesPacket): Promise<void> {
    this.#named.set(key, packet)
    const message = this.#store.newestMessage + 1
    await this.#store.commit([toRecord(packet, message), { type: 'retained-set', topicName: key, message }])
  }

  async #removeNamed(key: string): Promise<void> {
    if (this.#named.delete(key)) await this.#store.commit([{ type: 'retained-removed', topicName: key }])
  }
}

function incomingKey({ id }: Client, { messageId }: AedesPacket): string {
  return `i${messageId}:${id}`
}

function replacementKey({ id }: Client, { message }: Outgoing): string {
  return `o${message}:${id}`
}

function clientOf(key: string): string {
  return key.slice(key.indexOf(':') + 1)
}
