// What goes wrong around a broker all day, one step of it at a time: attackers who leave their connections half open, bytes
// that are not MQTT, subscribers that read nothing, clients that die and leave a will, retained messages that must be the
// newest. Owns the connections it opens; `end` closes what is left.
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { upgradeRequest } from '../../net/byte-client.ts'
import * as packets from '../../support/packets.ts'
import { Type } from '../../support/packets.ts'
import type { Door } from './doors.ts'
import { Line, type Opening, type Version } from './line.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
const versionOf = (n: number): Version => (n % 2 === 0 ? 4 : 5)

/** A connection that has had its CONNACK; `receive` is given what comes later. */
export async function comeIn(
  door: Door,
  version: Version,
  opening: Opening,
  receive: (line: Line, packet: packets.Packet) => void = () => {},
): Promise<Line> {
  return await new Promise((resolve, reject) => {
    const line = new Line(door, version, opening, (packet) => {
      if (packet.type === Type.CONNACK) resolve(line)
      else receive(line, packet)
    })
    void line.closed.then(() => reject(new Error(`${opening.clientId}: ${door.name} closed before CONNACK`)))
  })
}

const half = packets.connect({ clientId: 'x'.repeat(200) })
/** What an attacker says first, and then nothing more. */
const openings: readonly (() => Buffer)[] = [
  () => Buffer.alloc(0),
  () => half.subarray(0, 1 + Math.floor(Math.random() * (half.length - 2))),
  () => Buffer.from('160301020001000200', 'hex'), // half a ClientHello
  () => Buffer.from(upgradeRequest().slice(0, 40)),
  () => Buffer.from('GET / HTTP/1.1\r\nHost: broker\r\n\r\n'),
  () => Buffer.from('PROXY TCP4 203.0.113.9'),
  () => randomBytes(64),
  () => Buffer.from('10ffffffff7f', 'hex'),
]

export class Attackers {
  /** Connections opened. */
  count = 0
  /** Clients that talked nonsense; some of it began like a PUBLISH. */
  talked = 0
  readonly #open = new Set<Socket>()
  readonly #doors: readonly Door[]
  readonly #ports: readonly number[]

  constructor(doors: readonly Door[], ports: readonly number[]) {
    this.#doors = doors
    this.#ports = ports
  }

  /** Each door and each port, without TLS where there should be, hears each opening; nobody ever closes from this side. */
  attack(): void {
    const ways = this.#doors.map((door) => () => door.dial())
    for (const port of this.#ports) {
      ways.push(() => ({ socket: connect({ host: '127.0.0.1', port }), ready: 'connect' }))
    }
    for (const way of ways) {
      for (const opening of openings) {
        const { socket, ready } = way()
        socket.allowHalfOpen = true
        socket.on('error', () => {})
        socket.on('close', () => this.#open.delete(socket))
        socket.resume()
        socket.once(ready, () => socket.write(opening()))
        this.#open.add(socket)
        this.count++
      }
    }
  }

  /** Connects as MQTT wants it, and then talks nonsense: the broker must end the connection. */
  async talkNonsense(): Promise<void> {
    const words = ['3600', '62020000', '000000', '3003000123', `30ff7f${'41'.repeat(99)}`, 'f000', '8200', 'e5ff']
    const victims = this.#doors.map(async (door, n) => {
      const line = await comeIn(door, versionOf(n), { clientId: `nonsense-${n}`, clean: true })
      const bytes = n % 3 === 0 ? randomBytes(50) : packets.hex(words[Math.floor(Math.random() * words.length)]!)
      line.send(bytes)
      this.talked++
      await line.leave()
    })
    await Promise.all(victims)
  }

  end(): void {
    for (const socket of this.#open) socket.destroy()
  }
}

/** Clients that die; the broker speaks for each of them. */
export class Wills {
  sent = 0

  async die(doors: readonly Door[]): Promise<void> {
    await Promise.all(
      doors.map(async (door, n) => {
        const number = this.sent++
        const will = { topic: `will/${number}`, payload: `${number} 0 gone`, qos: ((number % 2) + 1) as 1 | 2 }
        const line = await comeIn(door, versionOf(n), { clientId: `dies-${n}`, clean: true, will })
        await line.lose()
      }),
    )
  }
}

