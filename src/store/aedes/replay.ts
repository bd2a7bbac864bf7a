// Recovered records → what Aedes had: subscriptions, outgoing packets in their order, and packets with names.

import type { JournalRecord, MessageStored, SubscriptionSet } from '../journal-record.ts'
import { type AedesPacket, type AedesSubscription, toPacket } from './aedes-packet.ts'

interface Waiting {
  readonly message: number
  readonly messageId: number | undefined
}

export interface ReplayedSession {
  readonly subscriptions: Map<string, Omit<AedesSubscription, 'topic'>>
  /** By number; the order of numbers is the order of the queue. */
  readonly outgoing: Map<number, Waiting>
}

export class Replay {
  readonly sessions = new Map<string, ReplayedSession>()
  /** Key → number of the message; see the head of aedes-persistence.ts. */
  readonly #named = new Map<string, number>()
  readonly #messages = new Map<number, MessageStored>()

  apply(record: JournalRecord): void {
    if (record.type === 'message-stored') this.#messages.set(record.message, record)
    else if (record.type === 'retained-set') this.#named.set(record.topicName, record.message)
    else if (record.type === 'retained-removed') this.#named.delete(record.topicName)
    else if (record.type === 'session-removed') this.sessions.delete(record.clientId)
    else if (record.type === 'session-opened' && !this.sessions.has(record.clientId))
      this.sessions.set(record.clientId, { subscriptions: new Map(), outgoing: new Map() })
    else if (this.sessions.has(record.clientId)) this.#applyTo(this.sessions.get(record.clientId)!, record)
  }

  /** The named packets; those whose message was lost to damage are left out. */
  *named(): Generator<[string, AedesPacket], void> {
    for (const [key, number] of this.#named) {
      const stored = this.#messages.get(number)
      if (stored !== undefined) yield [key, toPacket(stored)]
    }
  }

  /** The packets waiting for a client, as they were queued. */
  *outgoing({ outgoing }: ReplayedSession): Generator<Waiting & { packet: AedesPacket }, void> {
    for (const waiting of [...outgoing.values()].sort((a, b) => a.message - b.message)) {
      const stored = this.#messages.get(waiting.message)
      if (stored !== undefined) yield { ...waiting, packet: toPacket(stored) }
    }
  }

  #applyTo({ subscriptions, outgoing }: ReplayedSession, record: JournalRecord): void {
    if (record.type === 'subscription-set') subscriptions.set(record.topicFilter, subscriptionOf(record))
    else if (record.type === 'subscription-removed') subscriptions.delete(record.topicFilter)
    else if (record.type === 'message-queued')
      outgoing.set(record.message, { message: record.message, messageId: undefined })
    else if (record.type === 'message-sent')
      outgoing.set(record.message, { message: record.message, messageId: record.subscriptionIdentifiers[0] })
    else if (record.type === 'message-acknowledged') outgoing.delete(record.packetId)
  }
}

function subscriptionOf(record: SubscriptionSet): Omit<AedesSubscription, 'topic'> {
  const { qos, retainHandling: rh, retainAsPublished: rap, noLocal: nl, subscriptionIdentifier } = record
  return { qos, rh, rap, nl, ...(subscriptionIdentifier > 0 ? { subscriptionIdentifier } : {}) }
}
