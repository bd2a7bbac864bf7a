// Bytes → JournalRecord, the shapes of record-encoder.ts. One decoder reads one file after the other, from its beginning,
// because the file's dictionary of Client Identifiers is met on the way.

import type { JournalRecord, MessageStored } from '../journal-record.ts'
import { ByteReader } from './byte-reader.ts'
import { Flag, Kind, RETAIN_HANDLING_SHIFT } from './record-encoder.ts'

const NOTHING = new Uint8Array(0)
const NONE: readonly number[] = []

export interface DecoderOptions {
  /** Leave topic, payload and properties of `message-stored` empty: who counts references needs only the number. */
  readonly skipBodies?: boolean
  /** The file is not read from its beginning: who a record is about is not known, and empty. */
  readonly anonymous?: boolean
}

export class RecordDecoder {
  /** As stated by the checkpoint read, and raised by every record since. */
  newestWallTime = -Infinity
  newestMessage = 0
  /** How many records a checkpoint said it has; undefined until its end was read. */
  announcedRecords: number | undefined
  /** Where the record last returned began and ended, in the bytes given to `begin`. */
  start = 0
  end = 0
  /** Whether the bytes of messages are those given to `begin`, not copies. */
  borrows = false
  /** Only these messages come with topic, properties and payload; undefined: all. */
  wanted: ReadonlySet<number> | undefined
  readonly #in = new ByteReader()
  readonly #skipBodies: boolean
  readonly #anonymous: boolean
  #clients: string[] = []
  /** The delivery last read came from a shared group, which is named behind it. */
  #isShared = false

  constructor(options: DecoderOptions = {}) {
    this.#skipBodies = options.skipBodies ?? false
    this.#anonymous = options.anonymous ?? false
  }

  beginFile(): void {
    this.#clients = []
    this.announcedRecords = undefined
  }

  /** The body of a frame: `next` tells its records. */
  begin(bytes: Buffer, start: number, end: number): void {
    this.#in.set(bytes, start, end)
  }

  /** The next record of the frame; undefined at its end. @throws RangeError if the bytes are not of this format. */
  next(): JournalRecord | undefined {
    const reader = this.#in
    while (reader.at < reader.end) {
      this.start = reader.at
      const kind = reader.byte()
      if (kind === Kind.Client) this.#clients.push(reader.text())
      else if (kind === Kind.Marks) this.#marks()
      else if (kind === Kind.End) this.announcedRecords = reader.number()
      else {
        const record = this.#record(kind)
        this.end = reader.at
        return record
      }
    }
    return undefined
  }

