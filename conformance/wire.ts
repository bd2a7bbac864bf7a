// Builds bytes, right ones and wrong ones. Nothing here checks its arguments: half of the cases exist to send what no
// well-behaved encoder would produce. `packet()` computes Remaining Length; `hex()` takes bytes written out by hand.

import { PROPERTY_RULES, type Version } from './protocol.ts'

export type Part = Uint8Array | number | readonly number[]

/** Concatenates buffers, single bytes and byte lists. */
export function cat(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part as Uint8Array))),
  )
}

/** Bytes written out: `hex('10 0c 00 04 4d 51 54 54')`; everything but hex digits is ignored. */
export const hex = (text: string): Buffer => Buffer.from(text.replace(/[^0-9a-f]/gi, ''), 'hex')

export const u16 = (value: number): Buffer => Buffer.of((value >> 8) & 0xff, value & 0xff)

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** Variable Byte Integer in its shortest form. */
export function vbi(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  do {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    bytes.push(rest > 0 ? low | 0x80 : low)
  } while (rest > 0)
  return Buffer.from(bytes)
}

/** Two length bytes and the content. Strings are encoded as UTF-8; a buffer goes out as it is. */
export function str(text: string | Uint8Array): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text
  return cat(u16(bytes.length), bytes)
}

/** A Control Packet: first byte, the Remaining Length that fits, the parts. */
export function packet(first: number, ...parts: Part[]): Buffer {
  const body = cat(...parts)
  return cat(first, vbi(body.length), body)
}

// ---- properties -----------------------------------------------------------------------------------------------

const ids = new Map(PROPERTY_RULES.map((rule) => [rule.name, rule]))

/** One property by its name in protocol.ts; `value` must fit the property's type. */
export function property(name: string, value: number | string | Uint8Array | readonly [string, string]): Buffer {
  const rule = ids.get(name)
  if (rule === undefined) throw new Error(`no property called ${name}`)
  switch (rule.type) {
    case 'byte':
      return cat(rule.id, value as number)
    case 'u16':
      return cat(rule.id, u16(value as number))
    case 'u32':
      return cat(rule.id, u32(value as number))
    case 'vbi':
      return cat(rule.id, vbi(value as number))
    case 'utf8':
    case 'binary':
      return cat(rule.id, str(value as string | Uint8Array))
    case 'pair':
      return cat(rule.id, str((value as readonly [string, string])[0]), str((value as readonly [string, string])[1]))
  }
}

/** Property Length and the properties. */
export const properties = (...list: Uint8Array[]): Buffer => {
  const body = cat(...list)
  return cat(vbi(body.length), body)
}

/** The Properties field for the version: nothing at all before MQTT 5.0. */
const propertiesFor = (version: Version, list: readonly Uint8Array[] = []): Buffer =>
  version === 5 ? properties(...list) : Buffer.alloc(0)

// ---- packets --------------------------------------------------------------------------------------------------

export interface WillOptions {
  topic: string | Uint8Array
  payload?: string | Uint8Array
  qos?: 0 | 1 | 2
  retain?: boolean
  properties?: readonly Uint8Array[]
}

export interface ConnectOptions {
  clientId?: string | Uint8Array
  /** Clean Session or Clean Start; true unless said otherwise. */
  clean?: boolean
  /** Seconds; 60 unless said otherwise. */
  keepAlive?: number
  will?: WillOptions
  username?: string | Uint8Array | undefined
  password?: string | Uint8Array | undefined
  properties?: readonly Uint8Array[]
  /** Overrides, to build wrong packets. */
  protocolName?: string | Uint8Array
  level?: number
  flags?: number
}

export function connect(version: Version, options: ConnectOptions = {}): Buffer {
  const { will, username, password } = options
  let flags = (options.clean ?? true) ? 0x02 : 0
  const payload: Buffer[] = [str(options.clientId ?? '')]
  if (will !== undefined) {
    flags |= 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0)
    payload.push(propertiesFor(version, will.properties), str(will.topic), str(will.payload ?? ''))
  }
  if (username !== undefined) {
    flags |= 0x80
    payload.push(str(username))
  }
  if (password !== undefined) {
    flags |= 0x40
    payload.push(str(password))
  }
  return packet(
    0x10,
    str(options.protocolName ?? 'MQTT'),
    options.level ?? version,
    options.flags ?? flags,
    u16(options.keepAlive ?? 60),
    propertiesFor(version, options.properties),
    ...payload,
  )
}

export interface PublishOptions {
  topic: string | Uint8Array
  payload?: string | Uint8Array
  qos?: 0 | 1 | 2 | 3
  retain?: boolean
  dup?: boolean
  /** Written for QoS > 0. */
  packetId?: number
  properties?: readonly Uint8Array[]
}

export function publish(version: Version, options: PublishOptions): Buffer {
  const qos = options.qos ?? 0
  const payload = options.payload ?? ''
  return packet(
    0x30 | (options.dup === true ? 8 : 0) | (qos << 1) | (options.retain === true ? 1 : 0),
    str(options.topic),
    qos > 0 ? u16(options.packetId ?? 0) : [],
    propertiesFor(version, options.properties),
    typeof payload === 'string' ? Buffer.from(payload) : payload,
  )
}

/** PUBACK, PUBREC, PUBREL and PUBCOMP; reason code and properties only where given. */
const acknowledgement =
  (first: number) =>
  (packetId: number, code?: number, list?: readonly Uint8Array[]): Buffer =>
    packet(first, u16(packetId), code === undefined ? [] : code, list === undefined ? [] : properties(...list))

export const puback = acknowledgement(0x40)
export const pubrec = acknowledgement(0x50)
export const pubrel = acknowledgement(0x62)
export const pubcomp = acknowledgement(0x70)

/** Topic Filter and its options byte (3.1.1: the Requested QoS). */
export type FilterWithOptions = readonly [filter: string | Uint8Array, options: number]

export function subscribe(
  version: Version,
  packetId: number,
  filters: readonly FilterWithOptions[],
  list?: readonly Uint8Array[],
): Buffer {
  return packet(
    0x82,
    u16(packetId),
    propertiesFor(version, list),
    ...filters.flatMap(([filter, options]) => [str(filter), Buffer.of(options)]),
  )
}

export function unsubscribe(
  version: Version,
  packetId: number,
  filters: readonly (string | Uint8Array)[],
  list?: readonly Uint8Array[],
): Buffer {
  return packet(0xa2, u16(packetId), propertiesFor(version, list), ...filters.map((filter) => str(filter)))
}

export const PINGREQ = hex('c0 00')

/** DISCONNECT; reason code and properties exist from MQTT 5.0 on. */
export const disconnect = (code?: number, list?: readonly Uint8Array[]): Buffer =>
  packet(0xe0, code === undefined ? [] : code, list === undefined ? [] : properties(...list))

export const auth = (code: number, list: readonly Uint8Array[] = []): Buffer => packet(0xf0, code, properties(...list))
