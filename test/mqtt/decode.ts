// Reads one whole Control Packet with the readers of src/mqtt, and shows it as a plain object whose binary values are
// hexadecimal: the form fixtures are written in. Hot packets are read from the middle of a poisoned buffer, so that
// a reader that looks past its packet finds 0xA5 there, not the end.

import { type AcknowledgementType, AcknowledgementView, readAcknowledgement } from '../../src/mqtt/acknowledgement.ts'
import { readAuth } from '../../src/mqtt/auth.ts'
import { readConnect } from '../../src/mqtt/connect.ts'
import { readDisconnect } from '../../src/mqtt/disconnect.ts'
import { PacketType } from '../../src/mqtt/packet-type.ts'
import { checkPingreq } from '../../src/mqtt/ping.ts'
import { type Properties, type PropertyPlace, readProperties } from '../../src/mqtt/properties.ts'
import type { ProtocolVersion } from '../../src/mqtt/protocol-version.ts'
import { checkTopicInBytes, PublishView, readPublish } from '../../src/mqtt/publish.ts'
import { readSubscribe } from '../../src/mqtt/subscribe.ts'
import { readUnsubscribe } from '../../src/mqtt/unsubscribe.ts'
import { decodeUtf8 } from '../../src/mqtt/utf8.ts'
import { readVariableByteInteger, variableByteIntegerSize } from '../../src/mqtt/variable-byte-integer.ts'

const publishView = new PublishView()
const acknowledgementView = new AcknowledgementView()

/** Throws what the reader throws. */
export function decode(packet: Uint8Array, version: ProtocolVersion): Record<string, unknown> {
  const length = readVariableByteInteger(packet, 1, packet.length)
  const start = 1 + variableByteIntegerSize(length)
  if (length < 0 || start + length !== packet.length) throw new Error('the fixture is not one whole packet')
  const body = packet.subarray(start)
  return plain(read(packet[0], body, version))
}

function read(firstByte: number, body: Uint8Array, version: ProtocolVersion): object {
  switch (firstByte >> 4) {
    case PacketType.Connect:
      return readConnect(firstByte, body)
    case PacketType.Publish:
      return publish(firstByte, body, version)
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
      return acknowledgement(firstByte, body, version)
    case PacketType.Subscribe:
      return readSubscribe(firstByte, body, version)
    case PacketType.Unsubscribe:
      return readUnsubscribe(firstByte, body, version)
    case PacketType.Pingreq:
      checkPingreq(firstByte, body.length, version)
      return {}
    case PacketType.Disconnect:
      return readDisconnect(firstByte, body, version)
    case PacketType.Auth:
      return readAuth(firstByte, body, version)
    default:
      throw new Error(`no client sends packet type ${firstByte >> 4}`)
  }
}

const BEFORE = 13
function poisoned(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BEFORE + body.length + 7).fill(0xa5)
  bytes.set(body, BEFORE)
  return bytes
}

function publish(firstByte: number, body: Uint8Array, version: ProtocolVersion): object {
  const bytes = poisoned(body)
  const view = publishView
  readPublish(view, firstByte, bytes, BEFORE, body.length, version)
  if (view.topicLength > 0) checkTopicInBytes(bytes, view.topicOffset, view.topicLength)
  const properties = section(bytes, view, PacketType.Publish)
  // The view's short cuts must agree with the whole reading
  if ((properties.topicAlias ?? 0) !== view.topicAlias) throw new Error('topicAlias differs')
  if ((properties.messageExpiryInterval ?? -1) !== view.messageExpiryInterval) throw new Error('expiry differs')
  if ((properties.payloadFormatIndicator ?? 0) !== view.payloadFormatIndicator) throw new Error('format differs')
  return {
    qos: view.qos,
    retain: view.retain,
    dup: view.dup,
    packetId: view.packetId,
    topic: decodeUtf8(bytes, view.topicOffset, view.topicLength),
    payload: bytes.subarray(view.payloadOffset, view.payloadOffset + view.payloadLength),
    properties,
  }
}

function acknowledgement(firstByte: number, body: Uint8Array, version: ProtocolVersion): object {
  const bytes = poisoned(body)
  const view = acknowledgementView
  const type = (firstByte >> 4) as AcknowledgementType
  readAcknowledgement(view, type, firstByte, bytes, BEFORE, body.length, version)
  return { packetId: view.packetId, reasonCode: view.reasonCode, properties: section(bytes, view, type) }
}

function section(
  bytes: Uint8Array,
  { propertiesOffset, propertiesLength }: { propertiesOffset: number; propertiesLength: number },
  place: PropertyPlace,
): Properties {
  return readProperties(bytes, propertiesOffset, propertiesOffset + propertiesLength, place)
}

/** Binary values as hexadecimal, all the way down. */
export function plain(value: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (inner instanceof Uint8Array) return [key, Buffer.from(inner).toString('hex')]
      if (Array.isArray(inner) || typeof inner !== 'object' || inner === null) return [key, inner]
      return [key, plain(inner)]
    }),
  )
}
