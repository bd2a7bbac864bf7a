// Builders and readers of MQTT 5.0 Control Packets for tests, beside packets.ts and under its rule: nothing from src/, and
// what they are told is what they build, valid or not. Properties are built one by one and read back as one text each
// (`user a=1`, `contentType text/plain`), so that a test can compare a whole block, order included.
import {
  type Packet,
  pingreq,
  type QoS,
  string,
  Type,
  type TypeName,
  typeName,
  uint16,
  variableByteInteger,
} from './packets.ts'
import { RawClient } from './raw-client.ts'

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const property =
  <V>(id: number, encode: (value: V) => Uint8Array) =>
  (value: V): Buffer =>
    Buffer.concat([Buffer.from([id]), encode(value)])
const byte = (value: number): Buffer => Buffer.from([value])

/** One property each, encoded [MQTT5 2.2.2.2]. */
export const p = {
  payloadFormat: property(0x01, byte),
  messageExpiry: property(0x02, uint32),
  contentType: property<string>(0x03, string),
  responseTopic: property<string>(0x08, string),
  correlationData: property<string | Uint8Array>(0x09, string),
  subscriptionId: property(0x0b, variableByteInteger),
  sessionExpiry: property(0x11, uint32),
  authMethod: property<string>(0x15, string),
  authData: property<string | Uint8Array>(0x16, string),
  requestProblemInformation: property(0x17, byte),
  willDelay: property(0x18, uint32),
  requestResponseInformation: property(0x19, byte),
  receiveMaximum: property(0x21, uint16),
  topicAliasMaximum: property(0x22, uint16),
  topicAlias: property(0x23, uint16),
  maximumPacketSize: property(0x27, uint32),
  user: (name: string, value: string): Buffer => Buffer.concat([byte(0x26), string(name), string(value)]),
} as const

type Kind = 'byte' | 'two' | 'four' | 'varint' | 'text' | 'binary' | 'pair'
const table: Readonly<Record<number, readonly [name: string, kind: Kind]>> = {
  1: ['payloadFormat', 'byte'],
  2: ['messageExpiry', 'four'],
  3: ['contentType', 'text'],
  8: ['responseTopic', 'text'],
  9: ['correlationData', 'binary'],
  11: ['subscriptionId', 'varint'],
  17: ['sessionExpiry', 'four'],
  18: ['assignedClientId', 'text'],
  19: ['serverKeepAlive', 'two'],
  21: ['authMethod', 'text'],
  22: ['authData', 'binary'],
  26: ['responseInformation', 'text'],
  28: ['serverReference', 'text'],
  31: ['reasonString', 'text'],
  33: ['receiveMaximum', 'two'],
  34: ['topicAliasMaximum', 'two'],
  35: ['topicAlias', 'two'],
  36: ['maximumQos', 'byte'],
  37: ['retainAvailable', 'byte'],
  38: ['user', 'pair'],
  39: ['maximumPacketSize', 'four'],
  40: ['wildcardAvailable', 'byte'],
  41: ['subscriptionIdsAvailable', 'byte'],
  42: ['sharedAvailable', 'byte'],
}

/** A property block: its length and its properties. */
export const block = (properties: readonly Uint8Array[] = []): Buffer => {
  const bytes = Buffer.concat(properties)
  return Buffer.concat([variableByteInteger(bytes.length), bytes])
}

const packet = (first: number, ...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([first]), variableByteInteger(body.length), body])
}

export interface Connect5 {
  clientId: string
  /** Clean Start; default true. */
  clean?: boolean
  /** Seconds; default 0. */
  keepAlive?: number
  properties?: readonly Uint8Array[]
  will?: Publish5
  userName?: string
  password?: string
}

export interface Publish5 {
  topic: string
  payload: string | Uint8Array
  qos?: QoS
  retain?: boolean
  dup?: boolean
  id?: number
  properties?: readonly Uint8Array[]
}

