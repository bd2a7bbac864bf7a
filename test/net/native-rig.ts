// A reactor with everything a test wants to see: raw records as objects, raw commands as methods, real sockets.
// Owns no assertions. `rig.close()` closes the reactor and every client socket it opened.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NativeAddon, NativeReactor, ReactorOptions } from '../../native/index.d.ts'
import { Command, Kind, RECORD_WORDS, TOTALS } from '../../src/net/wire.ts'

const require = createRequire(import.meta.url)

/** The folder with binding.gyp: tests run from `dist/`, one level deeper than their sources. */
export function projectRoot(): string {
  const here = dirname(fileURLToPath(import.meta.url))
  return join(here, here.includes('/dist/') ? '../../..' : '../..')
}

export const addon: NativeAddon = require('node-gyp-build')(projectRoot())

export interface InboxRecord {
  kind: number
  first: number
  slot: number
  generation: number
  /** Words 3 to 6; what they mean depends on the kind. */
  a: number
  b: number
  c: number
  d: number
  /** A copy of the body (`packet`), name (`topic`) or address (`opened`). */
  bytes: Buffer
  /** The body's offset in this turn's inbox. */
  offset: number
}

export interface RigOptions {
  inboxRecords?: number
  inboxBytes?: number
  outboxWords?: number
  outboxBytes?: number
  options?: Partial<ReactorOptions>
}

/** The sizes at which every overflow, split, eviction and early flush happens in every test. */
export const TINY: RigOptions = {
  inboxRecords: 64,
  inboxBytes: 4096,
  outboxWords: 256,
  outboxBytes: 256,
  options: { readSize: 64, topicIds: 8, flushAfter: 1024 },
}

export const DEFAULTS: RigOptions = {}

interface Waiting {
  test: () => boolean
  resolve: () => void
  reject: (error: Error) => void
}

export class Rig {
  readonly reactor: NativeReactor
  readonly inbox: Int32Array<ArrayBuffer>
  readonly inboxBytes: Uint8Array<ArrayBuffer>
  readonly outbox: Int32Array<ArrayBuffer>
  readonly outboxBytes: Uint8Array<ArrayBuffer>
  readonly lastRead: Float64Array<ArrayBuffer>
  readonly lastWrite: Float64Array<ArrayBuffer>
  readonly queued: Uint32Array<ArrayBuffer>
  readonly bytesIn: Float64Array<ArrayBuffer>
  readonly bytesOut: Float64Array<ArrayBuffer>
  readonly leftOut: Uint32Array<ArrayBuffer>
  readonly totals = new Float64Array(TOTALS)
  readonly decisions = new Int32Array(1).fill(1)
  /** Every record of every turn so far. */
  readonly records: InboxRecord[] = []
  /** Records of each turn, as many as there were. */
  readonly turns: number[] = []
  readonly clients: Socket[] = []
  /** What the test wants done in a turn, once for each record. */
  onRecord: (record: InboxRecord) => void = () => {}
  /** What the test wants done in a turn, after its records. */
  onTurn: (records: InboxRecord[]) => void = () => {}
  /** Set to false by tests that count records in millions. */
  remember = true
  listener = -1
  #waiting: Waiting[] = []
  #outboxBytesUsed = 0

