// Splits a byte stream into Control Packets and decodes them, both directions, both versions. Never throws on what a
// server sends: whatever breaks the format is noted in `problems` and the rest is read as far as it can be.

import type { Packet, Property } from './packet.ts'
import { FIXED_FLAGS, PACKET_KINDS, type PacketKind, PROPERTY_BY_ID, type Version } from './protocol.ts'

/** Position in a packet's body; reading past the end throws `Short`, caught in `decode` alone. */
class Cursor {
  readonly bytes: Buffer
  readonly problems: string[]
  at = 0

  constructor(bytes: Buffer, problems: string[]) {
    this.bytes = bytes
    this.problems = problems
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  take(length: number): Buffer {
    if (length > this.left) throw new Short()
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  u8(): number {
    return this.take(1)[0] as number
  }

  u16(): number {
    return this.take(2).readUInt16BE()
  }

  u32(): number {
    return this.take(4).readUInt32BE()
  }

  vbi(): number {
    let value = 0
    for (let index = 0; index < 4; index++) {
      const byte = this.u8()
      value += (byte & 0x7f) * 128 ** index
      if ((byte & 0x80) !== 0) continue
      if (index > 0 && byte === 0) this.problems.push('a Variable Byte Integer is longer than it needs to be')
      return value
    }
    this.problems.push('a Variable Byte Integer has more than four bytes')
    return value
  }

  binary(): Buffer {
    return this.take(this.u16())
  }

  utf8(what: string): string {
    const bytes = this.binary()
    const problem = utf8Problem(bytes)
    if (problem !== undefined) this.problems.push(`${what}: ${problem}`)
    return bytes.toString('utf8')
  }
}

class Short extends Error {}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What is wrong with the bytes as a UTF-8 Encoded String; undefined if nothing is. */
export function utf8Problem(bytes: Uint8Array): string | undefined {
  try {
    strictUtf8.decode(bytes)
  } catch {
    return 'ill-formed UTF-8'
  }
  return bytes.includes(0) ? 'contains U+0000' : undefined
}

export interface Frame {
  /** The whole packet, or what cannot be split further. */
  bytes: Buffer
  /** Where the body begins. */
  body: number
  problem?: string
}

/** The first complete packet of the bytes; undefined while it is incomplete. */
export function nextFrame(bytes: Buffer): Frame | undefined {
  let length = 0
  for (let index = 1; index <= 4; index++) {
    if (index >= bytes.length) return undefined
    const byte = bytes[index] as number
    length += (byte & 0x7f) * 128 ** (index - 1)
    if ((byte & 0x80) !== 0) continue
    const end = index + 1 + length
    if (bytes.length < end) return undefined
    const padded = index > 1 && byte === 0
    return {
      bytes: bytes.subarray(0, end),
      body: index + 1,
      ...(padded ? { problem: 'Remaining Length is longer than it needs to be' } : {}),
    }
  }
  return { bytes, body: 5, problem: 'Remaining Length has more than four bytes' }
}

/** Decodes one frame. `version` decides on properties and reason codes. */
export function decode(frame: Frame, version: Version, at: number): Packet {
  const first = frame.bytes[0] as number
  const kind = PACKET_KINDS[first >> 4] as PacketKind
  const problems = frame.problem === undefined ? [] : [frame.problem]
  const packet: Packet = { kind, flags: first & 0x0f, bytes: frame.bytes, at, problems }
  const wanted = FIXED_FLAGS[kind]
  if (wanted !== undefined && packet.flags !== wanted) problems.push(`flags are ${packet.flags}, must be ${wanted}`)
  const cursor = new Cursor(frame.bytes.subarray(frame.body), problems)
  try {
    readBody(packet, cursor, version)
    if (cursor.left > 0) problems.push(`${cursor.left} bytes left over at the end`)
  } catch (error) {
    if (!(error instanceof Short)) throw error
    problems.push('ends before its last field')
  }
  return packet
}

function readBody(packet: Packet, cursor: Cursor, version: Version): void {
  switch (packet.kind) {
    case 'connect':
      readConnect(packet, cursor)
      break
    case 'connack':
      readConnack(packet, cursor, version)
      break
    case 'publish':
      readPublish(packet, cursor, version)
      break
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      packet.packetId = cursor.u16()
      readCodeAndProperties(packet, cursor, version)
      break
    case 'suback':
    case 'unsuback':
      packet.packetId = cursor.u16()
      if (version === 5) packet.properties = readProperties(cursor, packet.kind)
      if (packet.kind === 'suback' || version === 5) packet.codes = [...cursor.take(cursor.left)]
      break
    case 'subscribe':
    case 'unsubscribe':
      readFilters(packet, cursor, version)
      break
    case 'disconnect':
    case 'auth':
      readCodeAndProperties(packet, cursor, version)
      break
    case 'pingreq':
    case 'pingresp':
      break
    case 'reserved':
      packet.problems.push('packet type 0 is reserved')
      cursor.take(cursor.left)
  }
}

function readConnect(packet: Packet, cursor: Cursor): void {
  const name = cursor.utf8('Protocol Name')
  const level = cursor.u8()
  const flags = cursor.u8()
  const keepAlive = cursor.u16()
  if (level === 5) packet.properties = readProperties(cursor, 'connect')
  const words = [`${name} level ${level}`, `flags 0x${flags.toString(16).padStart(2, '0')}`, `keep alive ${keepAlive}`]
  words.push(`client ${JSON.stringify(cursor.utf8('ClientId'))}`)
  if ((flags & 0x04) !== 0) {
    const willProperties = level === 5 ? readProperties(cursor, 'will') : []
    const topic = cursor.utf8('Will Topic')
    words.push(`will QoS ${(flags >> 3) & 3}${(flags & 0x20) !== 0 ? ' RETAIN' : ''} ${JSON.stringify(topic)}`)
    words.push(`(${cursor.binary().length} bytes)`)
    packet.properties?.push(...willProperties)
  }
  if ((flags & 0x80) !== 0) words.push(`user ${JSON.stringify(cursor.utf8('User Name'))}`)
  if ((flags & 0x40) !== 0) words.push(`password of ${cursor.binary().length} bytes`)
  packet.details = words.join(' ')
}

function readConnack(packet: Packet, cursor: Cursor, version: Version): void {
  const acknowledgeFlags = cursor.u8()
  if ((acknowledgeFlags & 0xfe) !== 0) packet.problems.push('reserved Connect Acknowledge Flags are set')
  packet.sessionPresent = (acknowledgeFlags & 1) === 1
  packet.code = cursor.u8()
  // A code above 0 tells the form: a server refuses a level it does not know in the words of a version it does know.
  const form = packet.code === 0 ? version : packet.code >= 0x80 ? 5 : 4
  if (form === 5) packet.properties = readProperties(cursor, 'connack')
}

function readPublish(packet: Packet, cursor: Cursor, version: Version): void {
  packet.dup = (packet.flags & 8) !== 0
  packet.qos = (packet.flags >> 1) & 3
  packet.retain = (packet.flags & 1) !== 0
  packet.topic = cursor.utf8('Topic Name')
  if (packet.qos > 0) packet.packetId = cursor.u16()
  if (version === 5) packet.properties = readProperties(cursor, 'publish')
  packet.payload = cursor.take(cursor.left)
}

function readCodeAndProperties(packet: Packet, cursor: Cursor, version: Version): void {
  if (version === 4) return
  packet.code = cursor.left > 0 ? cursor.u8() : 0
  if (cursor.left > 0) packet.properties = readProperties(cursor, packet.kind)
}

function readFilters(packet: Packet, cursor: Cursor, version: Version): void {
  packet.packetId = cursor.u16()
  if (version === 5) packet.properties = readProperties(cursor, packet.kind)
  const words: string[] = []
  packet.filters = []
  while (cursor.left > 0) {
    const text = cursor.utf8('Topic Filter')
    packet.filters.push(text)
    const filter = JSON.stringify(text)
    words.push(packet.kind === 'subscribe' ? `${filter} options 0x${cursor.u8().toString(16)}` : filter)
  }
  packet.details = words.join(', ')
}

function readProperties(cursor: Cursor, place: PacketKind | 'will'): Property[] {
  const length = cursor.vbi()
  const inner = new Cursor(cursor.take(length), cursor.problems)
  const found: Property[] = []
  while (inner.left > 0) {
    const id = inner.vbi()
    const rule = PROPERTY_BY_ID.get(id)
    if (rule === undefined) {
      cursor.problems.push(`property 0x${id.toString(16)} does not exist`)
      return found
    }
    if (!rule.places.includes(place)) cursor.problems.push(`${rule.name} has no place in ${place.toUpperCase()}`)
    const again = found.some((other) => other.id === id)
    if (again && rule.many !== true) cursor.problems.push(`${rule.name} stands more than once`)
    found.push({ id, name: rule.name, value: readValue(inner, rule.type, rule.name) })
  }
  return found
}

function readValue(cursor: Cursor, type: string, name: string): Property['value'] {
  switch (type) {
    case 'byte':
      return cursor.u8()
    case 'u16':
      return cursor.u16()
    case 'u32':
      return cursor.u32()
    case 'vbi':
      return cursor.vbi()
    case 'utf8':
      return cursor.utf8(name)
    case 'pair':
      return [cursor.utf8(`${name} name`), cursor.utf8(`${name} value`)]
    default:
      return cursor.binary()
  }
}
