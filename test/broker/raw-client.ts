// A client made of a plain socket: sends exactly the bytes a test wants, in the segments it wants, and tells what came
// back, packet by packet. mqtt-packet writes and reads the packets; nothing here reconnects, answers or hides anything.

import { connect as connectSocket, type Socket } from 'node:net'
import { generate, type Packet, type Parser, parser, writeToStream } from 'mqtt-packet'

writeToStream.cacheNumbers = false

export type Received = Packet & { messageId?: number; reasonCode?: number; payload?: Buffer | string }

export interface ConnectOptions {
  readonly clientId?: string
  readonly version?: 4 | 5
  readonly clean?: boolean
  /** MQTT 5, seconds. */
  readonly expiry?: number
  readonly will?: { topic: string; payload: Buffer; qos: 0 | 1 | 2; retain: boolean }
  readonly receiveMaximum?: number
  readonly username?: string
  /** Seconds; 0: none. */
  readonly keepalive?: number
}

export function connectPacket(options: ConnectOptions = {}): Buffer {
  const { clientId = 'c', version = 4, clean = true, expiry, will, receiveMaximum, username, keepalive = 0 } = options
  const properties = {
    ...(expiry === undefined ? {} : { sessionExpiryInterval: expiry }),
    ...(receiveMaximum === undefined ? {} : { receiveMaximum }),
  }
  return generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId,
    clean,
    keepalive,
    ...(username === undefined ? {} : { username }),
    ...(will === undefined ? {} : { will }),
    ...(version === 5 ? { properties } : {}),
  })
}

export function publishPacket(
  topic: string,
  payload: string | Buffer,
  options: { qos?: 0 | 1 | 2; id?: number; retain?: boolean; dup?: boolean; version?: 4 | 5 } = {},
): Buffer {
  const { qos = 0, id, retain = false, dup = false, version = 4 } = options
  const messageId = id === undefined ? {} : { messageId: id }
  return generate({ cmd: 'publish', topic, payload, qos, retain, dup, ...messageId }, { protocolVersion: version })
}

export function subscribePacket(messageId: number, topic: string, qos: 0 | 1 | 2 = 0, version: 4 | 5 = 4): Buffer {
  return generate({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] }, { protocolVersion: version })
}

export function unsubscribePacket(messageId: number, topic: string, version: 4 | 5 = 4): Buffer {
  return generate({ cmd: 'unsubscribe', messageId, unsubscriptions: [topic] }, { protocolVersion: version })
}

export function acknowledgementPacket(
  cmd: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  messageId: number,
  version: 4 | 5 = 4,
): Buffer {
  return generate({ cmd, messageId }, { protocolVersion: version })
}

export const PINGREQ: Buffer = generate({ cmd: 'pingreq' })
export const DISCONNECT: Buffer = Buffer.from([0xe0, 0])

export class RawClient {
  readonly socket: Socket
  /** Everything that came and was not taken by `next`. */
  readonly received: Received[] = []
  /** The broker has finished. */
  ended = false
  readonly #parser: Parser
  readonly #wakers: (() => void)[] = []

  private constructor(socket: Socket, version: 4 | 5) {
    this.socket = socket
    this.#parser = parser({ protocolVersion: version })
    this.#parser.on('packet', (packet: Received) => this.received.push(packet))
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      this.#parser.parse(bytes)
      this.#wake()
    })
    socket.on('end', () => this.#wake(true))
    socket.on('close', () => this.#wake(true))
    socket.on('error', () => this.#wake(true))
  }

  static open(port: number, version: 4 | 5 = 4): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RawClient(socket, version)))
    })
  }

  /** In one segment, as far as the system goes along. */
  send(...packets: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(packets))
  }

  /** Sends, then FIN. */
  sendAndEnd(...packets: readonly Uint8Array[]): void {
    this.socket.end(Buffer.concat(packets))
  }

  /** The next packet; rejects if the connection ends first. */
  async next(): Promise<Received> {
    while (this.received.length === 0) {
      if (this.ended) throw new Error('the broker closed the connection')
      await this.#woken()
    }
    return this.received.shift()!
  }

  /** The next packet in a word: `connack`, `puback 7`, … */
  async word(): Promise<string> {
    return word(await this.next())
  }

  async words(count: number): Promise<string[]> {
    const words: string[] = []
    while (words.length < count) words.push(await this.word())
    return words
  }

  /** Resolves at the broker's FIN (or a reset), with the words of all that came before it. */
  async untilEnd(): Promise<string[]> {
    while (!this.ended) await this.#woken()
    return this.received.splice(0).map(word)
  }

  close(): void {
    this.socket.destroy()
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve))
  }

  #wake(ended = false): void {
    this.ended ||= ended
    for (const wake of this.#wakers.splice(0)) wake()
  }
}

export function word(packet: Received): string {
  if (packet.cmd === 'publish') return `publish ${packet.payload}`
  return packet.messageId === undefined ? packet.cmd : `${packet.cmd} ${packet.messageId}`
}
