// Clients that keep books. A publisher sends numbers, remembers which of them were acknowledged, and after a broken
// connection sends again what was not; a subscriber writes down what it was given. Both keep their sessions over the
// broker's deaths, as MQTT 3.1.1 wants it, and wait for nothing but the broker: no clocks.
import { Socket } from 'node:net'
import * as packets from '../support/packets.ts'
import { type Packet, Type } from '../support/packets.ts'

/** One connection, cut into packets. */
class Line {
  readonly #socket = new Socket()
  #rest: Buffer = Buffer.alloc(0)
  readonly closed: Promise<void>

  constructor(port: number, clientId: string, receive: (packet: Packet) => void) {
    const socket = this.#socket
    socket.setNoDelay(true)
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {}) // 'close' follows: a broker that dies is what this is about
    socket.on('data', (chunk) => this.#read(chunk, receive))
    socket.connect({ host: '127.0.0.1', port }, () => this.send(packets.connect({ clientId, clean: false })))
  }

  send(...bytes: Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes.length === 1 ? bytes[0]! : Buffer.concat(bytes))
  }

  end(): void {
    this.#socket.end(packets.disconnect())
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer, receive: (packet: Packet) => void): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const [length, header] = lengthOf(bytes, at)
      if (header === 0 || at + header + length > bytes.length) break
      const body = bytes.subarray(at + header, at + header + length)
      receive({ type: bytes[at]! >> 4, flags: bytes[at]! & 15, body })
      at += header + length
    }
    this.#rest = bytes.subarray(at)
  }
}

/** Remaining Length and bytes of the fixed header; 0 and 0 while it is incomplete. */
function lengthOf(bytes: Buffer, at: number): [length: number, header: number] {
  let length = 0
  for (let index = 1; index <= 4 && at + index < bytes.length; index++) {
    length += (bytes[at + index]! & 127) * 128 ** (index - 1)
    if ((bytes[at + index]! & 128) === 0) return [length, index + 1]
  }
  return [0, 0]
}

export class Publisher {
  readonly clientId: string
  readonly topic: string
  readonly qos: 1 | 2
  /** Numbers the broker has answered for, in the order of its answers. */
  readonly acknowledged: number[] = []
  /** Called with every answer. */
  onAcknowledged: () => void = () => {}
  readonly #window: number
  /** By packet identifier: the number, and whether PUBREC came. */
  readonly #inFlight = new Map<number, { number: number; isReleased: boolean }>()
  #next = 0
  #lastId = 0
  #limit = Infinity
  #line: Line | undefined
  #isConnected = false
  #idle: (() => void) | undefined

  constructor(clientId: string, topic: string, qos: 1 | 2, window = 40) {
    this.clientId = clientId
    this.topic = topic
    this.qos = qos
    this.#window = window
  }

  connect(port: number): void {
    this.#isConnected = false
    this.#line = new Line(port, this.clientId, (packet) => this.#receive(packet))
  }

  /** The broker is gone. */
  async lost(): Promise<void> {
    this.#line?.destroy()
    await this.#line?.closed
  }

  /** Sends no new numbers; resolves when all that were sent are acknowledged. */
  finish(): Promise<void> {
    this.#limit = this.#next
    return new Promise((resolve) => {
      this.#idle = resolve
      this.#fill()
    })
  }

  end(): void {
    this.#line?.end()
  }

