// JournalRecord → bytes. Client Identifiers are long and come again and again, so a file carries a dictionary: the first
// record of a client in a file is preceded by its name, and all records of that file use its number. Topic Names are
// written where they stand, so that a `message-stored` means something by itself and can be copied or read alone.
//
//   record  = kind: byte, fields
//   number  = seven bits a byte, lowest first      text, block = number of bytes, the bytes
//   time    = float64                              flags = byte
//
// The shapes are stated once, here; record-decoder.ts reads them in the same order.

import type { JournalRecord, MessageQueued, MessageSent, MessageStored, WillSet } from '../journal-record.ts'
import type { ByteWriter } from './byte-writer.ts'

/** The first byte of a record. Numbers are never given out twice: files outlive versions. */
export const Kind = {
  /** A Client Identifier gets the next number of this file, from 0. */
  Client: 0,
  SessionOpened: 1,
  SessionLeft: 2,
  SessionRemoved: 3,
  SubscriptionSet: 4,
  SubscriptionRemoved: 5,
  MessageStored: 6,
  MessageQueued: 7,
  MessageDropped: 8,
  MessageSent: 9,
  MessageReceived: 10,
  MessageAcknowledged: 11,
  InboundAdded: 12,
  InboundReleased: 13,
  RetainedSet: 14,
  RetainedRemoved: 15,
  WillSet: 16,
  WillRemoved: 17,
  /** Begins a checkpoint: newest wall time and highest message number of everything it stands for. */
  Marks: 30,
  /** Ends a checkpoint: how many records it has. */
  End: 31,
} as const

export const Flag = {
  Qos: 0b11,
  Retain: 0b100,
  Identifiers: 0b1000,
  Expires: 0b1_0000,
  Properties: 0b10_0000,
  Gone: 0b100_0000,
  UserName: 0b1000_0000,
  Shared: 0b1_0000,
  NoLocal: 0b100,
  RetainAsPublished: 0b1000,
} as const

/** Where retainHandling stands in the flags of a subscription. */
export const RETAIN_HANDLING_SHIFT = 4

export class RecordEncoder {
  /** Highest wall time in any record so far; -Infinity before the first. */
  newestWallTime = -Infinity
  /** Highest message number so far; 0 before the first. */
  newestMessage = 0
  #clients = new Map<string, number>()

  /** The next record stands in a new file. */
  beginFile(): void {
    this.#clients = new Map()
  }

