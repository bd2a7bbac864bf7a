// What a Control Packet looks like once decoded. One flat shape for all types: cases read the two or three fields they
// care about, and `problems` lists every way in which the bytes broke the format.

import type { PacketKind } from './protocol.ts'
import { CONNACK_RETURN_NAMES_311, REASON_NAMES } from './protocol.ts'

export interface Property {
  id: number
  name: string
  value: number | string | Buffer | [string, string]
}

export interface Packet {
  kind: PacketKind
  /** Low four bits of the first byte. */
  flags: number
  /** The whole packet as it was on the wire. */
  bytes: Buffer
  /** Milliseconds since the case began. */
  at: number
  problems: string[]
  packetId?: number
  /** Reason Code, or the return code of a 3.1.1 CONNACK. */
  code?: number
  /** Reason or return codes of SUBACK and UNSUBACK. */
  codes?: number[]
  sessionPresent?: boolean
  properties?: Property[]
  topic?: string
  payload?: Buffer
  qos?: number
  dup?: boolean
  retain?: boolean
  /** Topic Filters of SUBSCRIBE and UNSUBSCRIBE. */
  filters?: string[]
  /** Anything else worth showing, for CONNECT and SUBSCRIBE in traces. */
  details?: string
}

/** Value of the first property of that name. */
export function prop(packet: Packet, name: string): Property['value'] | undefined {
  return packet.properties?.find((p) => p.name === name)?.value
}

/** Values of all properties of that name, in their order. */
export function props(packet: Packet, name: string): Property['value'][] {
  return (packet.properties ?? []).filter((p) => p.name === name).map((p) => p.value)
}

const shortened = (text: string, limit = 60): string =>
  text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length} characters)`

/** A payload as text where it is text, as hex where it is not. */
export function payloadText(payload: Buffer): string {
  const text = payload.toString('utf8')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what makes it unprintable.
  if (/[\u0000-\u001f\ufffd]/.test(text)) return `hex ${shortened(payload.toString('hex'))}`
  return JSON.stringify(shortened(text))
}

function propertyText(property: Property): string {
  const { name, value } = property
  if (Array.isArray(value)) return `${name}=${JSON.stringify(value[0])}:${JSON.stringify(value[1])}`
  if (typeof value === 'string') return `${name}=${JSON.stringify(shortened(value))}`
  return `${name}=${Buffer.isBuffer(value) ? payloadText(value) : value}`
}

/** One line a reader understands without the specification at hand. */
export function describe(packet: Packet): string {
  const words: string[] = [packet.kind.toUpperCase()]
  if (packet.kind === 'publish') {
    words.push(`QoS ${packet.qos}`)
    if (packet.dup === true) words.push('DUP')
    if (packet.retain === true) words.push('RETAIN')
  }
  if (packet.packetId !== undefined) words.push(`id ${packet.packetId}`)
  if (packet.sessionPresent !== undefined) words.push(`session present ${packet.sessionPresent ? 1 : 0}`)
  if (packet.code !== undefined) words.push(codeText(packet.code, packet.kind === 'connack'))
  if (packet.codes !== undefined) words.push(`[${packet.codes.map((code) => codeText(code)).join(', ')}]`)
  if (packet.topic !== undefined) words.push(`topic ${JSON.stringify(shortened(packet.topic))}`)
  if (packet.payload !== undefined) words.push(`payload ${payloadText(packet.payload)}`)
  if (packet.details !== undefined) words.push(packet.details)
  const list = packet.properties ?? []
  if (list.length > 0) words.push(`{${list.map(propertyText).join(', ')}}`)
  if (packet.problems.length > 0) words.push(`‹${packet.problems.join('; ')}›`)
  return words.join(' ')
}

function codeText(code: number, ofConnack = false): string {
  // 5.0 has no codes from 1 to 5 for CONNACK: they are the return codes of 3.1.1.
  const name = (ofConnack ? CONNACK_RETURN_NAMES_311[code] : undefined) ?? REASON_NAMES[code]
  return `0x${code.toString(16).padStart(2, '0')}${name === undefined ? '' : ` (${name})`}`
}
