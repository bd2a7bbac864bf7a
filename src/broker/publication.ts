// A PUBLISH on its way through the broker: either bytes of this turn's inbox or a kept message. One instance is reused
// for every packet of a turn; whoever needs it longer asks for `keep()` (the message) or `detach()` (a copy).
import { PropertyId } from '../mqtt/properties.ts'
import type { QoS } from '../mqtt/qos.ts'
import { variableByteIntegerSize, writeVariableByteInteger } from '../mqtt/variable-byte-integer.ts'
import type { Connection } from '../net/connection.ts'
import type { KeptFrames } from '../net/kept-frames.ts'
import type { AliasUse, Destination, Outbox } from '../net/outbox.ts'
import { fitsOutbox, frameWithProperties } from './large-properties.ts'
import { Message } from './message.ts'
import type { Topic } from './routing/topic.ts'
import type { Session } from './sessions/session.ts'

const NO_IDS: readonly number[] = []
/** No properties: what 3.x receivers get between packet identifier and payload. */
export const NO_BYTES = new Uint8Array(0)
const EMPTY_PROPERTIES = new Uint8Array([0])

export class Publication {
  topic!: Topic
  qos: QoS = 0
  retain = false
  publisher: Session | undefined
  /** MQTT 5 properties to forward, encoded, without expiry, alias and subscription identifiers. */
  properties: Uint8Array = NO_BYTES
  expiresAt = Number.POSITIVE_INFINITY
  payloadLength = 0
  /** Bytes of the Topic Name. */
  topicLength = 0
  /** True while the body stands in the inbox of this turn, complete with its Topic Name. */
  inInbox = false
  bodyOffset = 0
  bodyLength = 0
  payloadOffset = 0
  message: Message | undefined
  /**
   * Where the tail of a version 5 receiver's packet begins when the publisher's own property block can be passed on as it
   * stands in the inbox; 0 when it cannot.
   */
  tail5 = 0
  #middle5: Uint8Array | undefined
  readonly #outbox: Outbox
  readonly #kept: KeptFrames
  readonly #now: () => number

  constructor(outbox: Outbox, kept: KeptFrames, now: () => number) {
    this.#outbox = outbox
    this.#kept = kept
    this.#now = now
  }

  /** Names a PUBLISH body of this turn's inbox. */
  fromInbox(topic: Topic, topicLength: number, bodyOffset: number, bodyLength: number, payloadOffset: number): void {
    this.topic = topic
    this.topicLength = topicLength
    this.inInbox = true
    this.bodyOffset = bodyOffset
    this.bodyLength = bodyLength
    this.payloadOffset = payloadOffset
    this.payloadLength = bodyOffset + bodyLength - payloadOffset
    this.properties = NO_BYTES
    this.expiresAt = Number.POSITIVE_INFINITY
    this.tail5 = 0
    this.message = undefined
    this.#middle5 = undefined
  }

  /** Names a kept message. */
  fromMessage(topic: Topic, message: Message, publisher: Session | undefined): void {
    this.topic = topic
    this.qos = message.qos
    this.retain = message.retain
    this.publisher = publisher
    this.properties = message.properties
    this.expiresAt = message.expiresAt
    this.payloadLength = message.payloadLength
    this.topicLength = message.size - message.payloadLength - 2
    this.inInbox = false
    this.tail5 = 0
    this.message = message
    this.#middle5 = undefined
  }

