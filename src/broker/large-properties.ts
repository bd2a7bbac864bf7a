// Property blocks that do not fit the outbox (tens of kilobytes of User Properties): the packet is put together once, as
// a kept frame whose tail begins with them. Slow, rare, and the same for every way a message is written.
import type { KeptFrames } from '../net/kept-frames.ts'
import type { Outbox } from '../net/outbox.ts'
import type { Message } from './message.ts'

export function fitsOutbox(outbox: Outbox, middle: Uint8Array): boolean {
  return middle.length <= outbox.bytes.length
}

/** A frame of topic, then `middle` and the payload. Returns its handle; the caller releases it after its command. */
export function frameWithProperties(kept: KeptFrames, message: Message, middle: Uint8Array): number {
  const head = message.size - message.payloadLength
  const bytes = new Uint8Array(message.size + middle.length)
  kept.read(message.handle, 0, bytes.subarray(0, head))
  bytes.set(middle, head)
  bytes.set(message.payload(), head + middle.length)
  return kept.keepBytes(bytes, head)
}
