// mqtt-packet as the oracle of the codec: reads one whole packet with it and puts what it says into the form of
// decode.ts, so that the two can be compared.

import { type Packet, parser } from 'mqtt-packet'
import { plain } from './decode.ts'

type Loose = Record<string, unknown>

/** What mqtt-packet reads, or undefined if it refuses. */
export function oracle(bytes: Uint8Array, version: number): Loose | undefined {
  const parsed: Packet[] = []
  let refused = false
  const fresh = parser({ protocolVersion: version })
  fresh.on('packet', (packet) => parsed.push(packet))
  fresh.on('error', () => {
    refused = true
  })
  try {
    fresh.parse(Buffer.from(bytes))
  } catch {
    refused = true // it reads beyond its buffer now and then
  }
  if (refused || parsed.length === 0) return undefined
  return plain(say(parsed[0] as unknown as Loose))
}

function say(packet: Loose): Loose {
  const properties = propertiesOf(packet.properties)
  switch (packet.cmd) {
    case 'connect':
      return connect(packet, properties)
    case 'publish': {
      const { qos, retain, dup, topic, payload } = packet
      return { qos, retain, dup, packetId: packet.messageId ?? 0, topic, payload, properties }
    }
    case 'subscribe': {
      const subscriptions = (packet.subscriptions as Loose[]).map(({ topic, qos, nl, rap, rh }) => {
        return { filter: topic, qos, noLocal: nl === true, retainAsPublished: rap === true, retainHandling: rh ?? 0 }
      })
      return { packetId: packet.messageId, subscriptions, properties }
    }
    case 'unsubscribe':
      return { packetId: packet.messageId, filters: packet.unsubscriptions, properties }
    case 'pingreq':
      return {}
    case 'disconnect':
    case 'auth':
      return { reasonCode: packet.reasonCode ?? 0, properties }
    default:
      return { packetId: packet.messageId, reasonCode: packet.reasonCode ?? 0, properties }
  }
}

function connect(packet: Loose, properties: Loose): Loose {
  const { protocolVersion, clientId, username, password } = packet
  const said: Loose = {
    protocolVersion,
    bridge: packet.bridgeMode === true,
    cleanStart: packet.clean,
    keepAlive: packet.keepalive,
    clientId,
    properties,
  }
  if (username !== undefined) said.username = username
  if (password !== undefined) said.password = password
  if (packet.will !== undefined) {
    const { topic, payload, qos, retain, properties: willProperties } = packet.will as Loose
    said.will = { topic, payload, qos, retain, properties: propertiesOf(willProperties) }
  }
  return said
}

function propertiesOf(given: unknown): Loose {
  const { maximumQoS, subscriptionIdentifier, payloadFormatIndicator, userProperties, ...same } = (given ?? {}) as Loose
  const properties: Loose = same
  if (maximumQoS !== undefined) properties.maximumQos = maximumQoS
  if (payloadFormatIndicator !== undefined) properties.payloadFormatIndicator = Number(payloadFormatIndicator)
  if (subscriptionIdentifier !== undefined) properties.subscriptionIdentifiers = [subscriptionIdentifier].flat()
  if (userProperties !== undefined) {
    properties.userProperties = Object.entries(userProperties as Loose).flatMap(([name, values]) =>
      [values].flat().map((value) => [name, value]),
    )
  }
  return properties
}

/**
 * The same packet as mqtt-packet would have said it: User Properties grouped by name, in the order of their names'
 * first appearance (integer-like names first, as in every JavaScript object), and of repeated ones those lost that
 * follow an empty value.
 */
export function grouped(packet: Loose): Loose {
  const copy: Loose = { ...packet }
  for (const key of ['properties', 'will']) {
    if (copy[key] !== undefined) copy[key] = grouped(copy[key] as Loose)
  }
  if (Array.isArray(copy.userProperties)) copy.userProperties = group(copy.userProperties as [string, string][])
  return copy
}

function group(pairs: readonly (readonly [string, string])[]): [string, string][] {
  const byName: Record<string, string[]> = Object.create(null)
  for (const [name, value] of pairs) {
    const known = byName[name]
    if (known === undefined || (known.length === 1 && known[0] === '')) byName[name] = [value]
    else known.push(value)
  }
  return Object.entries(byName).flatMap(([name, values]) => values.map((value): [string, string] => [name, value]))
}
