// CONNECT as the broker sees it. strict-walk.ts refuses, mqtt-packet builds, properties are our own reading.
// Whether this client may connect under this Client Identifier is the broker's question, not asked here.

import { copyBytes } from './bytes.ts'
import { parseCold } from './cold-packets.ts'
import { PacketType } from './packet-type.ts'
import type { Properties } from './properties.ts'
import type { ProtocolVersion } from './protocol-version.ts'
import { walkConnect } from './strict-walk.ts'

export { UnacceptableProtocolVersion } from './strict-walk.ts'

/** The Will Message of a CONNECT. */
export interface WillMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: number
  readonly retain: boolean
  readonly properties: Properties
}

/** One CONNECT. It owns its memory: nothing points into the bytes it was read from. */
export interface ConnectPacket {
  readonly protocolVersion: ProtocolVersion
  /** The client calls itself a bridge: upper bit of protocol level 3 or 4, as Mosquitto's `try_private` sets it. */
  readonly bridge: boolean
  /** Clean Session in 3.x. */
  readonly cleanStart: boolean
  /** Seconds; 0: none. */
  readonly keepAlive: number
  /** May be empty; whether that is allowed depends on version and `cleanStart` [MQTT-3.1.3-8]. */
  readonly clientId: string
  readonly username?: string
  readonly password?: Uint8Array
  readonly will?: WillMessage
  readonly properties: Properties
}

/**
 * Reads a CONNECT of any version from its body, which is all that follows the fixed header. Throws
 * UnacceptableProtocolVersion where a CONNACK says so (0x01, MQTT 5: 0x84), another MqttError for what is malformed:
 * 3.x closes, MQTT 5 may answer with CONNACK and `reasonCode` first.
 */
export function readConnect(firstByte: number, body: Uint8Array): ConnectPacket {
  const walked = walkConnect(firstByte, body)
  const parsed = parseCold('connect', PacketType.Connect << 4, walked.bare, walked.protocolVersion)
  const { will, username, password } = parsed
  return {
    protocolVersion: walked.protocolVersion,
    bridge: walked.bridge,
    cleanStart: parsed.clean === true,
    keepAlive: parsed.keepalive ?? 0,
    clientId: parsed.clientId,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: own(password) }),
    ...(will === undefined
      ? {}
      : {
          will: {
            topic: will.topic,
            payload: own(will.payload),
            qos: will.qos ?? 0,
            retain: will.retain === true,
            properties: walked.willProperties,
          },
        }),
    properties: walked.properties,
  }
}

/** mqtt-packet's slices would keep the whole CONNECT in memory as long as the Will lives. */
function own(bytes: Uint8Array | string): Uint8Array {
  return typeof bytes === 'string' ? Buffer.from(bytes) : copyBytes(bytes, 0, bytes.length)
}
