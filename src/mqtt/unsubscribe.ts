// UNSUBSCRIBE read, UNSUBACK written. As in subscribe.ts, whether the filters are valid is the broker's question.

import { generateCold, parseCold } from './cold-packets.ts'
import { PacketType } from './packet-type.ts'
import type { Properties } from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { MAX_TOPIC_FILTERS, walkUnsubscribe } from './strict-walk.ts'
import { type SubscriptionAnswer, writeSubscriptionAnswer } from './subscribe.ts'

export interface UnsubscribePacket {
  readonly packetId: number
  readonly filters: readonly string[]
  readonly properties: Properties
}

/**
 * Reads an UNSUBSCRIBE from its body. Throws an MqttError if it is malformed, has no Topic Filter or more than
 * `maxFilters` (0x97).
 */
export function readUnsubscribe(
  firstByte: number,
  body: Uint8Array,
  version: ProtocolVersion,
  maxFilters = MAX_TOPIC_FILTERS,
): UnsubscribePacket {
  const walked = walkUnsubscribe(firstByte, body, version, maxFilters)
  const parsed = parseCold('unsubscribe', (PacketType.Unsubscribe << 4) | 2, walked.bare, version)
  return { packetId: parsed.messageId ?? 0, filters: parsed.unsubscriptions, properties: walked.properties }
}

/**
 * Writes an UNSUBACK at `offset` and returns the offset behind it; 3.x hears no reason codes. As for SUBACK, what does
 * not fit into `maximumPacketSize` is left out [MQTT-3.11.2-1] [MQTT-3.11.2-2], or `offset` comes back. Throws a
 * RangeError if `target` is too small.
 */
export function writeUnsuback(
  target: Uint8Array,
  offset: number,
  answer: SubscriptionAnswer,
  version: ProtocolVersion,
  maximumPacketSize?: number,
): number {
  if (version === ProtocolVersion.Mqtt5) {
    return writeSubscriptionAnswer(target, offset, PacketType.Unsuback, answer, maximumPacketSize)
  }
  return generateCold(target, offset, { cmd: 'unsuback', messageId: answer.packetId, granted: [] }, version)
}
