// One client of the fuzzer: says anything, and is strict about what it hears. Every packet from the broker must be whole,
// of its version, within what the client allowed, and every topic alias known. Faults are remembered, for a socket's
// listener is no place to throw.
import { Socket } from 'node:net'
import { type Packet, readPublish, Type } from '../support/packets.ts'
import { answer5, readProperties, readPublish5 } from '../support/packets5.ts'
import { connectBytes, type Introduction } from './story.ts'

/** Where the properties of a packet of MQTT 5 stand in its body; packets that are not listed have none to read. */
const propertiesAt: Readonly<Record<number, number>> = {
  [Type.CONNACK]: 2,
  [Type.SUBACK]: 2,
  [Type.UNSUBACK]: 2,
  [Type.PUBACK]: 3,
  [Type.PUBREC]: 3,
  [Type.PUBREL]: 3,
  [Type.PUBCOMP]: 3,
  [Type.DISCONNECT]: 1,
  [Type.AUTH]: 1,
}
const fromServer = new Set<number>([
  ...[Type.CONNACK, Type.PUBLISH, Type.PUBACK, Type.PUBREC, Type.PUBREL, Type.PUBCOMP],
  ...[Type.SUBACK, Type.UNSUBACK, Type.PINGRESP, Type.DISCONNECT, Type.AUTH],
])

export class FuzzedClient {
  readonly faults: string[] = []
  /** Resolves when the connection is over, both ways or by force. */
  readonly closed: Promise<void>
  readonly five: boolean
  readonly #socket: Socket
  readonly #as: Introduction
  readonly #pieces: number
  #received: Buffer = Buffer.alloc(0)
  #written: Promise<void> = Promise.resolve()
  #accepted = false
  readonly #aliases = new Map<number, string>()
  /** QoS 1 and 2 messages not acknowledged, by identifier, oldest first; the value is the answer that is due. */
  readonly #unacknowledged = new Map<number, 'PUBACK' | 'PUBREC' | 'PUBCOMP'>()

