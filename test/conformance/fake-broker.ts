// A broker of a hundred lines with faults to order: what a case has to find, one of them commits. QoS 0 and 1, exact
// filters and `#` at the end, retained messages, no sessions; enough for the cases the tests run against it.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { decode, nextFrame } from '../../conformance/decode.ts'
import type { Packet } from '../../conformance/packet.ts'
import type { Version } from '../../conformance/protocol.ts'
import * as wire from '../../conformance/wire.ts'

export interface Faults {
  /** Ignores what is malformed instead of closing the connection. */
  keepsOpen?: boolean
  /** Acknowledges with the next identifier. */
  wrongIdentifier?: boolean
  /** Forwards with the DUP and RETAIN flags that came in. */
  copiesFlags?: boolean
  /** Delivers every message twice. */
  doubles?: boolean
  /** Never answers PINGREQ. */
  ignoresPing?: boolean
  /** Sets a reserved flag in CONNACK. */
  reservedConnackFlag?: boolean
  /** Announces no retained messages and keeps none (5.0). */
  noRetain?: boolean
  /** Answers every CONNECT with this code. */
  refuses?: number
}

export interface FakeBroker {
  url: string
  port: number
  /** Connections accepted so far. */
  connections: number
  close(): Promise<void>
}

interface Peer {
  socket: Socket
  version: Version
  connected: boolean
  filters: Map<string, number>
  nextId: number
}

export async function fakeBroker(faults: Faults = {}): Promise<FakeBroker> {
  const peers = new Set<Peer>()
  const retained = new Map<string, Packet>()
  const server = createServer((socket) => {
    broker.connections++
    const peer: Peer = { socket, version: 4, connected: false, filters: new Map(), nextId: 1 }
    peers.add(peer)
    let bytes: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      for (let frame = nextFrame(bytes); frame !== undefined && !socket.destroyed; frame = nextFrame(bytes)) {
        bytes = bytes.subarray(frame.bytes.length)
        if ((frame.bytes[0] ?? 0) >> 4 === 1) peer.version = frame.bytes[8] === 5 ? 5 : 4
        handle(peer, decode(frame, peer.version, 0))
      }
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => peers.delete(peer))
  })

  const violation = (peer: Peer): void => {
    if (faults.keepsOpen !== true) peer.socket.end()
  }

  const matches = (filter: string, topic: string): boolean =>
    filter === topic || (filter.endsWith('#') && topic.startsWith(filter.slice(0, -1)))

  const send = (peer: Peer, message: Packet, granted: number, retain: boolean): void => {
    const qos = Math.min(message.qos ?? 0, granted) as 0 | 1
    const copied = faults.copiesFlags === true
    const bytes = wire.publish(peer.version, {
      topic: message.topic ?? '',
      payload: message.payload ?? '',
      qos,
      retain: copied ? message.retain === true : retain,
      dup: copied && message.dup === true,
      packetId: qos > 0 ? peer.nextId++ : 0,
    })
    for (let n = faults.doubles === true ? 2 : 1; n > 0; n--) peer.socket.write(bytes)
  }

  const route = (message: Packet): void => {
    if (message.retain === true && faults.noRetain !== true) {
      if (message.payload?.length === 0) retained.delete(message.topic ?? '')
      else retained.set(message.topic ?? '', message)
    }
    for (const peer of peers) {
      for (const [filter, granted] of peer.filters) {
        if (matches(filter, message.topic ?? '')) send(peer, message, granted, false)
      }
    }
  }

  const subscribe = (peer: Peer, packet: Packet): void => {
    const asked = [...(packet.details ?? '').matchAll(/"([^"]*)" options 0x([0-9a-f]+)/g)]
    const codes = asked.map(([, , options]) => Math.min(Number.parseInt(options ?? '0', 16) & 3, 1))
    const id = (packet.packetId ?? 0) + (faults.wrongIdentifier === true ? 1 : 0)
    peer.socket.write(wire.packet(0x90, wire.u16(id), peer.version === 5 ? 0 : [], codes))
    asked.forEach(([, filter = ''], index) => {
      peer.filters.set(filter, codes[index] ?? 0)
      for (const [topic, message] of retained) if (matches(filter, topic)) send(peer, message, codes[index] ?? 0, true)
    })
  }

  function handle(peer: Peer, packet: Packet): void {
    const { socket, version } = peer
    if (packet.problems.length > 0 || peer.connected === (packet.kind === 'connect')) {
      violation(peer)
      return
    }
    switch (packet.kind) {
      case 'connect': {
        const code = faults.refuses ?? 0
        peer.connected = code === 0
        const list = faults.noRetain === true ? wire.properties(wire.property('retainAvailable', 0)) : [0]
        const flags = faults.reservedConnackFlag === true ? 0x80 : 0
        socket.write(wire.packet(0x20, flags, code, version === 5 ? list : []))
        if (code !== 0) socket.end()
        return
      }
      case 'publish':
        if (packet.topic === '' || packet.qos === 3) {
          violation(peer)
          return
        }
        if (packet.qos === 1) {
          const id = (packet.packetId ?? 0) + (faults.wrongIdentifier === true ? 1 : 0)
          socket.write(wire.puback(id & 0xffff))
        }
        route(packet)
        return
      case 'subscribe':
        if (packet.details === '') violation(peer)
        else subscribe(peer, packet)
        return
      case 'pingreq':
        if (faults.ignoresPing !== true) socket.write(wire.hex('d0 00'))
        return
      case 'puback':
        return
      case 'disconnect':
        socket.end()
        return
      default:
        violation(peer)
    }
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const broker: FakeBroker = {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    connections: 0,
    async close() {
      for (const peer of peers) peer.socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return broker
}
