// A byte-level MQTT client for judging brokers: sends exactly the bytes it is given, notes all that comes back, and
// acknowledges nothing by itself. Owns one network connection; the context that made it destroys it after the case.

import { decode, nextFrame } from './decode.ts'
import { describe, type Packet } from './packet.ts'
import { type PacketKind, reasonText, type Version } from './protocol.ts'
import type { Trace } from './trace.ts'
import type { Transport } from './transport.ts'
import { Failed, Skipped } from './verdict.ts'
import * as wire from './wire.ts'

/** What a connection carried, in order, for the invariants that watch all cases. */
export interface ConnectionLog {
  label: string
  version: Version
  entries: { direction: 'sent' | 'received'; packet: Packet }[]
}

export interface Wait {
  /** Which packet of that kind. */
  where?: (packet: Packet) => boolean
  /** What the specification wants here, in words; part of the verdict. */
  why?: string
  /** Milliseconds; the run's patience unless said otherwise. */
  within?: number
}

export interface SubscribeOptions {
  properties?: readonly Uint8Array[]
  /** Do not insist that the server granted what was asked for. */
  anyCode?: boolean
}

const MAX_INBOX = 20_000

export class Client {
  readonly label: string
  readonly version: Version
  readonly log: ConnectionLog
  /** The accepted CONNACK, once there is one. */
  connack: Packet | undefined
  /** Packets received and not taken yet, oldest first. */
  readonly inbox: Packet[] = []
  readonly #trace: Trace
  readonly #patience: number
  #transport: Transport | undefined
  #bytes: Buffer = Buffer.alloc(0)
  /** What was sent of a packet that is not complete yet. */
  #begun: Buffer = Buffer.alloc(0)
  #closed: string | undefined
  #destroyed = false
  #packetId = 0
  #changed: (() => void)[] = []

  constructor(label: string, version: Version, trace: Trace, patience: number) {
    this.label = label
    this.version = version
    this.#trace = trace
    this.#patience = patience
    this.log = { label, version, entries: [] }
  }

  // ---- the stream ---------------------------------------------------------------------------------------------

  attach(transport: Transport): void {
    this.#transport = transport
  }

