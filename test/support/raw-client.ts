// A client on plain sockets that sends and expects bytes. It keeps the two directions apart: the broker's FIN is told
// apart from its RST, and our FIN does not stop us from reading. Every wait has a deadline that says what came instead.
// Owns its socket; `closeClients` closes what a failed test left open.
import { Socket } from 'node:net'
import * as packets from './packets.ts'
import {
  type Bytes,
  type Connect,
  type Packet,
  type Publish,
  type QoS,
  type ReceivedPublish,
  Type,
  type TypeName,
} from './packets.ts'

export type CloseKind = 'fin' | 'reset'

interface Address {
  host: string
  port: number
  /** Where it connects from: 127.0.0.2 is another address than 127.0.0.1. */
  localAddress?: string
}

const deadline = 15_000
const open = new Set<RawClient>()

/** Destroys every client that is still open: for `test.after.each`. */
export const closeClients = (): void => {
  for (const client of open) client.destroy()
}

/** Received bytes in arrival order: packets are cut from the front, and copied only when they span chunks. */
class ByteQueue {
  #chunks: Buffer[] = []
  length = 0

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.length += chunk.length
  }

  /** The first `size` bytes, left in the queue. */
  peek(size: number): Buffer {
    let first = this.#chunks[0] ?? Buffer.alloc(0)
    if (first.length < size && this.#chunks.length > 1) {
      first = Buffer.concat(this.#chunks)
      this.#chunks = [first]
    }
    return first.subarray(0, size)
  }

  take(size: number): Buffer {
    const bytes = this.peek(size)
    const first = this.#chunks[0]
    if (first !== undefined) {
      if (first.length === size) this.#chunks.shift()
      else this.#chunks[0] = first.subarray(size)
    }
    this.length -= bytes.length
    return bytes
  }

  /** Length of the packet at the front, undefined while its fixed header is incomplete. */
  packetLength(): number | undefined {
    const header = this.peek(Math.min(5, this.length))
    let remaining = 0
    for (let index = 1; index < header.length; index++) {
      remaining += (header[index]! & 127) * 128 ** (index - 1)
      if ((header[index]! & 128) === 0) return 1 + index + remaining
    }
    if (header.length === 5) throw new Error(`Remaining Length of more than 4 bytes: ${header.toString('hex')}`)
    return undefined
  }
}

export class RawClient {
  readonly #socket: Socket
  readonly #queue = new ByteQueue()
  #closed: CloseKind | undefined
  #wake: (() => void) | undefined
  #nextId = 1

  private constructor(socket: Socket) {
    this.#socket = socket
    open.add(this)
    const tell = (kind?: CloseKind) => {
      this.#closed ??= kind
      this.#wake?.()
    }
    socket.on('data', (chunk) => {
      this.#queue.push(chunk)
      tell()
    })
    socket.on('end', () => tell('fin'))
    // EPIPE and ECONNRESET both say that the other side reset the connection; what came before stays readable.
    socket.on('error', () => tell('reset'))
    socket.on('close', () => {
      open.delete(this)
      tell('reset')
    })
  }

