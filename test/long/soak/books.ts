// Publishers that number their messages and subscribers that check the numbers, over any number of connections and doors.
// Every fault is written down in words. Nothing here grows with the number of messages.
import * as packets from '../../support/packets.ts'
import { type Packet, type QoS, Type } from '../../support/packets.ts'
import type { Door } from './doors.ts'
import { Line, type Version } from './line.ts'

const WINDOW = 16 // below every Receive Maximum

export class Publisher {
  readonly topic: string
  readonly qos: QoS
  /** Messages made, and those the broker has answered for (QoS 0: all). */
  next = 0
  acknowledged = 0
  /** PUBLISH packets handed to a socket, repeated ones included. */
  sent = 0
  readonly #clientId: string
  readonly #version: Version
  /** By packet identifier, in the order of first sending. */
  readonly #inFlight = new Map<number, { payload: string; isReleased: boolean }>()
  #lastId = 0
  #line: Line | undefined
  #isConnected = false

  constructor(topic: string, qos: QoS, version: Version) {
    this.topic = topic
    this.qos = qos
    this.#clientId = `to-${topic}`
    this.#version = version
  }

  /** Goes through a door; what was there before is lost without a word. Resolves with CONNACK. */
  async goThrough(door: Door): Promise<void> {
    await this.#line?.lose()
    this.#isConnected = false
    await new Promise<void>((resolve, reject) => {
      const opening = { clientId: this.#clientId, clean: this.qos === 0 }
      const line = new Line(door, this.#version, opening, (packet) => this.#receive(line, packet, resolve))
      this.#line = line
      void line.closed.then(() => reject(new Error(`${this.#clientId}: ${door.name} closed before CONNACK`)))
    })
  }

  /** Publishes up to `count` more, as far as the window has room. */
  work(count: number): void {
    for (; count > 0 && this.#isConnected && this.#inFlight.size < WINDOW; count--) {
      const payload = `${this.next++} ${performance.now().toFixed(2)} `.padEnd(64, '.')
      if (this.qos === 0) {
        this.acknowledged++
        this.#publish(0, payload, false)
        continue
      }
      do this.#lastId = (this.#lastId % 65535) + 1
      while (this.#inFlight.has(this.#lastId))
      this.#inFlight.set(this.#lastId, { payload, isReleased: false })
      this.#publish(this.#lastId, payload, false)
    }
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0
  }

  async leave(): Promise<void> {
    await this.#line?.leave()
  }

  #publish(id: number, payload: string, dup: boolean): void {
    this.sent++
    this.#line!.publish({ topic: this.topic, payload, qos: this.qos, id, dup })
  }

  #receive(line: Line, { type, body }: Packet, connected: () => void): void {
    if (line !== this.#line) return
    if (type === Type.CONNACK) {
      this.#isConnected = true
      for (const [id, { payload, isReleased }] of this.#inFlight) {
        if (isReleased) line.send(packets.pubrel(id))
        else this.#publish(id, payload, true) // [MQTT-4.4.0-1]
      }
      connected()
      return
    }
    if (type !== Type.PUBACK && type !== Type.PUBREC && type !== Type.PUBCOMP) return
    const id = body.readUInt16BE(0)
    const entry = this.#inFlight.get(id)
    if (entry === undefined) return
    if (type === Type.PUBREC) {
      entry.isReleased = true
      line.send(packets.pubrel(id))
    } else {
      this.#inFlight.delete(id)
      this.acknowledged++
    }
  }
}

export interface SubscriberOptions {
  readonly clientId: string
  readonly filter: string
  readonly version: Version
  /** A session that outlives its connections. */
  readonly persistent: boolean
}

export class Subscriber {
  /** By topic: the number that must come next. */
  readonly next = new Map<string, number>()
  /** QoS 1 messages that came again; QoS 0 messages that never came; PUBLISH packets in all. */
  repeated = 0
  missed = 0
  received = 0
  readonly faults: string[] = []
  /** Called with the milliseconds from publishing to here. */
  onLatency: (ms: number) => void = () => {}
  readonly #options: SubscriberOptions
  /** Identifiers of QoS 2 messages whose PUBREL has not come: they outlive the connection. */
  readonly #known = new Set<number>()
  #line: Line | undefined
  #hasSession = false

  constructor(options: SubscriberOptions) {
    this.#options = options
  }

  get clientId(): string {
    return this.#options.clientId
  }

  /** Resolves when it is subscribed. A connection it still has is taken over by the new one. */
  async goThrough(door: Door): Promise<void> {
    const { clientId, persistent, version } = this.#options
    const before = this.#line
    await new Promise<void>((resolve, reject) => {
      const line = new Line(door, version, { clientId, clean: !persistent }, (packet) => {
        if (line === this.#line) this.#receive(line, packet, resolve)
      })
      this.#line = line
      void line.closed.then(() => reject(new Error(`${clientId}: ${door.name} closed before SUBACK`)))
    })
    await before?.closed
  }

  lose(): Promise<void> {
    return this.#line?.lose() ?? Promise.resolve()
  }

  leave(): Promise<void> {
    return this.#line?.leave() ?? Promise.resolve()
  }

  /** Whether all these publishers have sent is here. */
  hasAll(publishers: readonly Publisher[]): boolean {
    return publishers.every(({ topic, qos, next }) => qos === 0 || (this.next.get(topic) ?? 0) === next)
  }

  #receive(line: Line, packet: Packet, subscribed: () => void): void {
    if (packet.type === Type.CONNACK) {
      const isPresent = packet.body[0] === 1
      if (packet.body[1] !== 0) this.faults.push(`CONNACK ${packet.body[1]}`)
      if (isPresent !== this.#hasSession) this.faults.push(`session present: ${isPresent}`)
      this.#hasSession = this.#options.persistent
      if (isPresent) subscribed()
      else line.subscribe(this.#options.filter, 2)
    } else if (packet.type === Type.SUBACK) subscribed()
    else if (packet.type === Type.PUBREL) {
      const id = packets.packetIdOf(packet)
      this.#known.delete(id)
      line.send(packets.pubcomp(id))
    } else if (packet.type === Type.PUBLISH) this.#take(line, packet)
  }

  #take(line: Line, packet: Packet): void {
    const { topic, text, qos, id } = line.message(packet)
    this.received++
    if (qos === 1) line.send(packets.puback(id))
    if (qos === 2) {
      line.send(packets.pubrec(id))
      if (this.#known.has(id)) return
      this.#known.add(id)
    }
    const [first, time] = text.split(' ')
    this.#note(topic, Number(first), qos)
    this.onLatency(performance.now() - Number(time))
  }

  #note(topic: string, number: number, qos: number): void {
    const wanted = this.next.get(topic) ?? 0
    if (number === wanted) this.next.set(topic, wanted + 1)
    else if (number < wanted && qos === 1) this.repeated++
    else if (number < wanted) this.#fault(`${topic}: ${number} came again, ${wanted} was due`)
    else {
      if (qos === 0) this.missed += number - wanted
      else this.#fault(`${topic}: ${wanted} to ${number - 1} are lost`)
      this.next.set(topic, number + 1)
    }
  }

  #fault(text: string): void {
    if (this.faults.length < 20) this.faults.push(text)
  }
}

/** A shared group: each message at least once to one of its members, whoever of them dies meanwhile. */
export class Group {
  #seen = new Uint8Array(1 << 16)
  received = 0
  readonly #filter: string

  constructor(name: string, topic: string) {
    this.#filter = `$share/${name}/${topic}`
  }

  /** A new member with a session that ends with its connection; resolves when it is subscribed. */
  async join(door: Door, clientId: string): Promise<Line> {
    return await new Promise((resolve, reject) => {
      const line = new Line(door, 5, { clientId, clean: true }, (packet) => {
        if (packet.type === Type.CONNACK) line.subscribe(this.#filter, 1)
        else if (packet.type === Type.SUBACK) resolve(line)
        else if (packet.type === Type.PUBLISH) this.#take(line, packet)
      })
      void line.closed.then(() => reject(new Error(`${clientId}: ${door.name} closed before SUBACK`)))
    })
  }

  /** How many of the first `count` numbers nobody has seen. */
  missing(count: number): number {
    return count - this.#seen.subarray(0, count).reduce((sum, seen) => sum + seen, 0)
  }

  #take(line: Line, packet: Packet): void {
    const { text, qos, id } = line.message(packet)
    if (qos === 1) line.send(packets.puback(id))
    const number = Number.parseInt(text, 10)
    if (number >= this.#seen.length) {
      const larger = new Uint8Array(this.#seen.length * 2)
      larger.set(this.#seen)
      this.#seen = larger
    }
    this.#seen[number] = 1
    this.received++
  }
}
