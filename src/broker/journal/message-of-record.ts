// A message as it was stored becomes one that can be sent again: after a restart, or when a queue was on disk.
import type { KeptFrames } from '../../net/kept-frames.ts'
import type { MessageStored } from '../../store/durable-store.ts'
import { Message } from '../message.ts'
import { NO_BYTES } from '../publication.ts'

let scratch = Buffer.allocUnsafeSlow(1 << 16)

/** Makes the message, copying the record's bytes; the caller holds it. When it expires, `Message.restored` says. */
export function messageOf(kept: KeptFrames, record: MessageStored): Message {
  const { topicName, payload, qos, properties } = record
  const size = 2 + Buffer.byteLength(topicName) + payload.length
  if (size > scratch.length) scratch = Buffer.allocUnsafeSlow(size * 2)
  const headLength = 2 + scratch.write(topicName, 2)
  scratch.writeUInt16BE(headLength - 2, 0)
  scratch.set(payload, headLength)
  return new Message(kept, kept.keepBytes(scratch.subarray(0, size), headLength), {
    topic: topicName,
    qos,
    retain: false,
    size,
    payloadLength: payload.length,
    properties: properties.length === 0 ? NO_BYTES : new Uint8Array(properties),
    expiresAt: Number.POSITIVE_INFINITY,
  })
}