export const connect5 = ({ clientId, clean = true, keepAlive = 0, properties, will, ...rest }: Connect5): Buffer => {
  let flags = clean ? 2 : 0
  if (will) flags |= 4 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0)
  if (rest.password !== undefined) flags |= 0x40
  if (rest.userName !== undefined) flags |= 0x80
  const payload = [string(clientId)]
  if (will) payload.push(block(will.properties), string(will.topic), string(will.payload))
  for (const text of [rest.userName, rest.password]) if (text !== undefined) payload.push(string(text))
  return packet(0x10, string('MQTT'), Buffer.from([5, flags]), uint16(keepAlive), block(properties), ...payload)
}

export const publish5 = ({ topic, payload, qos = 0, retain = false, dup = false, id, properties }: Publish5): Buffer =>
  packet(
    0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0),
    string(topic),
    ...(qos > 0 ? [uint16(id ?? 1)] : []),
    block(properties),
    Buffer.from(payload as string),
  )

/** Subscription Options as a byte [MQTT5 3.8.3.1]. */
export const options = (
  qos: QoS,
  also: { noLocal?: boolean; asPublished?: boolean; retain?: 0 | 1 | 2 } = {},
): number => qos | (also.noLocal ? 4 : 0) | (also.asPublished ? 8 : 0) | ((also.retain ?? 0) << 4)

export const subscribe5 = (id: number, properties: readonly Uint8Array[], ...filters: [string, number][]): Buffer =>
  packet(
    0x82,
    uint16(id),
    block(properties),
    ...filters.flatMap(([filter, bits]) => [string(filter), Buffer.from([bits])]),
  )

export const unsubscribe5 = (id: number, ...filters: string[]): Buffer =>
  packet(0xa2, uint16(id), block(), ...filters.map((filter) => string(filter)))

/** PUBACK, PUBREC, PUBREL or PUBCOMP; the short form for code 0 without properties. */
export const answer5 = (
  type: 'PUBACK' | 'PUBREC' | 'PUBREL' | 'PUBCOMP',
  id: number,
  code = 0,
  properties?: readonly Uint8Array[],
): Buffer => {
  const tail = properties === undefined ? (code === 0 ? [] : [byte(code)]) : [byte(code), block(properties)]
  return packet((Type[type] << 4) | (type === 'PUBREL' ? 2 : 0), uint16(id), ...tail)
}

export const disconnect5 = (code: number, properties: readonly Uint8Array[] = []): Buffer =>
  packet(0xe0, byte(code), block(properties))

export const auth5 = (code: number, properties: readonly Uint8Array[]): Buffer =>
  packet(0xf0, byte(code), block(properties))

/** The property block at `from`: each property as a text, and where the block ends. */
export const readProperties = (body: Buffer, from: number): { properties: string[]; end: number } => {
  const [length, start] = readVariable(body, from)
  const end = start + length
  const properties: string[] = []
  for (let at = start; at < end; ) {
    const entry = table[body[at]!]
    if (entry === undefined) throw new Error(`unknown property ${body[at]!.toString(16)} in ${body.toString('hex')}`)
    const [name, kind] = entry
    const [value, next] = readValue(body, at + 1, kind)
    properties.push(`${name} ${value}`)
    at = next
  }
  return { properties, end }
}

const readVariable = (body: Buffer, from: number): [value: number, end: number] => {
  let value = 0
  let at = from
  for (let factor = 1; ; factor *= 128) {
    const next = body[at++]!
    value += (next & 127) * factor
    if (next < 128) return [value, at]
  }
}

const readString = (body: Buffer, from: number): [value: string, end: number] => {
  const end = from + 2 + body.readUInt16BE(from)
  return [body.toString('utf8', from + 2, end), end]
}