  #receive({ type, body }: Packet): void {
    if (type === Type.CONNACK) {
      this.#isConnected = true
      this.#resend()
      this.#fill()
      return
    }
    const id = body.readUInt16BE(0)
    const entry = this.#inFlight.get(id)
    if (entry === undefined) return
    if (type === Type.PUBREC && !entry.isReleased) {
      entry.isReleased = true
      this.acknowledged.push(entry.number)
      this.onAcknowledged()
    }
    if (type === Type.PUBREC) this.#line!.send(packets.pubrel(id))
    if (type !== Type.PUBACK && type !== Type.PUBCOMP) return
    this.#inFlight.delete(id)
    if (type === Type.PUBACK) {
      this.acknowledged.push(entry.number)
      this.onAcknowledged()
    }
    this.#fill()
  }

  /** [MQTT-4.4.0-1]: what is unacknowledged, in its order, under its identifiers. */
  #resend(): void {
    const again = [...this.#inFlight].map(([id, { number, isReleased }]) =>
      isReleased ? packets.pubrel(id) : this.#publish(id, number, true),
    )
    if (again.length > 0) this.#line!.send(...again)
  }

  #fill(): void {
    const fresh: Buffer[] = []
    while (this.#isConnected && this.#inFlight.size < this.#window && this.#next < this.#limit) {
      do this.#lastId = (this.#lastId % 65535) + 1
      while (this.#inFlight.has(this.#lastId))
      this.#inFlight.set(this.#lastId, { number: this.#next, isReleased: false })
      fresh.push(this.#publish(this.#lastId, this.#next++, false))
    }
    if (fresh.length > 0) this.#line!.send(...fresh)
    if (this.#inFlight.size === 0 && this.#next === this.#limit) this.#idle?.()
  }

  #publish(id: number, number: number, dup: boolean): Buffer {
    return packets.publish({ topic: this.topic, payload: `${number}`.padEnd(60), qos: this.qos, id, dup })
  }
}

export class Subscriber {
  readonly clientId: string
  /** What it was given, by topic, in order; a QoS 2 message once, however often it is sent before its PUBREL. */
  readonly received = new Map<string, number[]>()
  readonly #filter: string
  /** Acknowledges nothing of the first transmission of every so many messages. */
  readonly #ignoresOneIn: number
  readonly #known = new Set<number>()
  readonly #watchers: { topic: string; number: number; resolve: () => void }[] = []
  #line: Line | undefined
  #seen = 0
  #subscribed: (() => void) | undefined

  constructor(clientId: string, filter: string, ignoresOneIn = Infinity) {
    this.clientId = clientId
    this.#filter = filter
    this.#ignoresOneIn = ignoresOneIn
  }

  /** Resolves when its subscription is acknowledged. */
  connect(port: number): Promise<void> {
    this.#line = new Line(port, this.clientId, (packet) => this.#receive(packet))
    return new Promise((resolve) => {
      this.#subscribed = resolve
    })
  }

  async lost(): Promise<void> {
    this.#line?.destroy()
    await this.#line?.closed
  }

  end(): void {
    this.#line?.end()
  }

  /** Resolves when it has been given this number, now or earlier. */
  has(topic: string, number: number): Promise<void> {
    if (this.received.get(topic)?.includes(number) === true) return Promise.resolve()
    return new Promise((resolve) => this.#watchers.push({ topic, number, resolve }))
  }

  #receive(packet: Packet): void {
    if (packet.type === Type.CONNACK) this.#line!.send(packets.subscribe(1, [this.#filter, 2]))
    else if (packet.type === Type.SUBACK) this.#subscribed?.()
    else if (packet.type === Type.PUBREL) {
      const id = packet.body.readUInt16BE(0)
      this.#known.delete(id)
      this.#line!.send(packets.pubcomp(id))
    } else if (packet.type === Type.PUBLISH) this.#take(packets.readPublish(packet))
  }

  #take({ topic, text, qos, id, dup }: packets.ReceivedPublish): void {
    const isIgnored = !dup && ++this.#seen % this.#ignoresOneIn === 0
    if (qos === 1) {
      this.#note(topic, Number(text))
      if (!isIgnored) this.#line!.send(packets.puback(id))
      return
    }
    if (!this.#known.has(id)) this.#note(topic, Number(text))
    this.#known.add(id)
    if (!isIgnored) this.#line!.send(packets.pubrec(id))
  }

  #note(topic: string, number: number): void {
    const numbers = this.received.get(topic) ?? []
    this.received.set(topic, numbers)
    numbers.push(number)
    for (const watcher of this.#watchers.filter((each) => each.topic === topic && each.number === number)) {
      this.#watchers.splice(this.#watchers.indexOf(watcher), 1)
      watcher.resolve()
    }
  }
}
