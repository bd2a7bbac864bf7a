// Reading properties of MQTT 5 packets: the strict walk over them (which, where, how often, in what range), the
// objects cold packets are given, and the walk without objects that PUBLISH and acknowledgements use.
// The table is property-table.ts; writing is property-writer.ts.

import { copyBytes, uint16, uint32 } from './bytes.ts'
import { MqttError } from './mqtt-error.ts'
import { packetName, type Sender } from './packet-type.ts'
import { NO_PROPERTIES, type Properties, type UserProperty } from './property-set.ts'
import {
  isAllowed,
  isRepeatable,
  keyOf,
  onceBit,
  PropertyId,
  type PropertyPlace,
  PropertyType,
  propertyName,
  typeOf,
  WILL_PROPERTIES,
} from './property-table.ts'
import { ReasonCode } from './reason-code.ts'
import { topicProblemInBytes } from './topic.ts'
import { decodeUtf8, isWellFormedUtf8 } from './utf8.ts'
import { readVariableByteInteger, variableByteIntegerSize } from './variable-byte-integer.ts'

export { NO_PROPERTIES, type Properties, type UserProperty } from './property-set.ts'
export { PropertyId, type PropertyPlace, WILL_PROPERTIES } from './property-table.ts'
export {
  encodeProperties,
  fitProperties,
  propertiesSize,
  writeForwardedProperties,
  writeProperties,
} from './property-writer.ts'

type Building = { -readonly [K in keyof Properties]: Properties[K] } & {
  userProperties?: UserProperty[]
  subscriptionIdentifiers?: number[]
}

/**
 * Reads the properties in `bytes` from `offset` (the first property, behind the Property Length) to `end`.
 * Throws an MqttError: 0x81 for what cannot be read or does not belong there, 0x82 for repetitions and values out of
 * range, 0x94 for a Topic Alias of 0. Binary values are copies.
 */
export function readProperties(
  bytes: Uint8Array,
  offset: number,
  end: number,
  place: PropertyPlace,
  sender: Sender = 'client',
): Properties {
  if (offset === end) return NO_PROPERTIES
  const properties: Building = {}
  let seen = 0
  for (let at = offset; at < end; ) {
    const next = checkProperty(bytes, at, end, place, sender)
    seen = noteProperty(seen, bytes[at], place)
    take(properties, bytes, at, next)
    at = next
  }
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    throw new MqttError(
      ReasonCode.ProtocolError,
      `${placeName(place)} with Authentication Data but no Authentication Method`,
    )
  }
  return properties
}

/** The same walk as `readProperties`, for packets whose properties nobody wants as an object. Allocates nothing. */
export function checkProperties(
  bytes: Uint8Array,
  offset: number,
  end: number,
  place: PropertyPlace,
  sender: Sender = 'client',
): void {
  let seen = 0
  for (let at = offset; at < end; ) {
    const next = checkProperty(bytes, at, end, place, sender)
    seen = noteProperty(seen, bytes[at], place)
    at = next
  }
}

/**
 * The Property Length at `offset`; the first property follows at `offset + variableByteIntegerSize(length)`. Throws an
 * MqttError if the length or the properties do not end before `end`.
 */
export function readPropertyLength(bytes: Uint8Array, offset: number, end: number, place: PropertyPlace): number {
  const length = readVariableByteInteger(bytes, offset, end)
  if (length < 0 || offset + variableByteIntegerSize(length) + length > end) {
    throw new MqttError(ReasonCode.MalformedPacket, `${placeName(place)} with a Property Length that does not fit`)
  }
  return length
}

/** Adds property `id` to the set `seen` of those that stood already. Throws if it may not repeat and does. */
export function noteProperty(seen: number, id: number, place: PropertyPlace): number {
  const bit = onceBit[id]
  if ((seen & bit) !== 0 && !isRepeatable(id, place)) {
    throw new MqttError(ReasonCode.ProtocolError, `${placeName(place)} with more than one ${propertyName(id)}`)
  }
  return seen | bit
}

/** Checks the property at `at` in every respect but repetition, and returns where it ends. */
export function checkProperty(
  bytes: Uint8Array,
  at: number,
  end: number,
  place: PropertyPlace,
  sender: Sender,
): number {
  const id = bytes[at]
  if (!isAllowed(id, place, sender)) {
    // Section 2.2.2.2: an Identifier which is not valid for its packet type makes a Malformed Packet
    const reason = typeOf[id] === PropertyType.None || isFromNobody(id, place) ? 0x81 : 0x82
    throw new MqttError(reason, `${placeName(place)} with ${propertyName(id)}, which does not belong there`)
  }
  const next = propertyEnd(bytes, at, end)
  if (next < 0) throw new MqttError(ReasonCode.MalformedPacket, `${placeName(place)} cuts off its ${propertyName(id)}`)
  checkValue(bytes, at + 1, next, place)
  return next
}

/** Neither end may put it there; otherwise it is the sender that is wrong, not the packet. */
function isFromNobody(id: number, place: PropertyPlace): boolean {
  return !isAllowed(id, place, 'client') && !isAllowed(id, place, 'server')
}

