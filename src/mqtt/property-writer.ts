// Writing the properties of MQTT 5 packets, in the order of the table, Subscription Identifiers and User Properties
// last, each in their own order. Whoever writes is ours, so nothing is checked but what the wire cannot say
// (RangeError).

import {
  binarySize,
  requireRoom,
  stringSize,
  uint16,
  writeBinary,
  writeString,
  writeUint16,
  writeUint32,
} from './bytes.ts'
import { NO_PROPERTIES, type Properties } from './property-set.ts'
import { keyOf, PropertyId, PropertyType, singleIds, typeOf } from './property-table.ts'
import {
  MAX_VARIABLE_BYTE_INTEGER,
  packetSize,
  variableByteIntegerSize,
  writeVariableByteInteger,
} from './variable-byte-integer.ts'

const I = PropertyId
type Value = string | number | boolean | Uint8Array

/** Bytes the properties take, without the Property Length in front of them. */
export function propertiesSize(properties: Properties): number {
  if (properties === NO_PROPERTIES) return 0
  let size = 0
  for (const id of singleIds) {
    const value = single(properties, id)
    if (value !== undefined) size += 1 + valueSize(id, value)
  }
  for (const identifier of properties.subscriptionIdentifiers ?? []) size += 1 + variableByteIntegerSize(identifier)
  for (const [name, value] of properties.userProperties ?? []) size += 1 + stringSize(name) + stringSize(value)
  return size
}

/** The table knows which keys have one value. */
function single(properties: Properties, id: number): Value | undefined {
  return properties[keyOf[id]] as Value | undefined
}

function valueSize(id: number, value: Value): number {
  if (typeof value === 'string') return stringSize(value)
  if (value instanceof Uint8Array) return binarySize(value)
  return integerSize(id)
}

function integerSize(id: number): number {
  const type = typeOf[id]
  if (type === PropertyType.Bit || type === PropertyType.Flag) return 1
  return type === PropertyType.TwoByteInteger || type === PropertyType.TwoByteCount ? 2 : 4
}

/**
 * Writes the Property Length and the properties at `offset`, and returns the offset behind them. Throws a RangeError
 * if they do not fit into `target`, or a string or number is larger than the wire can say.
 */
export function writeProperties(target: Uint8Array, offset: number, properties: Properties = NO_PROPERTIES): number {
  const length = propertiesSize(properties)
  requireRoom(target, offset, variableByteIntegerSize(length) + length)
  let at = writeVariableByteInteger(target, offset, length)
  if (length === 0) return at
  for (const id of singleIds) {
    const value = single(properties, id)
    if (value === undefined) continue
    target[at] = id
    at = writeValue(target, at + 1, id, value)
  }
  for (const identifier of properties.subscriptionIdentifiers ?? []) {
    requireRange(identifier, MAX_VARIABLE_BYTE_INTEGER)
    target[at] = I.SubscriptionIdentifier
    at = writeVariableByteInteger(target, at + 1, identifier)
  }
  for (const [name, value] of properties.userProperties ?? []) {
    target[at] = I.UserProperty
    at = writeString(target, writeString(target, at + 1, name), value)
  }
  return at
}

function writeValue(target: Uint8Array, at: number, id: number, value: Value): number {
  if (typeof value === 'string') return writeString(target, at, value)
  if (value instanceof Uint8Array) return writeBinary(target, at, value)
  const number = Number(value)
  switch (integerSize(id)) {
    case 1:
      requireRange(number, 1)
      target[at] = number
      return at + 1
    case 2:
      requireRange(number, 0xffff)
      return writeUint16(target, at, number)
    default:
      requireRange(number, 0xffffffff)
      return writeUint32(target, at, number)
  }
}

