// Builders and readers of MQTT Control Packets for tests, for 3.1, 3.1.1 and 5.0. They import nothing from src/ on
// purpose: what judges the broker must not share its mistakes. They build what they are told, valid or not.

export type Bytes = string | Uint8Array
export type ProtocolVersion = '3.1' | '3.1.1' | '5'
export type QoS = 0 | 1 | 2

/** Control Packet types [MQTT-2.2.1]. */
export const Type = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const
export type TypeName = keyof typeof Type

export interface Packet {
  readonly type: number
  readonly flags: number
  /** Everything after the fixed header. */
  readonly body: Buffer
}

export interface Publish {
  topic: string
  payload: string | Uint8Array
  qos?: QoS
  retain?: boolean
  dup?: boolean
  id?: number
}

export interface Will {
  topic: string
  payload: string | Uint8Array
  qos?: QoS
  retain?: boolean
}

export interface Connect {
  clientId: string
  version?: ProtocolVersion
  /** Clean Session, Clean Start in MQTT 5. Default true. */
  clean?: boolean
  /** Seconds; default 0, so that no test depends on a clock. */
  keepAlive?: number
  will?: Will
  userName?: string
  password?: string
  /** Seconds, MQTT 5 only. */
  sessionExpiry?: number
}

/** Bytes of hexadecimal text, blanks ignored: `'20 02 00 00'`. */
export const hex = (text: string): Buffer => {
  const digits = text.replaceAll(/\s/g, '')
  const bytes = Buffer.from(digits, 'hex')
  if (bytes.length * 2 !== digits.length) throw new Error(`not hexadecimal: ${text}`)
  return bytes
}

export const bytesOf = (bytes: Bytes): Buffer => (typeof bytes === 'string' ? hex(bytes) : Buffer.from(bytes))

export const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])

/** A UTF-8 Encoded String, or Binary Data: two length bytes and the bytes. */
export const string = (text: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(text as string)
  return Buffer.concat([uint16(bytes.length), bytes])
}

export const variableByteInteger = (value: number): Buffer => {
  const bytes: number[] = []
  let rest = value
  do {
    const next = Math.floor(rest / 128)
    bytes.push((rest % 128) | (next > 0 ? 128 : 0))
    rest = next
  } while (rest > 0)
  return Buffer.from(bytes)
}

/** A Control Packet of a first byte and a body; its Remaining Length is right. */
export const frame = (first: number, ...body: Uint8Array[]): Buffer => {
  const length = body.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from([first]), variableByteInteger(length), ...body])
}

const protocolName = { '3.1': 'MQIsdp', '3.1.1': 'MQTT', '5': 'MQTT' } as const
const protocolLevel = { '3.1': 3, '3.1.1': 4, '5': 5 } as const

const willFlags = (will: Will | undefined): number =>
  will === undefined ? 0 : 0x04 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0)

export const connect = (options: Connect): Buffer => {
  const { will, version = '3.1.1' } = options
  const five = version === '5'
  let flags = (options.clean ?? true) ? 0x02 : 0
  flags |= willFlags(will)
  if (options.password !== undefined) flags |= 0x40
  if (options.userName !== undefined) flags |= 0x80
  const payload = [string(options.clientId)]
  if (will) payload.push(...(five ? [hex('00')] : []), string(will.topic), string(will.payload))
  if (options.userName !== undefined) payload.push(string(options.userName))
  if (options.password !== undefined) payload.push(string(options.password))
  const properties = five ? [connectProperties(options)] : []
  const head = Buffer.concat([string(protocolName[version]), Buffer.from([protocolLevel[version], flags])])
  return frame(0x10, head, uint16(options.keepAlive ?? 0), ...properties, ...payload)
}

const connectProperties = (options: Connect): Buffer => {
  if (options.sessionExpiry === undefined) return hex('00')
  const expiry = Buffer.alloc(4)
  expiry.writeUInt32BE(options.sessionExpiry)
  return Buffer.concat([hex('05 11'), expiry])
}

/** A CONNECT assembled field by field, for the malformed ones. */
export const rawConnect = (name: string, level: number, flags: number, ...payload: Uint8Array[]): Buffer =>
  frame(0x10, string(name), Buffer.from([level, flags]), uint16(0), ...payload)

export const publish = ({ topic, payload, qos = 0, retain = false, dup = false, id }: Publish): Buffer => {
  const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  const packetId = qos > 0 ? [uint16(id ?? 1)] : []
  return frame(first, string(topic), ...packetId, Buffer.from(payload as string))
}

export const subscribe = (id: number, ...filters: [string, number][]): Buffer =>
  frame(0x82, uint16(id), ...filters.flatMap(([filter, qos]) => [string(filter), Buffer.from([qos])]))

export const unsubscribe = (id: number, ...filters: string[]): Buffer =>
  frame(0xa2, uint16(id), ...filters.map((filter) => string(filter)))

export const puback = (id: number): Buffer => frame(0x40, uint16(id))
export const pubrec = (id: number): Buffer => frame(0x50, uint16(id))
export const pubrel = (id: number): Buffer => frame(0x62, uint16(id))
export const pubcomp = (id: number): Buffer => frame(0x70, uint16(id))
export const pingreq = (): Buffer => hex('c0 00')
export const disconnect = (): Buffer => hex('e0 00')

export const packetIdOf = (packet: Packet): number => packet.body.readUInt16BE(0)

export const typeName = (type: number): string => Object.keys(Type)[type - 1] ?? `type ${type}`

export interface ReceivedPublish {
  topic: string
  payload: Buffer
  text: string
  qos: number
  retain: boolean
  dup: boolean
  /** 0 when QoS is 0. */
  id: number
}

/** Reads a PUBLISH of MQTT 3.1 or 3.1.1. */
export const readPublish = ({ flags, body }: Packet): ReceivedPublish => {
  const topicEnd = 2 + body.readUInt16BE(0)
  const qos = (flags >> 1) & 3
  const payload = body.subarray(topicEnd + (qos > 0 ? 2 : 0))
  return {
    topic: body.toString('utf8', 2, topicEnd),
    payload,
    get text() {
      return payload.toString()
    },
    qos,
    retain: (flags & 1) !== 0,
    dup: (flags & 8) !== 0,
    id: qos > 0 ? body.readUInt16BE(topicEnd) : 0,
  }
}
