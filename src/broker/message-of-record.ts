// A message as it was stored becomes one that can be sent again: after a restart, or when a queue was on disk.
import type { KeptFrames } from '../net/kept-frames.ts'
import type { MessageStored } from '../store/durable-store.ts'
import { RECOVERED, StoredMessage } from './journal-batch.ts'
import { Message } from './message.ts'
import { NO_BYTES } from './publication.ts'

export interface Restored {
  /** The RETAIN flag as published. */
  readonly retain: boolean
  /** ms of the broker's clock; Infinity: never. */
  readonly expiresAt: number
  /** Places, as the records say, that will need this object. */
  readonly references: number
}

/** Makes the message; the caller holds it. */
export function messageOf(kept: KeptFrames, record: MessageStored, restored: Restored): Message {
  const name = Buffer.from(record.topicName)
  const bytes = Buffer.allocUnsafe(2 + name.length + record.payload.length)
  bytes.writeUInt16BE(name.length, 0)
  bytes.set(name, 2)
  bytes.set(record.payload, 2 + name.length)
  const message = new Message(kept, kept.keepBytes(bytes, 2 + name.length), {
    topic: record.topicName,
    qos: record.qos,
    retain: restored.retain,
    size: bytes.length,
    payloadLength: record.payload.length,
    // A copy: what was read stands in a piece of a file that must not be held for it.
    properties: record.properties.length === 0 ? NO_BYTES : new Uint8Array(record.properties),
    expiresAt: restored.expiresAt,
  })
  message.stored = new StoredMessage(message, record.message, RECOVERED, 0)
  message.stored.references = restored.references
  return message
}