function requireRange(value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${value} is not a property value from 0 to ${max}`)
  }
}

/** The properties as they stand on the wire, their Property Length in front. */
export function encodeProperties(properties: Properties = NO_PROPERTIES): Uint8Array {
  const length = propertiesSize(properties)
  const target = new Uint8Array(variableByteIntegerSize(length) + length)
  writeProperties(target, 0, properties)
  return target
}

/**
 * What of `properties` may be sent in a packet of at most `maximumPacketSize` bytes, of which `rest` are Remaining
 * Length without the properties and their length. Reason String goes first, then User Properties: a receiver can do
 * without [MQTT-3.2.2-19] [MQTT-3.2.2-20]. What is left may still be too large: ask `packetSize` before sending.
 */
export function fitProperties(properties: Properties | undefined, rest: number, maximumPacketSize: number): Properties {
  if (properties === undefined) return NO_PROPERTIES
  if (fits(properties, rest, maximumPacketSize)) return properties
  const { reasonString: _reasonString, ...withoutReason } = properties
  if (fits(withoutReason, rest, maximumPacketSize)) return withoutReason
  const { userProperties: _userProperties, ...needed } = withoutReason
  return needed
}

function fits(properties: Properties, rest: number, maximumPacketSize: number): boolean {
  const length = propertiesSize(properties)
  return packetSize(rest + variableByteIntegerSize(length) + length) <= maximumPacketSize
}

/** What a PUBLISH sent on says instead of, or in addition to, what its publisher said. */
export interface ForwardedProperties {
  /** Seconds left, for a message that has a Message Expiry Interval [MQTT-3.3.2-6]; undefined: as published. */
  readonly messageExpiryInterval?: number
  /** An alias of this connection, in this direction; 0 or undefined: none. */
  readonly topicAlias?: number
  /** Of the matching subscriptions, once each [MQTT-3.3.4-3] [MQTT-3.3.4-4]. */
  readonly subscriptionIdentifiers?: readonly number[]
}

/**
 * Writes the Property Length and properties of a PUBLISH sent on: the publisher's, unaltered and in their order
 * [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20], except that its Topic
 * Alias is left out, and with the `changes`. `bytes` holds the publisher's, already checked, from `propertiesOffset` on
 * for `propertiesLength`. Returns the offset behind. Throws a RangeError if `target` is too small.
 */
export function writeForwardedProperties(
  target: Uint8Array,
  offset: number,
  bytes: Uint8Array,
  propertiesOffset: number,
  propertiesLength: number,
  changes: ForwardedProperties = {},
): number {
  const { messageExpiryInterval, topicAlias = 0, subscriptionIdentifiers = [] } = changes
  const end = propertiesOffset + propertiesLength
  let length = propertiesLength + (topicAlias === 0 ? 0 : 3)
  for (let at = propertiesOffset; at < end; at = checkedEnd(bytes, at)) if (bytes[at] === I.TopicAlias) length -= 3
  for (const identifier of subscriptionIdentifiers) length += 1 + variableByteIntegerSize(identifier)
  requireRoom(target, offset, variableByteIntegerSize(length) + length)

  let out = writeVariableByteInteger(target, offset, length)
  if (topicAlias !== 0) {
    target[out] = I.TopicAlias
    out = writeUint16(target, out + 1, topicAlias)
  }
  for (const identifier of subscriptionIdentifiers) {
    target[out] = I.SubscriptionIdentifier
    out = writeVariableByteInteger(target, out + 1, identifier)
  }
  for (let at = propertiesOffset; at < end; ) {
    const next = checkedEnd(bytes, at)
    if (bytes[at] === I.MessageExpiryInterval && messageExpiryInterval !== undefined) {
      target[out] = I.MessageExpiryInterval
      out = writeUint32(target, out + 1, messageExpiryInterval)
    } else if (bytes[at] !== I.TopicAlias) {
      while (at < next) target[out++] = bytes[at++]
    }
    at = next
  }
  return out
}

/** Where a property of a PUBLISH ends that was checked when it was read. */
function checkedEnd(bytes: Uint8Array, at: number): number {
  switch (bytes[at]) {
    case I.PayloadFormatIndicator:
      return at + 2
    case I.TopicAlias:
      return at + 3
    case I.MessageExpiryInterval:
      return at + 5
    case I.UserProperty: {
      const second = at + 3 + uint16(bytes, at + 1)
      return second + 2 + uint16(bytes, second)
    }
    default:
      return at + 3 + uint16(bytes, at + 1)
  }
}