  encode(record: JournalRecord, out: ByteWriter): void {
    switch (record.type) {
      case 'message-stored':
        this.#messageStored(record, out)
        break
      case 'message-queued':
        this.#messageQueued(record, out)
        break
      case 'message-sent':
        this.#messageSent(record, out)
        break
      case 'message-acknowledged':
        this.#withPacketId(Kind.MessageAcknowledged, record, out)
        break
      case 'message-received':
        this.#withPacketId(Kind.MessageReceived, record, out)
        break
      case 'message-dropped':
        this.#head(Kind.MessageDropped, record.clientId, out)
        out.number(record.message)
        break
      case 'inbound-added':
        this.#withPacketId(Kind.InboundAdded, record, out)
        break
      case 'inbound-released':
        this.#withPacketId(Kind.InboundReleased, record, out)
        break
      case 'retained-set':
        out.byte(Kind.RetainedSet)
        out.text(record.topicName)
        out.number(record.message)
        break
      case 'retained-removed':
        out.byte(Kind.RetainedRemoved)
        out.text(record.topicName)
        break
      case 'session-opened':
        this.#head(Kind.SessionOpened, record.clientId, out)
        out.byte(record.protocolVersion)
        out.float(record.expiryInterval)
        break
      case 'session-left':
        this.#head(Kind.SessionLeft, record.clientId, out)
        out.float(this.#time(record.at))
        out.float(record.expiryInterval)
        break
      case 'session-removed':
        this.#head(Kind.SessionRemoved, record.clientId, out)
        break
      case 'subscription-set':
        this.#head(Kind.SubscriptionSet, record.clientId, out)
        out.byte(
          record.qos |
            (record.noLocal ? Flag.NoLocal : 0) |
            (record.retainAsPublished ? Flag.RetainAsPublished : 0) |
            (record.retainHandling << RETAIN_HANDLING_SHIFT),
        )
        out.number(record.subscriptionIdentifier)
        out.text(record.topicFilter)
        break
      case 'subscription-removed':
        this.#head(Kind.SubscriptionRemoved, record.clientId, out)
        out.text(record.topicFilter)
        break
      case 'will-set':
        this.#willSet(record, out)
        break
      case 'will-removed':
        this.#head(Kind.WillRemoved, record.clientId, out)
        break
      default:
        record satisfies never
    }
  }

  marks(out: ByteWriter): void {
    out.byte(Kind.Marks)
    out.float(this.newestWallTime)
    out.number(this.newestMessage)
  }

  end(records: number, out: ByteWriter): void {
    out.byte(Kind.End)
    out.number(records)
  }

  #messageStored(record: MessageStored, out: ByteWriter): void {
    const { message, payload, properties, expiresAt } = record
    if (message > this.newestMessage) this.newestMessage = message
    out.byte(Kind.MessageStored)
    const expires = expiresAt !== Infinity
    out.byte(record.qos | (expires ? Flag.Expires : 0) | (properties.length > 0 ? Flag.Properties : 0))
    out.number(message)
    out.float(this.#time(record.at))
    if (expires) out.float(expiresAt)
    out.text(record.topicName)
    if (properties.length > 0) out.block(properties)
    out.block(payload)
  }

  #messageQueued(record: MessageQueued, out: ByteWriter): void {
    this.#head(Kind.MessageQueued, record.clientId, out)
    delivery(record, out)
  }

  #messageSent(record: MessageSent, out: ByteWriter): void {
    const { group } = record
    const groupNumber = group === undefined ? 0 : this.#client(group, out)
    this.#head(Kind.MessageSent, record.clientId, out)
    out.number(record.packetId)
    delivery(record, out, group === undefined ? 0 : Flag.Shared)
    if (group !== undefined) out.number(groupNumber)
  }

  #willSet(record: WillSet, out: ByteWriter): void {
    this.#head(Kind.WillSet, record.clientId, out)
    const gone = record.at !== undefined
    out.byte(
      record.qos |
        (record.retain ? Flag.Retain : 0) |
        (gone ? Flag.Gone : 0) |
        (record.username === undefined ? 0 : Flag.UserName),
    )
    if (gone) out.float(this.#time(record.at))
    if (record.username !== undefined) out.text(record.username)
    out.float(record.delayInterval)
    out.float(record.expiryInterval)
    out.text(record.topicName)
    out.block(record.properties)
    out.block(record.payload)
  }

  #withPacketId(kind: number, record: { clientId: string; packetId: number }, out: ByteWriter): void {
    this.#head(kind, record.clientId, out)
    out.number(record.packetId)
  }

  /** The kind and the client's number; its name before that, if it is new to this file. */
  #head(kind: number, clientId: string, out: ByteWriter): void {
    const client = this.#client(clientId, out)
    out.byte(kind)
    out.number(client)
  }

  /** The client's number; its name goes out first, if it is new to this file. */
  #client(clientId: string, out: ByteWriter): number {
    let client = this.#clients.get(clientId)
    if (client === undefined) {
      client = this.#clients.size
      this.#clients.set(clientId, client)
      out.byte(Kind.Client)
      out.text(clientId)
    }
    return client
  }

  #time(at: number): number {
    if (at > this.newestWallTime) this.newestWallTime = at
    return at
  }
}

function delivery(record: MessageQueued | MessageSent, out: ByteWriter, shared = 0): void {
  const { subscriptionIdentifiers, message, qos, retain } = record
  const { length } = subscriptionIdentifiers
  out.byte(qos | (retain ? Flag.Retain : 0) | (length > 0 ? Flag.Identifiers : 0) | shared)
  out.number(message)
  if (length === 0) return
  out.number(length)
  for (const identifier of subscriptionIdentifiers) out.number(identifier)
}