/** Where the property at `at` ends, or -1 if that is behind `end`. Its identifier must be a known one. */
export function propertyEnd(bytes: Uint8Array, at: number, end: number): number {
  const value = at + 1
  let next: number
  switch (typeOf[bytes[at]]) {
    case PropertyType.Bit:
    case PropertyType.Flag:
      next = value + 1
      break
    case PropertyType.TwoByteInteger:
    case PropertyType.TwoByteCount:
      next = value + 2
      break
    case PropertyType.FourByteInteger:
    case PropertyType.FourByteCount:
      next = value + 4
      break
    case PropertyType.VariableByteCount: {
      const number = readVariableByteInteger(bytes, value, end)
      next = number < 0 ? end + 1 : value + variableByteIntegerSize(number)
      break
    }
    case PropertyType.StringPair:
      next = prefixedEnd(bytes, value, end)
      if (next <= end) next = prefixedEnd(bytes, next, end)
      break
    default:
      next = prefixedEnd(bytes, value, end)
  }
  return next > end ? -1 : next
}

/** Where the length-prefixed string or data at `at` ends, beyond `end` if it is cut off. */
function prefixedEnd(bytes: Uint8Array, at: number, end: number): number {
  return at + 2 > end ? end + 1 : at + 2 + uint16(bytes, at)
}

function checkValue(bytes: Uint8Array, at: number, next: number, place: PropertyPlace): void {
  const id = bytes[at - 1]
  switch (typeOf[id]) {
    case PropertyType.Bit:
    case PropertyType.Flag:
      if (bytes[at] > 1) refuseValue(id, bytes[at], place)
      return
    case PropertyType.TwoByteCount:
      if (uint16(bytes, at) === 0) refuseValue(id, 0, place)
      return
    case PropertyType.FourByteCount:
      if (uint32(bytes, at) === 0) refuseValue(id, 0, place)
      return
    case PropertyType.VariableByteCount:
      if (bytes[at] === 0) refuseValue(id, 0, place)
      return
    case PropertyType.String:
      checkString(bytes, at, id, place)
      return
    case PropertyType.TopicName:
      checkString(bytes, at, id, place)
      checkTopicName(bytes, at, next, id, place)
      return
    case PropertyType.StringPair:
      checkString(bytes, checkString(bytes, at, id, place), id, place)
      return
  }
}

function refuseValue(id: number, value: number, place: PropertyPlace): never {
  const reason = id === PropertyId.TopicAlias ? ReasonCode.TopicAliasInvalid : ReasonCode.ProtocolError
  const clause = id === PropertyId.TopicAlias ? 'MQTT-3.3.2-8' : undefined
  throw new MqttError(reason, `${placeName(place)} with ${propertyName(id)} ${value}`, clause)
}

/** Checks the string at `at` and returns where it ends. */
function checkString(bytes: Uint8Array, at: number, id: number, place: PropertyPlace): number {
  const length = uint16(bytes, at)
  if (!isWellFormedUtf8(bytes, at + 2, length)) {
    const message = `${placeName(place)} with ill-formed UTF-8 in its ${propertyName(id)}`
    throw new MqttError(ReasonCode.MalformedPacket, message, 'MQTT-1.5.4-1')
  }
  return at + 2 + length
}

function checkTopicName(bytes: Uint8Array, at: number, next: number, id: number, place: PropertyPlace): void {
  const problem = topicProblemInBytes(bytes, at + 2, next - at - 2)
  if (problem === undefined) return
  throw new MqttError(ReasonCode.ProtocolError, `${placeName(place)}: ${propertyName(id)}: ${problem}`, 'MQTT-3.3.2-14')
}

function placeName(place: PropertyPlace): string {
  return place === WILL_PROPERTIES ? 'Will' : packetName(place)
}

function string(bytes: Uint8Array, at: number): string {
  return decodeUtf8(bytes, at + 2, uint16(bytes, at))
}

/** Puts the checked property from `at` to `next` into the object. */
function take(into: Building, bytes: Uint8Array, at: number, next: number): void {
  const id = bytes[at]
  const value = at + 1
  if (id === PropertyId.UserProperty) {
    const second = value + 2 + uint16(bytes, value)
    into.userProperties ??= []
    into.userProperties.push([string(bytes, value), string(bytes, second)])
  } else if (id === PropertyId.SubscriptionIdentifier) {
    into.subscriptionIdentifiers ??= []
    into.subscriptionIdentifiers.push(readVariableByteInteger(bytes, value, next))
  } else {
    const singles: Record<string, unknown> = into // the table pairs each key with the type of its value
    singles[keyOf[id]] = singleValue(bytes, id, value, next)
  }
}

function singleValue(bytes: Uint8Array, id: number, at: number, next: number): string | number | boolean | Uint8Array {
  switch (typeOf[id]) {
    case PropertyType.Bit:
      return bytes[at]
    case PropertyType.Flag:
      return bytes[at] === 1
    case PropertyType.TwoByteInteger:
    case PropertyType.TwoByteCount:
      return uint16(bytes, at)
    case PropertyType.FourByteInteger:
    case PropertyType.FourByteCount:
      return uint32(bytes, at)
    case PropertyType.BinaryData:
      return copyBytes(bytes, at + 2, next)
    default:
      return string(bytes, at)
  }
}