  constructor(sizes: RigOptions = {}) {
    const slots = sizes.options?.maxConnections ?? 1024
    this.inbox = new Int32Array((sizes.inboxRecords ?? 16384) * RECORD_WORDS)
    this.inboxBytes = new Uint8Array(sizes.inboxBytes ?? 1 << 20)
    this.outbox = new Int32Array(sizes.outboxWords ?? 65536)
    this.outboxBytes = new Uint8Array(sizes.outboxBytes ?? 65536)
    this.lastRead = new Float64Array(slots)
    this.lastWrite = new Float64Array(slots)
    this.queued = new Uint32Array(slots)
    this.bytesIn = new Float64Array(slots)
    this.bytesOut = new Float64Array(slots)
    this.leftOut = new Uint32Array(slots)
    const options: ReactorOptions = {
      maxConnections: slots,
      readSize: 65536,
      topicIds: 1024,
      maxTurns: 4,
      acceptBudget: 64,
      unadmittedPacketLimit: 512 * 1024,
      partialBudget: 16 << 20,
      highWater: 1 << 20,
      lowWater: 1 << 18,
      flushAfter: 4 << 20,
      handshakeBudget: 8,
      userTimeout: 60_000,
      poison: true,
      ...sizes.options,
    }
    this.reactor = addon.open(options, this, (count) => this.#turn(count))
  }

  #turn(count: number): void {
    const batch: InboxRecord[] = []
    for (let i = 0; i < count; i++) batch.push(this.#read(i * RECORD_WORDS))
    this.turns.push(count)
    if (this.remember) this.records.push(...batch)
    for (const record of batch) this.onRecord(record)
    this.onTurn(batch)
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!waiting.test()) return true
      waiting.resolve()
      return false
    })
  }

  #read(at: number): InboxRecord {
    const w = this.inbox
    const kind = w[at] & 0xff
    const [offset, length] =
      kind === Kind.Packet && w[at + 6] !== 0
        ? [0, 0]
        : kind === Kind.Packet || kind === Kind.Topic || kind === Kind.Opened
          ? [w[at + 4], w[at + 5]]
          : [0, 0]
    return {
      kind,
      first: (w[at] >>> 8) & 0xff,
      slot: w[at + 1],
      generation: w[at + 2],
      a: w[at + 3],
      b: w[at + 4],
      c: w[at + 5],
      d: w[at + 6],
      bytes: Buffer.from(this.inboxBytes.subarray(offset, offset + length)),
      offset,
    }
  }

  /** Settles at the end of the first turn after which `test` holds. */
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiting.push({ test, resolve, reject }))
  }

  of(kind: number, slot?: number): InboxRecord[] {
    return this.records.filter((record) => record.kind === kind && (slot === undefined || record.slot === slot))
  }

  listen(host = '127.0.0.1'): number {
    this.listener = this.reactor.listen({ host, port: 0, backlog: 0, ipv6Only: false, reusePort: false })
    return this.reactor.port(this.listener)
  }

  /** Connects a client; resolves to it and to the `opened` record of its connection. */
  async client(): Promise<{ socket: Socket; opened: InboxRecord }> {
    if (this.listener < 0) this.listen()
    const seen = this.of(Kind.Opened).length
    const socket = connect({ port: this.reactor.port(this.listener), host: '127.0.0.1', allowHalfOpen: true })
    this.clients.push(socket)
    socket.on('error', () => {}) // tests look at what the reactor says; 'close' follows for those that wait for it
    await Promise.all([once(socket, 'connect'), this.until(() => this.of(Kind.Opened).length > seen)])
    return { socket, opened: this.of(Kind.Opened)[seen] }
  }

  #words(...words: number[]): void {
    if (this.outbox[0] + words.length > this.outbox.length) this.execute()
    const at = this.outbox[0]
    this.outbox.set(words, at)
    this.outbox[0] = at + words.length
  }

  #bytes(bytes: Uint8Array): number {
    if (this.outbox[0] === 1) this.#outboxBytesUsed = 0
    if (this.#outboxBytesUsed + bytes.length > this.outboxBytes.length) this.execute()
    const at = this.#outboxBytesUsed
    this.outboxBytes.set(bytes, at)
    this.#outboxBytesUsed = at + bytes.length
    return at
  }

  execute(): void {
    this.#outboxBytesUsed = 0
    this.reactor.execute()
  }

  /** Any words at all. */
  raw(...words: number[]): void {
    this.#words(...words)
  }

  send(to: InboxRecord, bytes: Uint8Array | string): void {
    const all = Buffer.from(bytes)
    for (let at = 0; at < all.length; at += this.outboxBytes.length) {
      const part = all.subarray(at, at + this.outboxBytes.length)
      const offset = this.#bytes(part)
      this.#words(Command.Send, to.slot, to.generation, offset, part.length)
    }
  }

  sendShort(to: InboxRecord, bytes: number[]): void {
    const word = bytes.reduce((sum, byte, i) => sum | (byte << (8 * i)), 0)
    this.#words(Command.SendShort | (bytes.length << 8), to.slot, to.generation, word)
  }

  #tail(publish: InboxRecord): number {
    return publish.offset + 2 + publish.bytes.readUInt16BE(0) + (publish.first & 0x06 ? 2 : 0)
  }

  forward(first: number, packetId: number, to: InboxRecord, publish: InboxRecord, middle: number[] = []): void {
    const at = this.#bytes(Uint8Array.from(middle))
    this.#words(
      Command.Forward | (first << 8) | (packetId << 16),
      to.slot,
      to.generation,
      publish.offset,
      publish.bytes.length,
      this.#tail(publish),
      at,
      middle.length,
    )
  }

  forwardKept(first: number, packetId: number, to: InboxRecord, handle: number): void {
    this.#words(Command.ForwardKept | (first << 8) | (packetId << 16), to.slot, to.generation, handle, 0, 0)
  }

  multicast(first: number, group: number, publish: InboxRecord, except = -1): void {
    const { offset, bytes } = publish
    this.#words(Command.Multicast | (first << 8), group, offset, bytes.length, this.#tail(publish), 0, 0, except)
  }

  multicastKept(first: number, group: number, handle: number, except = -1): void {
    this.#words(Command.MulticastKept | (first << 8), group, handle, 0, 0, except)
  }

  forwardList(first: number, to: [InboxRecord, number][], publish: InboxRecord): void {
    const { offset, bytes } = publish
    this.#words(
      Command.ForwardList | (first << 8),
      to.length,
      offset,
      bytes.length,
      this.#tail(publish),
      0,
      0,
      ...to.flatMap(([record, id]) => [record.slot, record.generation, id]),
    )
  }

  keep(handle: number, publish: InboxRecord): void {
    this.#words(Command.Keep, handle, publish.offset, publish.bytes.length, this.#tail(publish))
  }

  release(handle: number): void {
    this.#words(Command.Release, handle)
  }

  groupPut(group: number, position: number, member: InboxRecord): void {
    this.#words(Command.GroupPut, group, position, member.slot, member.generation)
  }

  groupSize(group: number, size: number): void {
    this.#words(Command.GroupSize, group, size)
  }

  /** Limits of 0 are none. */
  admit(to: InboxRecord, maxPacketIn = 0, maxPacketOut = 0, outputLimit = 0): void {
    this.#words(Command.Admit, to.slot, to.generation, maxPacketIn, maxPacketOut, outputLimit)
  }

  finish(to: InboxRecord): void {
    this.#words(Command.Finish, to.slot, to.generation)
  }

  closeNow(to: InboxRecord, reset = false): void {
    this.#words(Command.Close, to.slot, to.generation, reset ? 1 : 0)
  }

  pause(to: InboxRecord): void {
    this.#words(Command.Pause, to.slot, to.generation)
  }

  resume(to: InboxRecord): void {
    this.#words(Command.Resume, to.slot, to.generation)
  }

  close(): void {
    for (const socket of this.clients) socket.destroy()
    this.reactor.close()
  }
}

