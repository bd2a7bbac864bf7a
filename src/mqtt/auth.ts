// AUTH (MQTT 5 only): read from clients, written to them.

import { parseCold } from './cold-packets.ts'
import { PacketType } from './packet-type.ts'
import type { Properties } from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { type ReasonAnswer, writeReasonAnswer } from './reason-answer.ts'
import { walkAuth } from './strict-walk.ts'

export interface AuthPacket {
  /** 0x18 Continue Authentication or 0x19 Re-authenticate: a client may say no other. */
  readonly reasonCode: number
  /** `authenticationMethod` is there. */
  readonly properties: Properties
}

/**
 * Reads a client's AUTH from its body. Throws an MqttError if it is malformed, names no Authentication Method, or its
 * sender speaks 3.x. An empty AUTH is valid on the wire, but means Success, which only a server may say.
 */
export function readAuth(firstByte: number, body: Uint8Array, version: ProtocolVersion): AuthPacket {
  const { properties, bare } = walkAuth(firstByte, body, version)
  const parsed = parseCold('auth', PacketType.Auth << 4, bare, version)
  return { reasonCode: parsed.reasonCode, properties }
}

/** Writes an AUTH at `offset`; the same rules as `writeDisconnect` [MQTT-3.15.2-2] [MQTT-3.15.2-3]. */
export function writeAuth(
  target: Uint8Array,
  offset: number,
  answer: ReasonAnswer,
  version: ProtocolVersion,
  maximumPacketSize?: number,
): number {
  if (version !== ProtocolVersion.Mqtt5) return offset
  return writeReasonAnswer(target, offset, PacketType.Auth, answer, maximumPacketSize)
}
