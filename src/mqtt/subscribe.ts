// SUBSCRIBE read, SUBACK written. Topic Filters come out as strings of checked UTF-8; whether they are valid filters
// is asked by the broker, for 3.x closes the connection where MQTT 5 has a reason code.

import { requireRoom, writeFixedHeader, writeUint16 } from './bytes.ts'
import { generateCold, parseCold } from './cold-packets.ts'
import { MqttError } from './mqtt-error.ts'
import { PacketType } from './packet-type.ts'
import { fitProperties, type Properties, propertiesSize, writeProperties } from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { ReasonCode } from './reason-code.ts'
import { MAX_TOPIC_FILTERS, walkSubscribe } from './strict-walk.ts'
import { isSharedFilter } from './topic.ts'
import { MAX_PACKET_SIZE, packetSize, variableByteIntegerSize } from './variable-byte-integer.ts'

/** One line of a SUBSCRIBE. For 3.x the three options of MQTT 5 are false, false and 0. */
export interface SubscriptionRequest {
  readonly filter: string
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** 0: send retained messages, 1: only for a new subscription, 2: never. */
  readonly retainHandling: number
}

export interface SubscribePacket {
  readonly packetId: number
  readonly subscriptions: readonly SubscriptionRequest[]
  /** `subscriptionIdentifiers` has one element at most. */
  readonly properties: Properties
}

/**
 * Reads a SUBSCRIBE from its body. Throws an MqttError if it is malformed, has no Topic Filter or more than
 * `maxFilters` (0x97), or asks for No Local on a Shared Subscription.
 */
export function readSubscribe(
  firstByte: number,
  body: Uint8Array,
  version: ProtocolVersion,
  maxFilters = MAX_TOPIC_FILTERS,
): SubscribePacket {
  const walked = walkSubscribe(firstByte, body, version, maxFilters)
  const parsed = parseCold('subscribe', (PacketType.Subscribe << 4) | 2, walked.bare, version)
  const subscriptions = parsed.subscriptions.map(({ topic, qos, nl, rap, rh }) => {
    const noLocal = nl === true
    if (noLocal && isSharedFilter(topic)) {
      throw new MqttError(ReasonCode.ProtocolError, 'SUBSCRIBE with No Local on a Shared Subscription', 'MQTT-3.8.3-4')
    }
    return { filter: topic, qos, noLocal, retainAsPublished: rap === true, retainHandling: rh ?? 0 }
  })
  return { packetId: parsed.messageId ?? 0, subscriptions, properties: walked.properties }
}

/** What a SUBACK or UNSUBACK says. */
export interface SubscriptionAnswer {
  readonly packetId: number
  /** One for each Topic Filter, in their order [MQTT-3.8.4-6] [MQTT-3.9.3-1] [MQTT-3.11.3-1]. */
  readonly reasonCodes: readonly number[]
  readonly properties?: Properties
}

/**
 * Writes a SUBACK at `offset` and returns the offset behind it. 3.x hears 0x80 for every failure. Reason String, then
 * User Properties are left out if the packet would be larger than `maximumPacketSize` [MQTT-3.9.2-1] [MQTT-3.9.2-2]; if
 * that is not enough, nothing is written and `offset` comes back. Throws a RangeError if `target` is too small.
 */
export function writeSuback(
  target: Uint8Array,
  offset: number,
  answer: SubscriptionAnswer,
  version: ProtocolVersion,
  maximumPacketSize?: number,
): number {
  if (version === ProtocolVersion.Mqtt5) {
    return writeSubscriptionAnswer(target, offset, PacketType.Suback, answer, maximumPacketSize)
  }
  const granted = answer.reasonCodes.map((code) => Math.min(code, 0x80)) // [MQTT-3.9.3-2]
  return generateCold(target, offset, { cmd: 'suback', messageId: answer.packetId, granted }, version)
}

/** SUBACK and UNSUBACK of MQTT 5, which differ in nothing but their first byte. */
export function writeSubscriptionAnswer(
  target: Uint8Array,
  offset: number,
  type: typeof PacketType.Suback | typeof PacketType.Unsuback,
  answer: SubscriptionAnswer,
  maximumPacketSize = MAX_PACKET_SIZE,
): number {
  const rest = 2 + answer.reasonCodes.length
  const properties = fitProperties(answer.properties, rest, maximumPacketSize)
  const size = propertiesSize(properties)
  const length = rest + variableByteIntegerSize(size) + size
  if (packetSize(length) > maximumPacketSize) return offset
  requireRoom(target, offset, packetSize(length))
  let at = writeFixedHeader(target, offset, type << 4, length)
  at = writeUint16(target, at, answer.packetId)
  at = writeProperties(target, at, properties)
  target.set(answer.reasonCodes, at)
  return at + answer.reasonCodes.length
}
