// An Application Message that outlives its turn: in flight, queued, retained, or made by the broker itself. Its bytes
// are a kept frame (native memory); this object counts who still needs them and gives the frame back when nobody does.
import type { QoS } from '../mqtt/qos.ts'
import type { KeptFrames } from '../net/kept-frames.ts'
import type { StoredMessage } from './journal/journal-batch.ts'
import type { SharedGroup } from './routing/shared-subscriptions.ts'

export class Message {
  readonly topic: string
  readonly qos: QoS
  /** The RETAIN flag as published. */
  retain: boolean
  /** Bytes of Topic Name and payload. */
  readonly size: number
  /** Length of the payload in bytes. */
  readonly payloadLength: number
  /** MQTT 5 properties to forward, encoded, without expiry, alias and subscription identifiers. */
  readonly properties: Uint8Array
  /** When it expires, in ms of the broker's clock; Infinity = never [MQTT-3.3.2-5]. */
  expiresAt: number
  readonly handle: number
  /** Where the payload begins in its frame. */
  readonly #payloadOffset: number
  /** What the journal knows of it, while something that outlives the process needs it. */
  stored: StoredMessage | undefined
  readonly #kept: KeptFrames
  #references = 0

  constructor(kept: KeptFrames, handle: number, content: MessageContent) {
    this.#kept = kept
    this.handle = handle
    this.topic = content.topic
    this.qos = content.qos
    this.retain = content.retain
    this.size = content.size
    this.payloadLength = content.payloadLength
    this.properties = content.properties
    this.expiresAt = content.expiresAt
    this.#payloadOffset = content.payloadOffset ?? content.size - content.payloadLength
  }

  /** It was stored, and this is what its record does not say: RETAIN as published, and its expiry by the broker's clock. */
  restored(retain: boolean, expiresAt: number): void {
    this.retain = retain
    this.expiresAt = expiresAt
  }

  /** One more place needs it. */
  hold(): this {
    this.#references++
    return this
  }

  /** One place fewer. The last one gives the frame back. */
  release(): void {
    if (--this.#references === 0) this.#kept.release(this.handle)
  }

  /** A copy of the payload. */
  payload(): Buffer {
    const bytes = Buffer.allocUnsafe(this.payloadLength)
    this.#kept.read(this.handle, this.#payloadOffset, bytes)
    return bytes
  }
}

export interface MessageContent {
  topic: string
  qos: QoS
  retain: boolean
  size: number
  payloadLength: number
  properties: Uint8Array
  expiresAt: number
  /** If it does not stand right behind the topic: in a frame that arrived kept, with all its packet had in between. */
  payloadOffset?: number
}

/** A message on its way to one session: what its subscription made of it. */
export class Delivery {
  readonly message: Message
  readonly qos: QoS
  /** The RETAIN flag as this receiver sees it. */
  readonly retain: boolean
  readonly subscriptionIds: readonly number[] | undefined
  /** The shared group it comes from: there it goes back if the client leaves without having acknowledged it. */
  readonly group: SharedGroup | undefined
  /** The journal's: batch (0: none) and place of its latest record, and of the one that queued it before it was sent. */
  recordedIn = 0
  recordedAt = 0
  queuedIn = 0
  queuedAt = 0

  constructor(
    message: Message,
    qos: QoS,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
    group?: SharedGroup,
  ) {
    this.group = group
    this.message = message
    this.qos = qos
    this.retain = retain
    this.subscriptionIds = subscriptionIds
  }
}
