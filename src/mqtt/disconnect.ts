// DISCONNECT, read from clients of all versions and written to those of MQTT 5: a 3.x server has no such packet.

import { parseCold } from './cold-packets.ts'
import { PacketType } from './packet-type.ts'
import type { Properties } from './properties.ts'
import { ProtocolVersion } from './protocol-version.ts'
import { type ReasonAnswer, writeReasonAnswer } from './reason-answer.ts'
import { ReasonCode } from './reason-code.ts'
import { walkDisconnect } from './strict-walk.ts'

export interface DisconnectPacket {
  /** 0x00 for 3.x: a normal disconnection, the Will is discarded. */
  readonly reasonCode: number
  readonly properties: Properties
}

/** Reads a client's DISCONNECT from its body. Throws an MqttError if it is malformed. */
export function readDisconnect(firstByte: number, body: Uint8Array, version: ProtocolVersion): DisconnectPacket {
  const { properties, bare } = walkDisconnect(firstByte, body, version)
  // mqtt-packet 9.0.2 takes the byte behind an empty DISCONNECT for its Reason Code
  if (body.length === 0) return { reasonCode: ReasonCode.NormalDisconnection, properties }
  const parsed = parseCold('disconnect', PacketType.Disconnect << 4, bare, version)
  return { reasonCode: parsed.reasonCode ?? ReasonCode.NormalDisconnection, properties }
}

/**
 * Writes a DISCONNECT at `offset` and returns the offset behind it. For 3.x nothing is written and `offset` comes back,
 * as it does if the packet cannot be made to fit into `maximumPacketSize` by leaving out Reason String, then User
 * Properties [MQTT-3.14.2-3] [MQTT-3.14.2-4]. Throws a RangeError if `target` is too small.
 */
export function writeDisconnect(
  target: Uint8Array,
  offset: number,
  answer: ReasonAnswer,
  version: ProtocolVersion,
  maximumPacketSize?: number,
): number {
  if (version !== ProtocolVersion.Mqtt5) return offset
  return writeReasonAnswer(target, offset, PacketType.Disconnect, answer, maximumPacketSize)
}
