// Our messages as Aedes' packets, and back. Properties travel as an object in mqtt-packet's form and the expiry as a time,
// in the fields aedes-packet 4 has for them; a backend that does not keep those fields loses them.

import { PacketType } from '../../mqtt/packet-type.ts'
import {
  encodeProperties,
  type Properties,
  type PropertyPlace,
  propertiesSize,
  readProperties,
  WILL_PROPERTIES,
} from '../../mqtt/properties.ts'
import type { AedesPacket } from '../aedes/aedes-packet.ts'
import type { MessageStored, WillSet } from '../journal-record.ts'

const BROKER = 'martlet-'
const NONE = new Uint8Array(0)

/** What a receiver gets, of what was published. */
export interface How {
  readonly qos: 1 | 2
  readonly retain: boolean
  readonly group: string | undefined
}

/** A message on its way to one client; `copy` tells apart what would have the same name. */
export function queuedPacket(
  message: MessageStored,
  { clientId, qos, retain, copy, group }: { clientId: string; copy: string } & How,
): AedesPacket {
  // A name of its own for every receiver: Redis keeps one packet for each name, with one identifier.
  const brokerId = `${BROKER}${encodeURIComponent(clientId)}${copy}`
  // Aedes puts there who published it; we, which shared group it came from.
  const from = group === undefined ? {} : { clientId: group }
  return { ...packetOf(message), qos, retain, brokerId, brokerCounter: message.message, ...from }
}

export function retainedPacket(message: MessageStored, topic: string): AedesPacket {
  return { ...packetOf(message), topic, retain: true, brokerId: 'martlet', brokerCounter: message.message }
}

/** The record that stores what `packet` says, as message number `message` of `topicName`. */
export function messageOf(packet: AedesPacket, message: number, topicName = packet.topic): MessageStored {
  const { payload, qos, properties, messageExpiry } = packet
  return {
    type: 'message-stored',
    message,
    topicName,
    payload: bytesOf(payload),
    qos: qos ?? 0,
    // When it came is not kept, and nothing depends on it.
    at: -Infinity,
    expiresAt: typeof messageExpiry === 'number' ? messageExpiry : Infinity,
    properties: encoded(properties as PacketProperties | null | undefined),
  }
}

/** The number of a message we queued; undefined for somebody else's packet. */
export function numberOf({ brokerId, brokerCounter }: AedesPacket): number | undefined {
  return brokerId?.startsWith(BROKER) === true ? Number(brokerCounter) : undefined
}

export function willPacket(will: WillSet): AedesPacket {
  const { topicName, payload, qos, retain, expiryInterval, properties, username } = will
  const decodedProperties = decoded(properties, WILL_PROPERTIES)
  const expiry = expiryInterval === Infinity ? {} : { messageExpiryInterval: expiryInterval }
  const all = { ...decodedProperties, ...expiry }
  return {
    cmd: 'publish',
    topic: topicName,
    payload: Buffer.from(payload),
    qos,
    retain,
    dup: false,
    ...(username === undefined ? {} : { username }),
    ...(Object.keys(all).length === 0 ? {} : { properties: all }),
  }
}

/** The will of a client that was connected when the broker ended. */
export function willOf(packet: AedesPacket, clientId: string): WillSet {
  const { topic: topicName, payload, qos, retain = false, properties, username } = packet
  const { messageExpiryInterval = Infinity, ...others } = (properties ?? {}) as PacketProperties
  return {
    type: 'will-set',
    clientId,
    username: typeof username === 'string' ? username : undefined,
    topicName,
    payload: bytesOf(payload),
    qos: qos ?? 0,
    retain,
    delayInterval: 0,
    expiryInterval: messageExpiryInterval,
    properties: encoded(others),
    at: undefined,
  }
}

/** Properties as mqtt-packet has them: user properties by name, binary data in Buffers. */
type PacketProperties = Omit<Properties, 'userProperties'> & {
  readonly userProperties?: Readonly<Record<string, string | readonly string[]>>
}

function packetOf({ topicName, payload, qos, expiresAt, properties }: MessageStored): AedesPacket {
  const carried = decoded(properties, PacketType.Publish)
  return {
    cmd: 'publish',
    topic: topicName,
    payload: Buffer.from(payload),
    qos,
    dup: false,
    ...(carried === undefined ? {} : { properties: carried }),
    ...(expiresAt === Infinity ? {} : { messageExpiry: expiresAt }),
  }
}

function decoded(bytes: Uint8Array, place: PropertyPlace): PacketProperties | undefined {
  if (bytes.length === 0) return undefined
  const { userProperties, correlationData, ...others } = readProperties(bytes, 0, bytes.length, place, 'server')
  const byName: Record<string, string[]> = Object.create(null)
  for (const [name, value] of userProperties ?? []) {
    byName[name] ??= []
    byName[name].push(value)
  }
  return {
    ...others,
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(userProperties === undefined ? {} : { userProperties: { ...byName } }),
  }
}

/** Only what travels with a message: who knows what else another broker has put there. */
function encoded(properties: PacketProperties | null | undefined): Uint8Array {
  if (properties === undefined || properties === null) return NONE
  const { payloadFormatIndicator, contentType, responseTopic, correlationData } = properties
  const userProperties = Object.entries(properties.userProperties ?? {}).flatMap(([name, values]) =>
    (typeof values === 'string' ? [values] : values).map((value) => [name, value] as const),
  )
  const all: Properties = {
    ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator: Number(payloadFormatIndicator) }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(userProperties.length === 0 ? {} : { userProperties }),
  }
  const bytes = encodeProperties(all)
  return bytes.subarray(bytes.length - propertiesSize(all)) // without their length
}

function bytesOf(payload: Buffer | string): Buffer {
  return typeof payload === 'string' ? Buffer.from(payload) : Buffer.from(payload ?? NONE)
}