const readValue = (body: Buffer, at: number, kind: Kind): [value: string | number, end: number] => {
  if (kind === 'byte') return [body[at]!, at + 1]
  if (kind === 'two') return [body.readUInt16BE(at), at + 2]
  if (kind === 'four') return [body.readUInt32BE(at), at + 4]
  if (kind === 'varint') return readVariable(body, at)
  const [text, end] = readString(body, at)
  if (kind !== 'pair') return [text, end]
  const [value, pairEnd] = readString(body, end)
  return [`${text}=${value}`, pairEnd]
}

export interface Received5 {
  topic: string
  text: string
  qos: number
  retain: boolean
  dup: boolean
  id: number
  properties: string[]
  /** Bytes of the whole packet. */
  size: number
}

export const readPublish5 = ({ flags, body }: Packet): Received5 => {
  const qos = (flags >> 1) & 3
  const [topic, topicEnd] = readString(body, 0)
  const { properties, end } = readProperties(body, topicEnd + (qos > 0 ? 2 : 0))
  return {
    topic,
    text: body.toString('utf8', end),
    qos,
    retain: (flags & 1) !== 0,
    dup: (flags & 8) !== 0,
    id: qos > 0 ? body.readUInt16BE(topicEnd) : 0,
    properties,
    size: 1 + variableByteInteger(body.length).length + body.length,
  }
}

export interface Answer5 {
  code: number
  properties: string[]
}

/** An MQTT 5 client: a RawClient with what its CONNACK said, and the words of this version. */
export class Client5 {
  readonly raw: RawClient
  present = false
  code = 0
  properties: string[] = []
  /** Messages that came while something else was awaited. */
  readonly #early: Packet[] = []

  private constructor(raw: RawClient) {
    this.raw = raw
  }

  /** Dials, sends CONNECT and reads the CONNACK, accepting or not. */
  static async dial(broker: { host: string; port: number }, connect: Connect5): Promise<Client5> {
    const client = new Client5(await RawClient.dial(broker, connect5(connect)))
    await client.readConnack()
    return client
  }

  /** As `dial`, and the CONNACK must accept. */
  static async connect(broker: { host: string; port: number }, connect: Connect5): Promise<Client5> {
    const client = await Client5.dial(broker, connect)
    if (client.code !== 0) throw new Error(`CONNACK ${client.code.toString(16)}: ${client.properties}`)
    return client
  }

  /** Sends CONNECT without waiting for anything. */
  static async begin(broker: { host: string; port: number }, connect: Connect5): Promise<Client5> {
    return new Client5(await RawClient.dial(broker, connect5(connect)))
  }

  async readConnack(): Promise<this> {
    const { body } = await this.raw.expectPacket('CONNACK')
    this.present = body[0] === 1
    this.code = body[1]!
    this.properties = readProperties(body, 2).properties
    return this
  }

  /** Subscribes with one identifier of properties for all; every filter must be granted what it asks for. */
  async subscribe(properties: readonly Uint8Array[], ...filters: [string, number][]): Promise<void> {
    const codes = await this.ask(properties, ...filters)
    const wanted = filters.map(([, bits]) => bits & 3)
    if (codes.join() !== wanted.join()) throw new Error(`SUBACK ${codes}, not ${wanted}`)
  }

  /** Subscribes; the reason codes of the SUBACK. */
  async ask(properties: readonly Uint8Array[], ...filters: [string, number][]): Promise<number[]> {
    this.raw.send(subscribe5(this.raw.takeId(), properties, ...filters))
    const { body } = await this.#await('SUBACK')
    return [...body.subarray(readProperties(body, 2).end)]
  }

  /** Publishes and goes through the whole exchange; the reason code of its first answer, 0 for QoS 0. */
  async publish(message: Publish5): Promise<number> {
    const qos = message.qos ?? 0
    const id = message.id ?? (qos > 0 ? this.raw.takeId() : 0)
    this.raw.send(publish5({ ...message, id }))
    if (qos === 0) {
      await this.settled()
      return 0
    }
    const { code } = await this.answer(qos === 1 ? 'PUBACK' : 'PUBREC')
    if (qos === 2 && code < 0x80) {
      this.raw.send(answer5('PUBREL', id))
      await this.answer('PUBCOMP')
    }
    return code
  }