  readonly events = {
    data: (bytes: Buffer): void => this.#read(bytes),
    closed: (how: string): void => {
      this.#closed = how
      if (this.#bytes.length > 0) this.#trace.add('received', 'an incomplete packet', this.label, this.#bytes)
      this.#trace.add('closed', `the server closed the connection (${how})`, this.label)
      this.#wake()
    },
  }

  #read(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes])
    for (;;) {
      const frame = nextFrame(this.#bytes)
      if (frame === undefined) break
      this.#bytes = this.#bytes.subarray(frame.bytes.length)
      const packet = decode({ ...frame, bytes: Buffer.from(frame.bytes) }, this.version, this.#trace.now())
      this.log.entries.push({ direction: 'received', packet })
      this.#trace.packet('received', packet, this.label)
      if (this.inbox.push(packet) > MAX_INBOX) this.destroy()
    }
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#changed
    this.#changed = []
    for (const wake of waiting) wake()
  }

  /** Sends the bytes as they are, in one write. `note` says what is wrong with them. */
  send(bytes: Buffer, note?: string): void {
    if (note !== undefined) this.#trace.add('note', note, this.label)
    this.#logSent(bytes)
    this.#transport?.write(bytes)
  }

  #logSent(bytes: Buffer): void {
    let rest = this.#begun.length === 0 ? bytes : Buffer.concat([this.#begun, bytes])
    for (let frame = nextFrame(rest); frame !== undefined && rest.length > 0; frame = nextFrame(rest)) {
      const packet = decode(frame, this.version, this.#trace.now())
      this.log.entries.push({ direction: 'sent', packet })
      this.#trace.packet('sent', packet, this.label)
      rest = rest.subarray(frame.bytes.length)
    }
    if (rest.length > 0) this.#trace.add('sent', 'the beginning of a packet', this.label, rest)
    this.#begun = rest
  }

  /** Ends our side (FIN) without DISCONNECT. */
  end(): void {
    this.#trace.add('note', 'we end the stream without DISCONNECT', this.label)
    this.#transport?.end()
  }

  /** Closes the connection without DISCONNECT, as a client that vanishes. */
  drop(): void {
    if (this.#destroyed) return
    this.#trace.add('note', 'we drop the connection without DISCONNECT', this.label)
    this.destroy()
  }

  /** Closes the connection with RST, as the kernel of a process that crashed may do. */
  reset(): void {
    this.#trace.add('note', 'we reset the connection', this.label)
    this.#destroyed = true
    this.#transport?.reset()
    this.#wake()
  }

  destroy(): void {
    this.#destroyed = true
    this.#transport?.destroy()
    this.#wake()
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  nextId(): number {
    this.#packetId = (this.#packetId % 65_535) + 1
    return this.#packetId
  }

  // ---- waiting ------------------------------------------------------------------------------------------------

  /** Waits until `probe` yields something. `undefined` when the time is over or the connection has ended. */
  async #until<T>(probe: () => T | undefined, within: number): Promise<T | undefined> {
    const deadline = performance.now() + within
    for (;;) {
      const found = probe()
      if (found !== undefined) return found
      const left = deadline - performance.now()
      if (left <= 0 || this.#closed !== undefined || this.#destroyed) return undefined
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#changed.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  #instead(within: number): string {
    const seen = this.inbox.map(describe).slice(0, 6).join('; ')
    const more = this.inbox.length > 6 ? ` and ${this.inbox.length - 6} more` : ''
    const packets = seen === '' ? '' : `${seen}${more}, then `
    return `${packets}${this.#closed === undefined ? `nothing within ${within} ms` : `the connection closed (${this.#closed})`}`
  }

  /** Takes the first packet of the kind out of the inbox, waiting for it; Failed when it does not come. */
  async take(kind: PacketKind, wait: Wait = {}): Promise<Packet> {
    const within = wait.within ?? this.#patience
    const where = wait.where ?? (() => true)
    const wanted = wait.why ?? `${kind.toUpperCase()}`
    const packet = await this.#until(() => {
      const index = this.inbox.findIndex((p) => p.kind === kind && where(p))
      return index < 0 ? undefined : this.inbox.splice(index, 1)[0]
    }, within)
    if (packet === undefined) throw this.#failed(wanted, this.#instead(within))
    if (wait.why !== undefined) this.#trace.add('expected', wanted, this.label)
    return packet
  }

  /** Like `take`, but its absence is an answer too. */
  async takeIfAny(kind: PacketKind, wait: Wait = {}): Promise<Packet | undefined> {
    const where = wait.where ?? (() => true)
    return this.#until(() => {
      const index = this.inbox.findIndex((p) => p.kind === kind && where(p))
      return index < 0 ? undefined : this.inbox.splice(index, 1)[0]
    }, wait.within ?? this.#patience)
  }

  /** The very next packet, whatever it is; undefined when the connection closes or nothing comes. */
  async next(within = this.#patience): Promise<Packet | undefined> {
    return this.#until(() => this.inbox.shift(), within)
  }

  #failed(expected: string, got: string): Failed {
    this.#trace.add('failed', `expected ${expected}; got ${got}`, this.label)
    return new Failed(expected, got)
  }

  /** Waits for the server to close the connection; Failed if it stays open. Returns what came before. */
  async closed(why: string, within = this.#patience): Promise<Packet[]> {
    const expected = `the connection closed: ${why}`
    await this.#until(() => (this.#closed === undefined ? undefined : true), within)
    if (this.#closed === undefined) throw this.#failed(expected, `${this.#instead(within)}; it is still open`)
    this.#trace.add('expected', expected, this.label)
    return this.inbox.splice(0)
  }

  /** True if the server closes the connection in time; nothing is demanded. */
  async closes(within = this.#patience): Promise<boolean> {
    await this.#until(() => (this.#closed === undefined ? undefined : true), within)
    return this.#closed !== undefined
  }

  /** PINGREQ, and all that came before its PINGRESP: proof of absence without sleeping. */
  async flush(why = 'PINGRESP: the connection is alive'): Promise<Packet[]> {
    this.send(wire.PINGREQ)
    await this.take('pingresp', { why })
    return this.inbox.splice(0)
  }

  // ---- exchanges ----------------------------------------------------------------------------------------------

  /** CONNECT and the CONNACK for it, accepted or not. */
  async connect(options: wire.ConnectOptions, why = 'CONNACK'): Promise<Packet> {
    this.send(wire.connect(this.version, options))
    return this.take('connack', { why })
  }

  /**
   * SUBSCRIBE and its SUBACK. Skipped when the server refuses or grants less than asked, which it may; Failed when it
   * grants more, or answers for fewer filters than were asked for.
   */
  async subscribe(
    filters: string | readonly wire.FilterWithOptions[],
    options = 0,
    more: SubscribeOptions = {},
  ): Promise<Packet> {
    const list: readonly wire.FilterWithOptions[] = typeof filters === 'string' ? [[filters, options]] : filters
    const packetId = this.nextId()
    this.send(wire.subscribe(this.version, packetId, list, more.properties))
    const suback = await this.take('suback', {
      where: (p) => p.packetId === packetId,
      why: `SUBACK with id ${packetId}`,
    })
    if (more.anyCode === true) return suback
    const answers = list.map(([filter, wanted], index) => ({
      asked: `${JSON.stringify(filter)} at QoS ${wanted & 3}`,
      wanted: wanted & 3,
      granted: suback.codes?.[index],
    }))
    for (const { asked, wanted, granted } of answers) {
      if (granted === undefined) throw this.#failed(`a code for ${asked} in SUBACK`, describe(suback))
      if (granted > wanted && granted < 0x80) {
        throw this.#failed(`at most the QoS asked for granted, for ${asked}`, describe(suback))
      }
    }
    for (const { asked, wanted, granted = 0 } of answers) {
      if (granted === wanted) continue
      const what = granted >= 0x80 ? reasonText(granted) : `QoS ${granted}`
      throw new Skipped(`the server granted ${what} for ${asked}, as it may`)
    }
    return suback
  }

  async unsubscribe(filters: readonly string[], list?: readonly Uint8Array[]): Promise<Packet> {
    const packetId = this.nextId()
    this.send(wire.unsubscribe(this.version, packetId, filters, list))
    return this.take('unsuback', { where: (p) => p.packetId === packetId, why: `UNSUBACK with id ${packetId}` })
  }

  /**
   * PUBLISH and the whole exchange its QoS demands; returns the PUBACK or PUBREC. Failed if the server refuses it,
   * unless `anyCode`.
   */
  async publish(options: wire.PublishOptions, anyCode = false): Promise<Packet | undefined> {
    const qos = options.qos ?? 0
    const packetId = options.packetId ?? (qos > 0 ? this.nextId() : 0)
    this.send(wire.publish(this.version, { ...options, packetId }))
    if (qos === 0) return undefined
    const mine = (p: Packet) => p.packetId === packetId
    const answer = await this.take(qos === 1 ? 'puback' : 'pubrec', {
      where: mine,
      why: `${qos === 1 ? 'PUBACK' : 'PUBREC'} with id ${packetId}`,
    })
    const refused = (answer.code ?? 0) >= 0x80
    if (refused && !anyCode) throw this.#failed('the message accepted', describe(answer))
    if (qos === 2 && !refused) {
      this.send(wire.pubrel(packetId))
      await this.take('pubcomp', { where: mine, why: `PUBCOMP with id ${packetId}` })
    }
    return answer
  }

  /** Takes a PUBLISH and acknowledges it in full. */
  async receive(why: string, where?: (packet: Packet) => boolean, within?: number): Promise<Packet> {
    const message = await this.take('publish', {
      why,
      ...(where === undefined ? {} : { where }),
      ...(within === undefined ? {} : { within }),
    })
    await this.acknowledge(message)
    return message
  }

  async acknowledge(message: Packet): Promise<void> {
    const id = message.packetId ?? 0
    if (message.qos === 1) this.send(wire.puback(id))
    if (message.qos !== 2) return
    this.send(wire.pubrec(id))
    await this.take('pubrel', { where: (p) => p.packetId === id, why: `PUBREL with id ${id}` })
    this.send(wire.pubcomp(id))
  }

  /**
   * The messages up to the one whose payload is `marker`, acknowledged, without the marker. Only messages of one topic
   * have an order, so if fewer than `atLeast` came, those that are missing may still come behind it.
   */
  async messagesUntil(marker: string, why: string, atLeast = 0): Promise<Packet[]> {
    const messages: Packet[] = []
    for (;;) {
      const message = await this.receive(`${why} (up to the marker ${JSON.stringify(marker)})`)
      if (message.payload?.toString() === marker) break
      messages.push(message)
    }
    while (messages.length < atLeast) {
      const late = await this.takeIfAny('publish')
      if (late === undefined) break
      await this.acknowledge(late)
      messages.push(late)
    }
    return messages
  }

  /** DISCONNECT, then waits a moment for the server to close. */
  async disconnect(code?: number, list?: readonly Uint8Array[]): Promise<void> {
    this.send(wire.disconnect(code, list))
    await this.closes(1000)
    this.destroy()
  }
}
