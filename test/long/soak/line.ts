// One connection through any door, cut into Control Packets, and the few words of MQTT 3.1.1 and 5 the soak speaks.
// Keeps no books. A connection that breaks is no error here: `closed` tells.
import type { Socket } from 'node:net'
import { clientFrame, upgradeRequest } from '../../net/byte-client.ts'
import type { Packet, QoS } from '../../support/packets.ts'
import * as v4 from '../../support/packets.ts'
import * as v5 from '../../support/packets5.ts'
import type { Door } from './doors.ts'

export type Version = 4 | 5

export interface Opening {
  readonly clientId: string
  readonly clean: boolean
  readonly will?: { topic: string; payload: string; qos: QoS }
}

export interface Message {
  readonly topic: string
  readonly text: string
  readonly qos: number
  readonly dup: boolean
  readonly id: number
}

const opening = (version: Version, { clientId, clean, will }: Opening): Buffer => {
  const also = will === undefined ? {} : { will }
  if (version === 4) return v4.connect({ clientId, clean, ...also })
  return v5.connect5({ clientId, clean, properties: clean ? [] : [v5.p.sessionExpiry(3600)], ...also })
}

export class Line {
  readonly version: Version
  /** Resolves when the connection has ended, either way. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #door: Door
  readonly #receive: (packet: Packet) => void
  #frames: Buffer = Buffer.alloc(0)
  #bytes: Buffer = Buffer.alloc(0)
  #isUpgraded = false
  #waiting: Buffer[] = []
  #isReady = false

  constructor(door: Door, version: Version, connect: Opening, receive: (packet: Packet) => void) {
    this.version = version
    this.#door = door
    this.#receive = receive
    const { socket, ready } = door.dial()
    this.#socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {}) // 'close' follows, and it is for the books to say what it means
    socket.on('data', (chunk: Buffer) => (door.isWebSocket ? this.#unframe(chunk) : this.#cut(chunk)))
    socket.once(ready, () => {
      socket.setNoDelay?.(true)
      if (door.header !== '') socket.write(door.header)
      if (door.isWebSocket) socket.write(upgradeRequest())
      else this.#becomeReady()
    })
    this.send(opening(version, connect))
  }

  get destroyed(): boolean {
    return this.#socket.destroyed
  }

  send(...packets: Buffer[]): void {
    if (!this.#isReady) this.#waiting.push(...packets)
    else if (!this.#socket.destroyed) {
      const bytes = packets.length === 1 ? packets[0]! : Buffer.concat(packets)
      this.#socket.write(this.#door.isWebSocket ? clientFrame(bytes) : bytes)
    }
  }

  publish(message: { topic: string; payload: string; qos: QoS; id?: number; dup?: boolean; retain?: boolean }): void {
    this.send(this.version === 4 ? v4.publish(message) : v5.publish5(message))
  }

  subscribe(filter: string, qos: QoS): void {
    this.send(this.version === 4 ? v4.subscribe(1, [filter, qos]) : v5.subscribe5(1, [], [filter, qos]))
  }

  message(packet: Packet): Message {
    return this.version === 4 ? v4.readPublish(packet) : v5.readPublish5(packet)
  }

  /** DISCONNECT, then our FIN. */
  leave(): Promise<void> {
    this.send(v4.disconnect())
    this.#socket.end()
    return this.closed
  }

  /** Gone without a word. */
  lose(): Promise<void> {
    this.#socket.destroy()
    return this.closed
  }

  pause(): void {
    this.#socket.pause()
  }

  #becomeReady(): void {
    this.#isReady = true
    const waiting = this.#waiting
    this.#waiting = []
    if (waiting.length > 0) this.send(...waiting)
  }

  #unframe(chunk: Buffer): void {
    this.#frames = this.#frames.length === 0 ? chunk : Buffer.concat([this.#frames, chunk])
    if (!this.#isUpgraded) {
      const end = this.#frames.indexOf('\r\n\r\n')
      if (end < 0) return
      this.#isUpgraded = true
      this.#frames = this.#frames.subarray(end + 4)
      this.#becomeReady()
    }
    for (;;) {
      const bytes = this.#frames
      if (bytes.length < 2) return
      const short = bytes[1]!
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (bytes.length < head) return
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
      if (bytes.length < head + length) return
      this.#frames = bytes.subarray(head + length)
      if ((bytes[0]! & 15) < 8) this.#cut(bytes.subarray(head, head + length))
    }
  }

  #cut(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    for (;;) {
      const bytes = this.#bytes
      let [length, at] = [0, 1]
      do {
        if (at >= bytes.length) return
        length += (bytes[at]! & 127) * 128 ** (at - 1)
      } while ((bytes[at++]! & 128) !== 0)
      if (bytes.length < at + length) return
      this.#bytes = bytes.subarray(at + length)
      this.#receive({ type: bytes[0]! >> 4, flags: bytes[0]! & 15, body: bytes.subarray(at, at + length) })
    }
  }
}
