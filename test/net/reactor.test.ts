// The TypeScript side of the reactor with the real addon: connections from `opened` to `closed`, commands that come too
// late, groups, and exceptions that stay where they were thrown.

import { connect, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Connection, ConnectionReceiver } from '../../src/net/connection.ts'
import { Reactor, type ReactorReceiver, type ReactorSettings } from '../../src/net/reactor.ts'
import type { GroupMember } from '../../src/net/recipient-group.ts'

const SETTINGS: ReactorSettings = {
  maxConnections: 8,
  inboxRecords: 64,
  inboxSize: 4096,
  outboxWords: 256,
  outboxSize: 1024,
  readSize: 1024,
  topicIds: 8,
  maxTurns: 4,
  acceptBudget: 8,
  handshakeBudget: 8,
  unadmittedPacketLimit: 1 << 16,
  partialBudget: 1 << 20,
  highWater: 1 << 16,
  lowWater: 1 << 12,
  flushAfter: 1 << 20,
  userTimeout: 0,
  poison: true,
}

class Peer implements ConnectionReceiver, GroupMember {
  readonly connection: Connection
  readonly told: string[] = []
  groupPosition = -1
  onPacket: (first: number) => void = () => {}
  readonly #changed: () => void

  constructor(connection: Connection, changed: () => void) {
    this.connection = connection
    this.#changed = changed
  }

  handlePacket(first: number): void {
    this.#tell(`packet ${first}`)
    this.onPacket(first)
  }

  handleEnded(): void {
    this.#tell('ended')
  }

  handleDrained(): void {}
  handleOverflowed(): void {}
  handleOversized(): void {}

  handleMalformedLength(): void {
    this.#tell('malformed')
    throw new Error('a bug in an event')
  }

  handleClosed(): void {
    this.#tell('closed')
  }

  #tell(what: string): void {
    this.told.push(what)
    this.#changed()
  }
}

class Setup implements ReactorReceiver {
  readonly reactor = new Reactor(SETTINGS, this)
  readonly peers: Peer[] = []
  readonly bugs: unknown[] = []
  readonly #port: number
  #wakers: (() => void)[] = []

  constructor() {
    this.#port = this.reactor.listen({
      host: '127.0.0.1',
      port: 0,
      backlog: 0,
      ipv6Only: false,
      reusePort: false,
    }).port
  }

  handleOpened(connection: Connection): Peer {
    const peer = new Peer(connection, () => this.#wake())
    this.peers.push(peer)
    this.#wake()
    return peer
  }

  handleTopic(): void {}
  handleForgotten(): void {}
  handleAcceptPaused(): void {}
  handleRefused(): void {}

  handleBug(error: unknown): void {
    this.bugs.push(error)
  }

  /** One more connection, both ends. */
  async open(): Promise<{ socket: Socket; peer: Peer; bytes: () => string }> {
    const count = this.peers.length
    const socket = connect({ port: this.#port, host: '127.0.0.1', allowHalfOpen: true })
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      this.#wake()
    })
    socket.on('error', () => {})
    await this.until(() => this.peers.length > count)
    return { socket, peer: this.peers[count]!, bytes: () => Buffer.concat(chunks).toString('latin1') }
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wakers.push(resolve))
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake()
  }
}

async function withReactor(run: (setup: Setup) => Promise<void>): Promise<void> {
  const setup = new Setup()
  try {
    await run(setup)
  } finally {
    setup.reactor.close()
  }
}

test('a connection is told of packets, then the end, then closed, and is counted in between', () =>
  withReactor(async (setup) => {
    const { socket, peer } = await setup.open()
    assert.match(peer.connection.remoteAddress, /^127\.0\.0\.1:\d+$/)
    assert.is(setup.reactor.connectionCount, 1)
    socket.end(Buffer.from([0xc0, 0, 0xe0, 0]))
    await setup.until(() => peer.told.includes('ended'))
    peer.connection.finish()
    await setup.until(() => peer.told.includes('closed'))
    assert.equal(peer.told, ['packet 192', 'packet 224', 'ended', 'closed'])
    assert.is(peer.connection.closed, true)
    assert.is(setup.reactor.connectionCount, 0)
    assert.equal(setup.reactor.receivers(), [])
  }))