/** Runs a test's body with a rig that is closed whatever happens. */
export function withRig(sizes: RigOptions, body: (rig: Rig) => Promise<void>): () => Promise<void> {
  return async () => {
    const rig = new Rig(sizes)
    try {
      await body(rig)
    } finally {
      rig.close()
    }
  }
}

/** A Control Packet: first byte, Remaining Length, body. */
export function packet(first: number, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body)
  const length: number[] = []
  let rest = bytes.length
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from([first, ...length]), bytes])
}

/** A PUBLISH (MQTT 3.1.1). */
export function publish(topic: string, payload: Uint8Array | string, qos = 0, id = 1): Buffer {
  const name = Buffer.from(topic)
  const head = Buffer.alloc(2)
  head.writeUInt16BE(name.length)
  const packetId = qos ? Buffer.from([id >> 8, id & 0xff]) : Buffer.alloc(0)
  return packet(0x30 | (qos << 1), Buffer.concat([head, name, packetId, Buffer.from(payload)]))
}

/** Waits for what no record tells of, one loop iteration at a time. */
export async function poll(test: () => boolean): Promise<void> {
  while (!test()) await new Promise(setImmediate)
}

/** Lets the loop go round: what was written outside a turn has been flushed, what was ready has been told. */
export async function rounds(count = 2): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

/** Collects what a socket receives until `size` bytes are there. */
export function receive(socket: Socket, size: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let total = 0
    const onData = (part: Buffer): void => {
      parts.push(part)
      total += part.length
      if (total < size) return
      done()
      resolve(Buffer.concat(parts))
    }
    const onEnd = (): void => {
      done()
      reject(new Error(`the stream ended after ${total} of ${size} bytes`))
    }
    const done = (): void => {
      socket.off('data', onData).off('end', onEnd).off('close', onEnd)
    }
    socket.on('data', onData).on('end', onEnd).on('close', onEnd).resume()
  })
}

/** Everything until the peer's FIN. */
export async function receiveAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  await once(socket, 'end')
  return Buffer.concat(parts)
}