/** Hears of every death, on a connection that nobody cuts. */
export class Mourner {
  readonly #heard = new Map<string, number>()

  async comeIn(door: Door): Promise<Line> {
    const known = new Set<number>()
    const line = await comeIn(door, 5, { clientId: 'mourner', clean: true }, (line, packet) => {
      if (packet.type === Type.PUBREL) {
        known.delete(packets.packetIdOf(packet))
        line.send(packets.pubcomp(packets.packetIdOf(packet)))
      }
      if (packet.type !== Type.PUBLISH) return
      const { topic, qos, id } = line.message(packet)
      line.send(qos === 1 ? packets.puback(id) : packets.pubrec(id))
      if (qos === 2 && known.has(id)) return
      if (qos === 2) known.add(id)
      this.#heard.set(topic, (this.#heard.get(topic) ?? 0) + 1)
    })
    line.subscribe('will/+', 2)
    return line
  }

  get count(): number {
    return this.#heard.size
  }

  get twice(): string[] {
    return [...this.#heard].filter(([, times]) => times > 1).map(([topic]) => topic)
  }
}

/** A value is set and acknowledged at one door; whoever subscribes at another sees it, or what came after it. */
export class Board {
  sent = 0
  readonly #values = new Map<string, number>()

  async write(door: Door, other: Door, version: Version): Promise<void> {
    const topic = `board/${this.sent % 10}`
    const value = ++this.sent
    await this.#put(door, topic, `${value}`)
    this.#values.set(topic, value)
    let shown = 0
    const line = new Line(other, version, { clientId: 'reader', clean: true }, (packet) => {
      if (packet.type === Type.CONNACK) line.subscribe(topic, 0)
      if (packet.type !== Type.PUBLISH) return
      shown = Number(line.message(packet).text)
      void line.leave()
    })
    await line.closed
    if (shown !== value) throw new Error(`${topic} shows ${shown}, not ${value}`)
  }

  async wipe(door: Door): Promise<void> {
    for (const topic of this.#values.keys()) {
      await this.#put(door, topic, '')
      this.sent++
    }
  }

  async #put(door: Door, topic: string, payload: string): Promise<void> {
    let stored = (): void => {}
    const acknowledged = new Promise<void>((resolve) => {
      stored = resolve
    })
    const line = await comeIn(door, 4, { clientId: 'writer', clean: true }, (_, { type }) => {
      if (type === Type.PUBACK) stored()
    })
    line.publish({ topic, payload, qos: 1, id: 1, retain: true })
    await acknowledged
    await line.leave()
  }
}

/** Subscribers that read nothing, and more for them than any buffer holds. */
export class Deaf {
  /** PUBLISH packets sent for them. */
  sent = 0
  #lines: Line[] = []
  #flooder: Line | undefined
  #acknowledged: () => void = () => {}

  async comeIn(doors: readonly Door[]): Promise<void> {
    for (const line of this.#lines) await line.lose()
    this.#lines = await Promise.all(
      doors.map(async (door, n) => {
        const line = await comeIn(door, versionOf(n), { clientId: `deaf-${n}`, clean: true })
        line.subscribe('flood', n % 2 === 0 ? 0 : 1)
        line.pause()
        return line
      }),
    )
  }

  async flood(door: Door): Promise<void> {
    this.#flooder ??= await comeIn(door, 4, { clientId: 'flooder', clean: true }, (_, { type, body }) => {
      if (type === Type.PUBACK && body.readUInt16BE(0) === 20) this.#acknowledged()
    })
    const last = new Promise<void>((resolve) => {
      this.#acknowledged = resolve
    })
    const payload = '.'.repeat(50_000)
    for (const n of range(20)) this.#flooder.publish({ topic: 'flood', payload, qos: 1, id: n + 1 })
    this.sent += 20
    await last
  }

  async end(): Promise<void> {
    for (const line of this.#lines) await line.lose()
    await this.#flooder?.leave()
  }
}