test('commands for a closed connection reach nobody, also not who has its slot now', () =>
  withReactor(async (setup) => {
    const first = await setup.open()
    first.socket.resetAndDestroy()
    await setup.until(() => first.peer.told.includes('closed'))
    const others: Awaited<ReturnType<Setup['open']>>[] = []
    // Slots are used oldest first: fill them all.
    for (let n = 0; n < SETTINGS.maxConnections; n++) others.push(await setup.open())
    assert.ok(others.some(({ peer }) => peer.connection.slot === first.peer.connection.slot))
    const { connection } = first.peer
    const late = [
      () => connection.send(Buffer.from('late')),
      () => connection.close(true),
      () => connection.finish(),
      () => setup.reactor.outbox.send(connection, Buffer.from('later')), // past the guard: native code looks, too
      () => setup.reactor.outbox.close(connection, true),
    ]
    for (const each of late) each()
    for (const { peer } of others) peer.connection.send(Buffer.from('yours'))
    await setup.until(() => others.every(({ bytes }) => bytes().length >= 5))
    assert.ok(others.every(({ bytes, peer }) => bytes() === 'yours' && peer.told.length === 0))
    for (const { socket } of others) socket.destroy()
  }))

test('a group reaches its members, not who left it, nor who is closed', () =>
  withReactor(async (setup) => {
    const all = [await setup.open(), await setup.open(), await setup.open(), await setup.open()]
    for (const { peer } of all) peer.connection.admit(1 << 16, 1 << 16, 1 << 20)
    const group = setup.reactor.newGroup<Peer>((peer) => peer.connection)
    for (const { peer } of all) group.add(peer)
    group.remove(all[1]!.peer)
    all[2]!.socket.resetAndDestroy()
    await setup.until(() => all[2]!.peer.told.includes('closed'))
    const handle = setup.reactor.kept.keepBytes(Buffer.from('\0\x01thello'), 3)
    setup.reactor.outbox.multicastKept(group.id, 0x30, handle, new Uint8Array(0), -1)
    setup.reactor.kept.release(handle)
    all[1]!.peer.connection.send(Buffer.from('only you'))
    await setup.until(() => [0, 1, 3].every((n) => all[n]!.bytes().length >= 8))
    assert.is(all[0]!.bytes(), '0\x08\0\x01thello')
    assert.is(all[3]!.bytes(), '0\x08\0\x01thello')
    assert.is(all[1]!.bytes(), 'only you')
    group.dispose()
    for (const { socket } of all) socket.destroy()
  }))

test('an exception in an event is told as a bug, and the records behind it are handled', () =>
  withReactor(async (setup) => {
    const [bad, good] = [await setup.open(), await setup.open()]
    bad.socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0xff]))
    good.socket.write(Buffer.from([0xc0, 0]))
    await setup.until(() => bad.peer.told.length > 0 && good.peer.told.length > 0)
    assert.equal(bad.peer.told, ['malformed'])
    assert.equal(good.peer.told, ['packet 192'])
    assert.is(setup.bugs.length, 1)
    for (const { socket } of [bad, good]) socket.destroy()
  }))

test('closing the reactor tells every connection that it is closed', () =>
  withReactor(async (setup) => {
    const { peer } = await setup.open()
    const other = await setup.open()
    setup.reactor.close()
    await setup.until(() => peer.told.includes('closed') && other.peer.told.includes('closed'))
    assert.is(setup.reactor.connectionCount, 0)
    peer.connection.send(Buffer.from('late'))
  }))

test.run()
