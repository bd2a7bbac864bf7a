// The words deviations are written with: packets with some of their parts exchanged.

import type { Packet } from '../../../conformance/packet.ts'
import { PROPERTY_RULES } from '../../../conformance/protocol.ts'
import * as wire from '../../../conformance/wire.ts'
import type { Deviation, Instead, Link } from './proxy.ts'

/** Topic Filters of a SUBSCRIBE with their options, of an UNSUBSCRIBE with 0. */
export function filtersOf(packet: Packet): [filter: string, options: number][] {
  const found = [...(packet.details ?? '').matchAll(/("(?:[^"\\]|\\.)*")(?: options 0x([0-9a-f]+))?/g)]
  return found.map(([, filter = '""', options = '0']) => [JSON.parse(filter) as string, Number.parseInt(options, 16)])
}

/** The packet's properties as bytes, the ones named left out. */
export const propertiesOf = (packet: Packet, without: readonly string[] = []): Buffer[] =>
  (packet.properties ?? []).filter((p) => !without.includes(p.name)).map((p) => wire.property(p.name, p.value))

/** The PUBLISH with some of its parts exchanged. */
export function publishWith(packet: Packet, link: Link, changes: Partial<wire.PublishOptions>): Buffer {
  return wire.publish(link.version, {
    topic: packet.topic ?? '',
    payload: packet.payload ?? '',
    qos: (packet.qos ?? 0) as 0 | 1 | 2,
    retain: packet.retain === true,
    dup: packet.dup === true,
    packetId: packet.packetId ?? 0,
    properties: propertiesOf(packet),
    ...changes,
  })
}

/** The SUBSCRIBE with each filter and its options exchanged; undefined leaves the filter out. */
export function subscribeWith(
  packet: Packet,
  link: Link,
  change: (filter: string, options: number) => wire.FilterWithOptions | undefined,
  properties = propertiesOf(packet),
): Buffer {
  const filters = filtersOf(packet).flatMap(([filter, options]) => {
    const changed = change(filter, options)
    return changed === undefined ? [] : [changed]
  })
  return wire.subscribe(link.version, packet.packetId ?? 0, filters, properties)
}

/** A copy of the packet with one byte set: where, what. */
export function withByte(packet: Packet, at: number, value: number): Buffer {
  const bytes = Buffer.from(packet.bytes)
  bytes[at] = value & 0xff
  return bytes
}

/** Where the body begins, behind the Remaining Length. */
export function bodyOf(bytes: Buffer): number {
  let at = 1
  while (((bytes[at] ?? 0) & 0x80) !== 0) at++
  return at + 1
}

/** An acknowledgement, SUBACK or UNSUBACK with another identifier. */
export const withIdentifier = (packet: Packet, id: number): Buffer => {
  const at = bodyOf(packet.bytes)
  const bytes = withByte(packet, at, id >> 8)
  bytes[at + 1] = id & 0xff
  return bytes
}

/** The fields of a CONNECT that deviations change; everything else as it came. */
export interface ConnectFields {
  flags: number
  keepAlive: number
  properties: Buffer[]
  clientId: string
  /** Will Properties, Will Topic, Will Payload. */
  will: { properties: Buffer[]; topic: Buffer; payload: Buffer } | undefined
  /** User name and password, as they stand on the wire. */
  rest: Buffer
}

/** Takes a well-formed CONNECT apart and puts it together again as `change` says; what is malformed stays as it is. */
export function connectWith(packet: Packet, link: Link, change: (fields: ConnectFields) => void): Instead {
  if (packet.kind !== 'connect' || packet.problems.length > 0) return undefined
  const { bytes } = packet
  let at = bodyOf(bytes)
  const field = (): Buffer => {
    const length = bytes.readUInt16BE(at)
    at += 2 + length
    return bytes.subarray(at - length, at)
  }
  const name = field()
  const level = bytes[at] as number
  const flags = bytes[at + 1] as number
  const keepAlive = bytes.readUInt16BE(at + 2)
  at += 4
  const own = packet.properties ?? []
  const list = (): Buffer => {
    if (level !== 5) return Buffer.alloc(0)
    const length = vbi(bytes, at)
    at = length.end + length.value
    return bytes.subarray(length.end, at)
  }
  const connectList = split5(list(), own)
  const clientId = field().toString('utf8')
  const will = (flags & 4) === 0 ? undefined : { properties: split5(list(), own), topic: field(), payload: field() }
  const fields: ConnectFields = {
    flags,
    keepAlive,
    properties: connectList,
    clientId,
    will,
    rest: bytes.subarray(at),
  }
  change(fields)
  const five = (items: readonly Buffer[]): Buffer => (link.version === 5 ? wire.properties(...items) : Buffer.alloc(0))
  const w = fields.will
  const out = wire.packet(
    0x10,
    wire.str(name),
    level,
    w === undefined ? fields.flags & ~0x3c : fields.flags,
    wire.u16(fields.keepAlive),
    five(fields.properties),
    wire.str(fields.clientId),
    ...(w === undefined ? [] : [five(w.properties), wire.str(w.topic), wire.str(w.payload)]),
    fields.rest,
  )
  return [out]
}

function vbi(bytes: Buffer, from: number): { value: number; end: number } {
  let value = 0
  for (let at = from; ; at++) {
    const byte = bytes[at] as number
    value += (byte & 0x7f) * 128 ** (at - from)
    if ((byte & 0x80) === 0) return { value, end: at + 1 }
  }
}

/** The decoded properties that make up these bytes, encoded one by one. */
function split5(
  bytes: Buffer,
  decoded: readonly { name: string; value: Parameters<typeof wire.property>[1] }[],
): Buffer[] {
  const found: Buffer[] = []
  let at = 0
  for (const { name, value } of decoded) {
    const one = wire.property(name, value)
    if (bytes.subarray(at, at + one.length).equals(one)) {
      found.push(one)
      at += one.length
    }
  }
  return found
}

/** True if the encoded property is the one named. */
export const isProperty = (bytes: Buffer, name: string): boolean =>
  bytes[0] === PROPERTY_RULES.find((rule) => rule.name === name)?.id

export const isPublish = (p: Packet): boolean => p.kind === 'publish' && p.problems.length === 0
export const textOf = (p: Packet): string => `${p.topic} ${p.payload?.toString('latin1')}`

/** Changes every PUBLISH of the broker. */
export const forwarding =
  (change: (packet: Packet, link: Link) => Partial<wire.PublishOptions> | undefined): NonNullable<Deviation['down']> =>
  (p, link) => {
    const changes = isPublish(p) ? change(p, link) : undefined
    return changes === undefined ? undefined : [publishWith(p, link, changes)]
  }

/** Understands every CONNECT in another way. */
export const understanding =
  (change: (fields: ConnectFields) => void): NonNullable<Deviation['up']> =>
  (p, link) =>
    connectWith(p, link, change)

/** Reads the options of every filter in another way. */
export const options =
  (change: (options: number, filter: string) => number): NonNullable<Deviation['up']> =>
  (p, link) =>
    p.kind === 'subscribe' && p.problems.length === 0
      ? [subscribeWith(p, link, (filter, value) => [filter, change(value, filter)])]
      : undefined

export const isShared = (filter: string): boolean => filter.startsWith('$share/')

/** Subscribes with another QoS than the one it says it granted, which is what was asked for. */
export const pretending = (change: (qos: number, filter: string) => number): Pick<Deviation, 'up' | 'down'> => ({
  up(p, link) {
    if (p.kind === 'subscribe')
      link.notes.set(
        p.packetId ?? 0,
        filtersOf(p).map(([, value]) => value & 3),
      )
    return options((value, filter) => (value & ~3) | change(value & 3, filter))(p, link)
  },
  down(p, link) {
    const asked = link.notes.get(p.packetId ?? 0) as number[] | undefined
    if (p.kind !== 'suback' || asked === undefined) return undefined
    const codes = (p.codes ?? []).map((code, n) => (code >= 0x80 ? code : (asked[n] ?? code)))
    return [wire.packet(0x90, wire.u16(p.packetId ?? 0), link.version === 5 ? 0 : [], codes)]
  },
})

const unsuback = (p: Packet, link: Link): Buffer =>
  wire.packet(0xb0, wire.u16(p.packetId ?? 0), link.version === 5 ? [0, ...filtersOf(p).map(() => 0)] : [])

/** Answers UNSUBSCRIBE and does nothing, where `when` says so. */
export const deafTo =
  (when: (p: Packet, link: Link) => boolean): NonNullable<Deviation['up']> =>
  (p, link) => {
    if (p.kind !== 'unsubscribe' || p.problems.length > 0 || !when(p, link)) return undefined
    link.toClient(unsuback(p, link))
    return []
  }