  private constructor(socket: Socket, as: Introduction, pieces: number) {
    this.#socket = socket
    this.#as = as
    this.#pieces = pieces
    this.five = as.version === '5'
    socket.on('data', (chunk) => this.#hear(chunk))
    socket.on('end', () => {
      if (this.#received.length > 0)
        this.#fault(`ended within a packet: ${this.#received.subarray(0, 40).toString('hex')}`)
      socket.end()
    })
    socket.on('error', () => {}) // Resets are part of the game; `close` follows.
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  static async open(port: number, who: number, as: Introduction, pieces: number): Promise<FuzzedClient> {
    const socket = new Socket({ allowHalfOpen: true })
    socket.setNoDelay(true)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect({ host: '127.0.0.1', port }, () => {
        socket.off('error', reject)
        resolve()
      })
    })
    const client = new FuzzedClient(socket, as, pieces)
    client.say(connectBytes(who, as))
    return client
  }

  /** Writes bytes behind those before, in pieces as the story has it. */
  say(bytes: Buffer): void {
    this.#written = this.#written.then(() => this.#write(bytes))
  }

  /** Resolves when everything said has been handed to the socket. */
  get written(): Promise<void> {
    return this.#written
  }

  /** Acknowledges what has come, oldest first, at most so many. */
  acknowledge(most: number): void {
    for (const [id, answer] of [...this.#unacknowledged].slice(0, most)) this.answered(answer, id, 0)
  }

  /** Says PUBACK, PUBREC or PUBCOMP, true or not, and keeps count of what that frees. */
  answered(type: 'PUBACK' | 'PUBREC' | 'PUBREL' | 'PUBCOMP', id: number, code: number): void {
    this.say(answer5(type, id, this.five ? code : 0))
    if (this.#unacknowledged.get(id) !== type) return
    if (type === 'PUBREC' && !(this.five && code >= 0x80)) return // PUBREL is awaited
    this.#unacknowledged.delete(id)
  }

  reads(reads: boolean): void {
    if (reads) this.#socket.resume()
    else this.#socket.pause()
  }

  leave(how: 'end' | 'reset'): void {
    this.#socket.resume()
    if (how === 'end') void this.#written.then(() => this.#socket.end())
    // libuv cannot reset what it is shutting down.
    else if (this.#socket.writableEnded) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }

  async #write(bytes: Buffer): Promise<void> {
    const size = this.#pieces === 0 ? bytes.length : Math.max(this.#pieces, Math.ceil(bytes.length / 20))
    for (let at = 0; at < bytes.length; at += size) {
      if (!this.#socket.writable) return
      this.#socket.write(bytes.subarray(at, at + size))
      if (at + size < bytes.length) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #hear(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    try {
      for (
        let size = this.#packetSize();
        size !== undefined && size <= this.#received.length;
        size = this.#packetSize()
      ) {
        const bytes = this.#received.subarray(0, size)
        this.#received = this.#received.subarray(size)
        const bodyStart = bytes.findIndex((byte, index) => index > 0 && byte < 128) + 1
        this.#judge({ type: bytes[0]! >> 4, flags: bytes[0]! & 15, body: bytes.subarray(bodyStart) }, size)
      }
    } catch (error) {
      this.#fault(`${error}`)
    }
  }

  #packetSize(): number | undefined {
    let remaining = 0
    for (let index = 1; index < Math.min(5, this.#received.length); index++) {
      remaining += (this.#received[index]! & 127) * 128 ** (index - 1)
      if (this.#received[index]! < 128) return 1 + index + remaining
    }
    if (this.#received.length >= 5) throw new Error('a Remaining Length of five bytes')
    return undefined
  }

  #judge(packet: Packet, size: number): void {
    const { type, flags, body } = packet
    const { maximumPacketSize } = this.#as
    if (!fromServer.has(type)) this.#fault(`packet type ${type} from a server`)
    if (type !== Type.PUBLISH && flags !== (type === Type.PUBREL ? 2 : 0)) this.#fault(`flags ${flags} of type ${type}`)
    if (this.five && maximumPacketSize > 0 && size > maximumPacketSize)
      this.#fault(`${size} bytes of type ${type}, over ${maximumPacketSize}`)
    if (!this.#accepted && type !== Type.CONNACK && type !== Type.AUTH) this.#fault(`type ${type} before CONNACK`)
    if (type === Type.CONNACK) this.#accepted = body[1] === 0
    if (type === Type.PUBLISH) this.#judgePublish(packet)
    else if (this.five && propertiesAt[type] !== undefined && body.length > propertiesAt[type])
      readProperties(body, propertiesAt[type])
    if (type === Type.PUBREL) this.#unacknowledged.set(body.readUInt16BE(0), 'PUBCOMP')
  }

  #judgePublish(packet: Packet): void {
    const { qos, id, topic } = this.five ? this.#judge5(packet) : readPublish(packet)
    if (topic === '' || /[+#]/.test(topic)) this.#fault(`PUBLISH to ${JSON.stringify(topic)}`)
    if (qos === 3) this.#fault('QoS 3')
    if (qos === 0) return
    if (id === 0) this.#fault('packet identifier 0')
    this.#unacknowledged.set(id, qos === 1 ? 'PUBACK' : 'PUBREC')
    if (this.five && this.#unacknowledged.size > this.#as.receiveMaximum)
      this.#fault(`${this.#unacknowledged.size} in flight, over ${this.#as.receiveMaximum}`)
  }

  #judge5(packet: Packet): { qos: number; id: number; topic: string } {
    const { qos, id, topic, properties } = readPublish5(packet)
    const told = properties.filter((text) => text.startsWith('topicAlias '))
    if (told.length === 0) return { qos, id, topic }
    const alias = Number(told[0]!.slice(11))
    if (told.length > 1 || alias === 0 || alias > this.#as.aliases) this.#fault(`alias ${told}`)
    if (topic !== '') this.#aliases.set(alias, topic)
    return { qos, id, topic: this.#aliases.get(alias) ?? '' }
  }

  #fault(what: string): void {
    this.faults.push(what)
  }
}