  /** The message that outlives the turn; made at the first call. */
  keep(): Message {
    if (this.message !== undefined) return this.message
    const handle = this.#kept.keep(this.bodyOffset, this.bodyLength, this.payloadOffset)
    this.message = new Message(this.#kept, handle, {
      topic: this.topic.name,
      qos: this.qos,
      retain: this.retain,
      size: 2 + this.topicLength + this.payloadLength,
      payloadLength: this.payloadLength,
      properties: this.properties.length === 0 ? NO_BYTES : this.properties.slice(),
      expiresAt: this.expiresAt,
    })
    return this.message
  }

  /** A copy that stays valid after the turn: for handlers that wait. Whoever asked for it drops it. */
  detach(): Publication {
    const copy = new Publication(this.#outbox, this.#kept, this.#now)
    copy.fromMessage(this.topic, this.keep().hold(), this.publisher)
    return copy
  }

  /** Handled: gives back its own hold on a message. What stands in the inbox needs none, but may have made one. */
  drop(): void {
    const { message } = this
    this.message = undefined
    if (message === undefined) return
    if (this.inInbox) message.hold()
    message.release()
  }

  /** Writes it to one connection. `first` is the whole first byte; `packetId` 0 for QoS 0. */
  writeTo(
    connection: Destination,
    version: number,
    first: number,
    packetId: number,
    subscriptionIds: readonly number[] | undefined,
  ): void {
    if (version !== 5) {
      this.#write(connection, first, packetId, NO_BYTES, 'none')
    } else if (this.tail5 !== 0 && this.inInbox && subscriptionIds === undefined) {
      this.#outbox.forward(connection, first, packetId, this.bodyOffset, this.bodyLength, this.tail5, NO_BYTES)
    } else {
      this.#write(connection, first, packetId, this.middle(subscriptionIds), 'none')
    }
  }

  /** Writes it with a Topic Alias: one the receiver `knows`, then without the topic, or one this packet sets. */
  writeAliased(
    connection: Connection,
    first: number,
    packetId: number,
    subscriptionIds: readonly number[] | undefined,
    alias: number,
    knows: boolean,
  ): void {
    const middle = propertyBlock(this.properties, this.#expirySeconds(), subscriptionIds, alias)
    this.#write(connection, first, packetId, middle, knows ? 'stands for the topic' : 'sets')
  }

  /** Bytes of the whole packet as a version 5 receiver gets it with `qos`, and `more` bytes in its variable header. */
  packetSize5(qos: QoS, subscriptionIds: readonly number[] | undefined, more = 0): number {
    const passes = this.tail5 !== 0 && this.inInbox && subscriptionIds === undefined
    const middle = passes ? this.payloadOffset - this.tail5 : this.middle(subscriptionIds).length
    const remaining = 2 + this.topicLength + (qos === 0 ? 0 : 2) + middle + this.payloadLength + more
    return 1 + variableByteIntegerSize(remaining) + remaining
  }

  /** Writes it as QoS 0 to every member of a native group, in the plain variant of `version`. */
  writeToGroup(group: number, version: number, exceptSlot: number): void {
    const passes = version === 5 && this.tail5 !== 0 && this.inInbox
    const middle = version === 5 && !passes ? this.middle(undefined) : NO_BYTES
    if (!fitsOutbox(this.#outbox, middle)) {
      const handle = frameWithProperties(this.#kept, this.keep(), middle)
      this.#outbox.multicastKept(group, 0x30, handle, NO_BYTES, exceptSlot)
      this.#kept.release(handle)
    } else if (this.inInbox) {
      const tail = passes ? this.tail5 : this.payloadOffset
      this.#outbox.multicast(group, 0x30, this.bodyOffset, this.bodyLength, tail, middle, exceptSlot)
    } else {
      this.#outbox.multicastKept(group, 0x30, this.message!.handle, middle, exceptSlot)
    }
  }

  /** Writes it to `count` connections: (slot, generation, packet identifier) each. Only from the inbox. */
  writeToList(version: number, first: number, recipients: Int32Array, count: number): void {
    const passes = version === 5 && this.tail5 !== 0
    const middle = version === 5 && !passes ? this.middle(undefined) : NO_BYTES
    const { bodyOffset, bodyLength } = this
    const tail = passes ? this.tail5 : this.payloadOffset
    this.#outbox.forwardList(first, bodyOffset, bodyLength, tail, middle, recipients, count)
  }

  /** The property block a version 5 receiver gets; the one without subscription identifiers is encoded once. */
  middle(subscriptionIds: readonly number[] | undefined): Uint8Array {
    if (subscriptionIds !== undefined) return propertyBlock(this.properties, this.#expirySeconds(), subscriptionIds)
    if (this.#middle5 === undefined) {
      this.#middle5 =
        this.properties.length === 0 && this.expiresAt === Number.POSITIVE_INFINITY
          ? EMPTY_PROPERTIES
          : propertyBlock(this.properties, this.#expirySeconds(), undefined)
    }
    return this.#middle5
  }

  /** Whether it may be written as a list: its properties fit a command. */
  get isListable(): boolean {
    return this.inInbox && this.properties.length < this.#outbox.bytes.length - 16
  }

  #write(connection: Destination, first: number, packetId: number, middle: Uint8Array, alias: AliasUse): void {
    if (!fitsOutbox(this.#outbox, middle)) {
      const handle = frameWithProperties(this.#kept, this.keep(), middle)
      this.#outbox.forwardKept(connection, first, packetId, handle, NO_BYTES, alias)
      this.#kept.release(handle)
    } else if (this.inInbox) {
      const { bodyOffset, bodyLength, payloadOffset } = this
      this.#outbox.forward(connection, first, packetId, bodyOffset, bodyLength, payloadOffset, middle, alias)
    } else {
      this.#outbox.forwardKept(connection, first, packetId, this.message!.handle, middle, alias)
    }
  }

  #expirySeconds(): number {
    return secondsLeft(this.expiresAt, this.#now())
  }
}

/** Seconds until `expiresAt`, rounded up so that a live message never shows 0; Infinity stays. */
export function secondsLeft(expiresAt: number, now: number): number {
  return expiresAt === Number.POSITIVE_INFINITY ? expiresAt : Math.max(0, Math.ceil((expiresAt - now) / 1000))
}

/**
 * Encodes the properties of an outgoing MQTT 5 PUBLISH: length, Message Expiry Interval as what is left of it
 * [MQTT-3.3.2-6], the forwarded properties in their order [MQTT-3.3.2-18], a Topic Alias unless `alias` is 0, Subscription Identifiers [MQTT-3.3.4-3].
 */
export function propertyBlock(
  forwarded: Uint8Array,
  expirySeconds: number,
  subscriptionIds: readonly number[] | undefined,
  alias = 0,
): Uint8Array {
  const expires = expirySeconds !== Number.POSITIVE_INFINITY
  const ids = subscriptionIds ?? NO_IDS
  let length = forwarded.length + (expires ? 5 : 0) + (alias === 0 ? 0 : 3)
  for (const id of ids) length += 1 + variableByteIntegerSize(id)
  const block = new Uint8Array(variableByteIntegerSize(length) + length)
  let at = writeVariableByteInteger(block, 0, length)
  if (expires) {
    block[at] = PropertyId.MessageExpiryInterval
    new DataView(block.buffer).setUint32(at + 1, expirySeconds)
    at += 5
  }
  block.set(forwarded, at)
  at += forwarded.length
  if (alias !== 0) {
    block[at] = PropertyId.TopicAlias
    block[at + 1] = alias >> 8
    block[at + 2] = alias
    at += 3
  }
  for (const id of ids) {
    block[at] = PropertyId.SubscriptionIdentifier
    at = writeVariableByteInteger(block, at + 1, id)
  }
  return block
}
