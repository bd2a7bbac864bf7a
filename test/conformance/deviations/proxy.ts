// A man in the middle between the runner and a real broker, who commits one deviation from the specification. Splits both
// directions into Control Packets, shows each to the deviation and sends on what it makes of it.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { decode, nextFrame } from '../../../conformance/decode.ts'
import type { Packet } from '../../../conformance/packet.ts'
import type { Version } from '../../../conformance/protocol.ts'
import * as wire from '../../../conformance/wire.ts'

/** What becomes of a packet: other packets, none, or (undefined) itself. */
export type Instead = readonly Buffer[] | undefined

export interface Deviation {
  /** What the broker does wrong, as a sentence: `copies the DUP flag of the publisher`. */
  readonly does: string
  /** Cases that must fail because of it, `area/id`, in every version that has them and `versions` names. */
  readonly caught: readonly string[]
  readonly versions?: readonly Version[]
  /** A packet of the client. */
  up?(packet: Packet, link: Link): Instead
  /** A packet of the broker. */
  down?(packet: Packet, link: Link): Instead
  /** What arrived at once from the client; false resets the connection. */
  chunk?(bytes: Buffer): boolean
  /** The broker has closed the connection; true keeps it open towards the client. */
  closed?(link: Link): boolean
  /** The client has closed the connection; bytes to say in its name before the broker hears of it. */
  gone?(link: Link): Instead
}

export type Misbehaviour = Pick<Deviation, 'up' | 'down' | 'chunk' | 'closed' | 'gone'>

/** One connection through the proxy. */
export interface Link {
  readonly world: World
  /** Of its CONNECT; 4 before it. */
  version: Version
  clientId: string
  connects: number
  /** Filters subscribed on this connection. */
  readonly filters: Set<string>
  /** Whatever the deviation wants to remember about the connection. */
  readonly notes: Map<string | number, unknown>
  toClient(bytes: Buffer): void
  toBroker(bytes: Buffer): void
  close(): void
}

/** What a deviation remembers beyond a connection. */
export interface World {
  readonly links: Set<Link>
  readonly notes: Map<string, unknown>
  /** Publishes in the broker's name: from a connection of our own. */
  publish(options: wire.PublishOptions): void
}

export interface Proxy {
  readonly url: string
  close(): Promise<void>
}

/** Listens on a free port and passes everything to the broker, but for the deviation. */
export async function proxy(port: number, deviation: Misbehaviour): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const open = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    return socket
  }
  const side = open(connect(port, '127.0.0.1'))
  side.on('data', () => undefined)
  side.write(wire.connect(4, { clientId: '', keepAlive: 0 }))
  const world: World = {
    links: new Set(),
    notes: new Map(),
    publish: (options) => void side.write(wire.publish(4, options)),
  }
  const server = createServer((client) => pass(open(client), open(connect(port, '127.0.0.1')), world, deviation))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function pass(client: Socket, broker: Socket, world: World, deviation: Misbehaviour): void {
  const write = (socket: Socket, bytes: Buffer): void => {
    if (!socket.destroyed && !socket.writableEnded) socket.write(bytes)
  }
  const link: Link = {
    world,
    version: 4,
    clientId: '',
    connects: 0,
    filters: new Set(),
    notes: new Map(),
    toClient: (bytes) => write(client, bytes),
    toBroker: (bytes) => write(broker, bytes),
    close: () => client.destroy(),
  }
  world.links.add(link)
  const begin = performance.now()
  client.on('data', (bytes) => {
    if (deviation.chunk?.(bytes) === false) client.destroy()
  })
  split(client, (frame) => {
    if ((frame.bytes[0] ?? 0) >> 4 === 1) {
      link.connects++
      if (link.connects === 1 && frame.bytes[frame.body + 6] === 5) link.version = 5
    }
    const packet = decode(frame, link.version, performance.now() - begin)
    if (packet.kind === 'connect') link.clientId = /client "([^"]*)"/.exec(packet.details ?? '')?.[1] ?? ''
    if (packet.kind === 'subscribe') for (const filter of packet.filters ?? []) link.filters.add(filter)
    for (const bytes of deviation.up?.(packet, link) ?? [frame.bytes]) link.toBroker(bytes)
  })
  split(broker, (frame) => {
    const packet = decode(frame, link.version, performance.now() - begin)
    for (const bytes of deviation.down?.(packet, link) ?? [frame.bytes]) link.toClient(bytes)
  })
  const gone = (): void => {
    if (!world.links.delete(link)) return
    for (const bytes of deviation.gone?.(link) ?? []) link.toBroker(bytes)
    broker.end()
  }
  client.on('end', gone)
  client.on('close', gone)
  broker.on('close', () => {
    if (deviation.closed?.(link) !== true) client.end()
  })
}

function split(socket: Socket, take: (frame: { bytes: Buffer; body: number }) => void): void {
  let bytes: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk])
    for (let frame = nextFrame(bytes); frame !== undefined; frame = nextFrame(bytes)) {
      bytes = bytes.subarray(frame.bytes.length)
      take(frame)
      if (frame.bytes.length === 0) return
    }
  })
}