  /** The next packet of this type. Messages that come first wait for `message`; a PUBREL is answered. */
  async #await(type: TypeName): Promise<Packet> {
    for (;;) {
      const packet = await this.raw.nextPacket(type)
      if (packet.type === Type[type]) return packet
      if (packet.type === Type.PUBLISH) this.#early.push(packet)
      else if (packet.type === Type.PUBREL) this.raw.send(answer5('PUBCOMP', packet.body.readUInt16BE(0)))
      else throw new Error(`expected ${type}, received ${typeName(packet.type)} ${packet.body.toString('hex')}`)
    }
  }

  /** That the broker has handled everything sent so far. */
  async settled(): Promise<void> {
    this.raw.send(pingreq())
    await this.#await('PINGRESP')
  }

  /** As `settled`, and that no message has come that `message` has not told of. */
  async expectNothing(): Promise<void> {
    await this.settled()
    const [early] = this.#early
    if (early !== undefined) throw new Error(`expected nothing, received ${JSON.stringify(readPublish5(early))}`)
  }

  /** The next packet but messages, which must be this answer. */
  async answer(type: 'PUBACK' | 'PUBREC' | 'PUBREL' | 'PUBCOMP'): Promise<Answer5 & { id: number }> {
    const { body } = await this.#await(type)
    const properties = body.length > 3 ? readProperties(body, 3).properties : []
    return { id: body.readUInt16BE(0), code: body[2] ?? 0, properties }
  }

  /** The next message; acknowledges nothing. */
  async message(wanted: Partial<Received5> = {}): Promise<Received5> {
    const received = readPublish5(this.#early.shift() ?? (await this.#await('PUBLISH')))
    for (const [key, value] of Object.entries(wanted)) {
      const actual = received[key as keyof Received5]
      if (`${actual}` !== `${value}`) throw new Error(`PUBLISH ${received.topic}: ${key} is ${actual}, not ${value}`)
    }
    return received
  }

  async messages(count: number): Promise<Received5[]> {
    const received: Received5[] = []
    while (received.length < count) received.push(await this.message())
    return received
  }

  /** Receives as `message` and acknowledges; the rest of a QoS 2 exchange goes by while something else is awaited. */
  async receive(wanted: Partial<Received5> = {}): Promise<Received5> {
    const received = await this.message(wanted)
    if (received.qos === 1) this.raw.send(answer5('PUBACK', received.id))
    if (received.qos === 2) this.raw.send(answer5('PUBREC', received.id))
    return received
  }

  /** The broker ends it: a DISCONNECT with this code, then FIN. Returns what the DISCONNECT said. */
  async disconnected(code: number): Promise<Answer5> {
    const { body } = await this.#await('DISCONNECT')
    const answer = { code: body[0] ?? 0, properties: body.length > 1 ? readProperties(body, 1).properties : [] }
    if (answer.code !== code)
      throw new Error(`DISCONNECT 0x${answer.code.toString(16)} ${answer.properties}, not 0x${code.toString(16)}`)
    await this.raw.expectClosed('fin')
    return answer
  }

  async auth(): Promise<Answer5> {
    const { body } = await this.raw.expectPacket('AUTH')
    return { code: body[0] ?? 0, properties: body.length > 1 ? readProperties(body, 1).properties : [] }
  }

  /** Leaves with DISCONNECT and waits until the broker has closed. */
  async leave(code = 0, properties: readonly Uint8Array[] = []): Promise<void> {
    this.raw.end(disconnect5(code, properties))
    await this.raw.readToEnd()
  }

  /** Is gone without DISCONNECT; resolves when the broker has noticed. */
  async lose(): Promise<void> {
    this.raw.end()
    await this.raw.readToEnd()
  }
}