  /** Opens a TCP connection and sends `bytes` on it. */
  static async dial(address: Address, ...bytes: Bytes[]): Promise<RawClient> {
    const socket = new Socket({ allowHalfOpen: true })
    socket.setNoDelay(true)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(address, () => {
        socket.off('error', reject)
        resolve()
      })
    })
    const client = new RawClient(socket)
    if (bytes.length > 0) client.send(...bytes)
    return client
  }

  /** Dials, sends CONNECT, expects an accepting CONNACK; `sessionPresent` says whether it resumed a session. */
  static async connect(broker: Address, options: Connect): Promise<RawClient & { sessionPresent: boolean }> {
    const client = await RawClient.dial(broker, packets.connect(options))
    const connack = await client.expectPacket('CONNACK')
    if (connack.body[1] !== 0) throw new Error(`CONNACK refuses: ${connack.body.toString('hex')}`)
    return Object.assign(client, { sessionPresent: connack.body[0] === 1 })
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0
  }

  /** As the broker's log should name this peer. */
  get address(): string {
    return `${this.#socket.localAddress}:${this.localPort}`
  }

  /** Bytes received and not yet consumed. */
  get buffered(): number {
    return this.#queue.length
  }

  /** Sends hex text, bytes or packets, in one write. */
  send(...bytes: Bytes[]): void {
    this.#socket.write(bytes.length === 1 ? packets.bytesOf(bytes[0]!) : Buffer.concat(bytes.map(packets.bytesOf)))
  }

  /** As `send`; resolves when the kernel has taken all of it. */
  sendAll(...bytes: Bytes[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(Buffer.concat(bytes.map(packets.bytesOf)), (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Expects exactly these bytes next; `..` stands for any byte. */
  async expect(pattern: string): Promise<void> {
    const wanted = pattern.replaceAll(/\s/g, '').match(/../g) ?? []
    await this.#until(() => this.#queue.length >= wanted.length, pattern)
    const bytes = this.#queue.take(wanted.length)
    const same = wanted.every((digits, index) => digits === '..' || Number.parseInt(digits, 16) === bytes[index])
    if (!same) throw new Error(`expected ${wanted.join(' ')}, received ${spaced(bytes)}`)
  }

  /** The next byte, left where it is; undefined when the stream has ended. */
  async nextByte(): Promise<number | undefined> {
    await this.#until(() => this.#queue.length > 0 || this.#closed !== undefined, 'a byte')
    return this.#queue.peek(1)[0]
  }

  /** The next packet, whatever it is. */
  async nextPacket(what = 'a packet'): Promise<Packet> {
    await this.#until(() => (this.#queue.packetLength() ?? Number.POSITIVE_INFINITY) <= this.#queue.length, what)
    const bytes = this.#queue.take(this.#queue.packetLength()!)
    const bodyStart = bytes.findIndex((byte, index) => index > 0 && byte < 128) + 1
    return { type: bytes[0]! >> 4, flags: bytes[0]! & 15, body: bytes.subarray(bodyStart) }
  }

  /** The next packet, which must be of this type. */
  async expectPacket(type: TypeName): Promise<Packet> {
    const packet = await this.nextPacket(type)
    if (packet.type === Type[type]) return packet
    const body = spaced(packet.body.subarray(0, 64))
    throw new Error(`expected ${type}, received ${packets.typeName(packet.type)} ${packet.flags} ${body}`)
  }

  /** The next packet, which must be a PUBLISH; acknowledges nothing. */
  async expectPublish(wanted: Partial<Omit<ReceivedPublish, 'payload'>> = {}): Promise<ReceivedPublish> {
    const received = packets.readPublish(await this.expectPacket('PUBLISH'))
    for (const [key, value] of Object.entries(wanted)) {
      const actual = received[key as keyof typeof wanted]
      if (actual !== value) throw new Error(`PUBLISH ${received.topic}: ${key} is ${actual}, not ${value}`)
    }
    return received
  }

  /** Receives and acknowledges, through the whole exchange of its QoS, all that the broker has for this client now. */
  async receiveAll(): Promise<ReceivedPublish[]> {
    const received: ReceivedPublish[] = []
    for (let quiet = false; !quiet; ) {
      this.send(packets.pingreq())
      quiet = true
      for (let type = 0; type !== Type.PINGRESP; ) {
        const packet = await this.nextPacket()
        type = packet.type
        if (type !== Type.PINGRESP) quiet = false
        const message = this.acknowledge(packet)
        if (message) received.push(message)
      }
    }
    return received
  }

  /** As `receiveAll`, until `count` messages are here; more than `count` is a failure. */
  async receive(count: number): Promise<ReceivedPublish[]> {
    const received: ReceivedPublish[] = []
    while (received.length < count) {
      const message = this.acknowledge(await this.nextPacket(`message ${received.length + 1} of ${count}`))
      if (message) received.push(message)
    }
    const more = await this.receiveAll()
    if (more.length > 0) throw new Error(`${more.length} more messages than ${count}, the first: ${more[0]!.topic}`)
    return received
  }

  /** Sends what answers a PUBLISH or a PUBREL; returns the message when it was a PUBLISH. */
  acknowledge(packet: Packet): ReceivedPublish | undefined {
    if (packet.type === Type.PUBREL) this.send(packets.pubcomp(packets.packetIdOf(packet)))
    if (packet.type !== Type.PUBLISH) return undefined
    const message = packets.readPublish(packet)
    if (message.qos > 0) this.send(message.qos === 1 ? packets.puback(message.id) : packets.pubrec(message.id))
    return message
  }

  /** That nothing was sent to this client before now: the answer to a PINGREQ comes next. */
  async expectNothing(): Promise<void> {
    this.send(packets.pingreq())
    await this.expect('d0 00')
  }

  /** That the broker has handled everything sent so far; same wire exchange as `expectNothing`. */
  async settled(): Promise<void> {
    await this.expectNothing()
  }

  /** Sends SUBSCRIBE and expects that every filter is granted what it asked for. */
  async subscribe(...filters: [string, QoS][]): Promise<void> {
    const id = this.takeId()
    this.send(packets.subscribe(id, ...filters))
    const codes = filters.map(([, qos]) => `0${qos}`).join('')
    await this.expect(`90 ${packets.variableByteInteger(2 + filters.length).toString('hex')} ${hexId(id)} ${codes}`)
  }

  async unsubscribe(...filters: string[]): Promise<void> {
    const id = this.takeId()
    this.send(packets.unsubscribe(id, ...filters))
    await this.expect(`b0 02 ${hexId(id)}`)
  }

  /** Publishes and goes through the whole exchange of its QoS; for QoS 0 waits until the broker has handled it. */
  async publish(message: Publish): Promise<void> {
    const qos = message.qos ?? 0
    const id = message.id ?? (qos > 0 ? this.takeId() : 0)
    this.send(packets.publish({ ...message, id }))
    if (qos === 0) return this.settled()
    if (qos === 1) return this.expect(`40 02 ${hexId(id)}`)
    await this.expect(`50 02 ${hexId(id)}`)
    this.send(packets.pubrel(id))
    await this.expect(`70 02 ${hexId(id)}`)
  }

  /** A packet identifier no exchange of this client uses. */
  takeId(): number {
    return this.#nextId++
  }

  /** Waits for the end of the broker's stream; fails if bytes come first. Says whether FIN or RST ended it. */
  async expectClosed(kind?: CloseKind): Promise<CloseKind> {
    await this.#until(() => this.#closed !== undefined || this.#queue.length > 0, 'the end of the stream')
    if (this.#queue.length > 0) throw new Error(`expected the end, received ${spaced(this.#queue.peek(64))}`)
    if (kind !== undefined && this.#closed !== kind)
      throw new Error(`expected ${kind}, the stream ended with ${this.#closed}`)
    this.#socket.end()
    return this.#closed!
  }

  /** Waits for the end of the stream and returns everything that came before it. */
  async readToEnd(): Promise<{ kind: CloseKind; bytes: Buffer }> {
    await this.#until(() => this.#closed !== undefined, 'the end of the stream')
    this.#socket.end()
    return { kind: this.#closed!, bytes: this.#queue.take(this.#queue.length) }
  }

  /** Waits until our own writing fails, because the broker no longer knows this connection. */
  async destroyedByPeer(): Promise<void> {
    if (this.#socket.destroyed) return
    await new Promise<void>((resolve, reject) => {
      const late = () => reject(new Error(`the connection is alive after ${deadline / 1000} s`))
      const timer = setTimeout(late, deadline)
      this.#socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  /** Sends FIN; reading goes on. */
  end(...bytes: Bytes[]): void {
    if (bytes.length > 0) this.send(...bytes)
    this.#socket.end()
  }

  /** Ends the connection with RST. Not after `end`: libuv cannot reset what it is shutting down, and leaks it. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  /** Sends DISCONNECT and FIN, and waits until the broker has closed; drops what was not read. */
  async disconnect(): Promise<void> {
    this.end(packets.disconnect())
    await this.readToEnd()
  }

  /** Stops reading: the kernel's buffers fill and the window goes to 0. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer)
        this.#wake = undefined
        if (error) reject(error)
        else resolve()
      }
      const timer = setTimeout(() => settle(this.#missing(what, `within ${deadline / 1000} s`)), deadline)
      this.#wake = () => {
        if (condition()) settle()
        else if (this.#closed) settle(this.#missing(what, `before the stream ended with ${this.#closed}`))
      }
      this.#wake()
    })
  }

  #missing(what: string, when: string): Error {
    const received = this.#queue.length > 0 ? spaced(this.#queue.peek(64)) : 'nothing'
    return new Error(`expected ${what} ${when}; received ${received}`)
  }
}

const hexId = (id: number): string => packets.uint16(id).toString('hex')

const spaced = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replaceAll(/(..)(?=.)/g, '$1 ')