  #record(kind: number): JournalRecord {
    const reader = this.#in
    switch (kind) {
      case Kind.MessageStored:
        return this.#messageStored()
      case Kind.MessageQueued: {
        const clientId = this.#client()
        return { type: 'message-queued', clientId, ...this.#delivery() }
      }
      case Kind.MessageSent: {
        const clientId = this.#client()
        const packetId = reader.number()
        const delivery = this.#delivery()
        const group = this.#isShared ? this.#client() : undefined
        return { type: 'message-sent', clientId, packetId, ...delivery, group }
      }
      case Kind.MessageDropped:
        return { type: 'message-dropped', clientId: this.#client(), message: reader.number() }
      case Kind.MessageReceived:
        return { type: 'message-received', clientId: this.#client(), packetId: reader.number() }
      case Kind.MessageAcknowledged:
        return { type: 'message-acknowledged', clientId: this.#client(), packetId: reader.number() }
      case Kind.InboundAdded:
        return { type: 'inbound-added', clientId: this.#client(), packetId: reader.number() }
      case Kind.InboundReleased:
        return { type: 'inbound-released', clientId: this.#client(), packetId: reader.number() }
      case Kind.RetainedSet:
        return { type: 'retained-set', topicName: reader.text(), message: reader.number() }
      case Kind.RetainedRemoved:
        return { type: 'retained-removed', topicName: reader.text() }
      default:
        return this.#sessionRecord(kind)
    }
  }

  #sessionRecord(kind: number): JournalRecord {
    const reader = this.#in
    switch (kind) {
      case Kind.SessionOpened: {
        const clientId = this.#client()
        const protocolVersion = reader.byte() as 3 | 4 | 5
        return { type: 'session-opened', clientId, protocolVersion, expiryInterval: reader.float() }
      }
      case Kind.SessionLeft: {
        const clientId = this.#client()
        const at = this.#time()
        return { type: 'session-left', clientId, at, expiryInterval: reader.float() }
      }
      case Kind.SessionRemoved:
        return { type: 'session-removed', clientId: this.#client() }
      case Kind.SubscriptionSet:
        return this.#subscription()
      case Kind.SubscriptionRemoved:
        return { type: 'subscription-removed', clientId: this.#client(), topicFilter: reader.text() }
      case Kind.WillSet:
        return this.#will()
      case Kind.WillRemoved:
        return { type: 'will-removed', clientId: this.#client() }
      default:
        throw new RangeError(`unknown kind of record: ${kind}`)
    }
  }

  #messageStored(): MessageStored {
    const reader = this.#in
    const flags = reader.byte()
    const message = reader.number()
    if (message > this.newestMessage) this.newestMessage = message
    const at = this.#time()
    const expiresAt = flags & Flag.Expires ? reader.float() : Infinity
    const qos = (flags & Flag.Qos) as 0 | 1 | 2
    let topicName = ''
    let properties: Uint8Array = NOTHING
    let payload: Uint8Array = NOTHING
    if (this.#skipBodies || (this.wanted !== undefined && !this.wanted.has(message))) {
      reader.skipBlock()
      if (flags & Flag.Properties) reader.skipBlock()
      reader.skipBlock()
    } else {
      topicName = reader.text()
      if (flags & Flag.Properties) properties = this.borrows ? reader.view() : reader.block()
      payload = this.borrows ? reader.view() : reader.block()
    }
    return { type: 'message-stored', message, topicName, payload, qos, at, expiresAt, properties }
  }

  #delivery(): { message: number; qos: 1 | 2; retain: boolean; subscriptionIdentifiers: readonly number[] } {
    const reader = this.#in
    const flags = reader.byte()
    this.#isShared = (flags & Flag.Shared) !== 0
    const message = reader.number()
    let subscriptionIdentifiers = NONE
    if (flags & Flag.Identifiers) {
      const length = reader.number()
      subscriptionIdentifiers = Array.from({ length }, () => reader.number())
    }
    return { message, qos: (flags & Flag.Qos) as 1 | 2, retain: (flags & Flag.Retain) !== 0, subscriptionIdentifiers }
  }

  #subscription(): JournalRecord {
    const clientId = this.#client()
    const flags = this.#in.byte()
    const subscriptionIdentifier = this.#in.number()
    return {
      type: 'subscription-set',
      clientId,
      topicFilter: this.#in.text(),
      qos: (flags & Flag.Qos) as 0 | 1 | 2,
      noLocal: (flags & Flag.NoLocal) !== 0,
      retainAsPublished: (flags & Flag.RetainAsPublished) !== 0,
      retainHandling: ((flags >> RETAIN_HANDLING_SHIFT) & 3) as 0 | 1 | 2,
      subscriptionIdentifier,
    }
  }

  #will(): JournalRecord {
    const reader = this.#in
    const clientId = this.#client()
    const flags = reader.byte()
    const at = flags & Flag.Gone ? this.#time() : undefined
    const username = flags & Flag.UserName ? reader.text() : undefined
    const delayInterval = reader.float()
    const expiryInterval = reader.float()
    const topicName = reader.text()
    const properties = reader.block()
    const payload = reader.block()
    const qos = (flags & Flag.Qos) as 0 | 1 | 2
    const retain = (flags & Flag.Retain) !== 0
    const type = 'will-set'
    return { type, clientId, topicName, payload, qos, retain, delayInterval, expiryInterval, properties, username, at }
  }

  #marks(): void {
    this.newestWallTime = Math.max(this.newestWallTime, this.#in.float())
    this.newestMessage = Math.max(this.newestMessage, this.#in.number())
  }

  #client(): string {
    const number = this.#in.number()
    const clientId = this.#anonymous ? '' : this.#clients[number]
    if (clientId === undefined) throw new RangeError(`unknown client number: ${number}`)
    return clientId
  }

  #time(): number {
    const at = this.#in.float()
    if (at > this.newestWallTime) this.newestWallTime = at
    return at
  }
}
