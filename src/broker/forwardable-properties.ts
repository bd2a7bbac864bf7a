// Which properties of a PUBLISH travel on to its receivers, and in what form: encoded, in their order
// [MQTT-3.3.2-18]. Message Expiry, Topic Alias and Subscription Identifiers do not: the broker writes its own.
import { encodeProperties, type Properties, PropertyId, propertyEnd } from '../mqtt/properties.ts'
import { readVariableByteInteger, variableByteIntegerSize } from '../mqtt/variable-byte-integer.ts'

const NONE = new Uint8Array(0)

/** From the bytes of a PUBLISH that were read before: `length` bytes of properties from `offset`. May be a view. */
export function forwardableBytes(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  if (length === 0) return NONE
  const end = offset + length
  let dropped = 0
  for (let at = offset; at < end; ) {
    const next = propertyEnd(bytes, at, end)
    if (!travels(bytes[at]!)) dropped += next - at
    at = next
  }
  if (dropped === 0) return bytes.subarray(offset, end)
  const kept = new Uint8Array(length - dropped)
  let to = 0
  for (let at = offset; at < end; ) {
    const next = propertyEnd(bytes, at, end)
    if (travels(bytes[at]!)) {
      kept.set(bytes.subarray(at, next), to)
      to += next - at
    }
    at = next
  }
  return kept
}

/** From properties that were read into an object: those of a Will or of the embedding program. */
export function forwardableProperties(properties: Properties): Uint8Array {
  const { payloadFormatIndicator, contentType, responseTopic, correlationData, userProperties } = properties
  const encoded = encodeProperties({
    ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData }),
    ...(userProperties === undefined ? {} : { userProperties }),
  })
  return encoded.subarray(variableByteIntegerSize(readVariableByteInteger(encoded, 0, encoded.length)))
}

function travels(id: number): boolean {
  return (
    id !== PropertyId.MessageExpiryInterval && id !== PropertyId.TopicAlias && id !== PropertyId.SubscriptionIdentifier
  )
}
