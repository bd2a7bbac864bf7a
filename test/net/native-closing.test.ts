// The four close states, in both directions, and what the network does to them.
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CloseReason, Kind, Total } from '../../src/net/wire.ts'
import {
  DEFAULTS,
  type InboxRecord,
  packet,
  poll,
  publish,
  type Rig,
  receive,
  receiveAll,
  rounds,
  TINY,
  withRig,
} from './native-rig.ts'

const MIB = 1 << 20

/** More than the kernel takes for a peer that does not read. */
const block = async (rig: Rig, socket: Socket, opened: InboxRecord): Promise<void> => {
  socket.pause()
  rig.send(opened, Buffer.alloc(16 * MIB))
  await rounds()
  assert.ok(rig.queued[opened.slot] > MIB)
}
const endOf = async (rig: Rig, socket: Socket): Promise<void> => {
  socket.end()
  await rig.until(() => rig.of(Kind.Ended).length === 1)
}

/** Where in its life a connection is when the reset comes, how it gets there, and what it is then closed for. */
const MOMENTS: [string, (rig: Rig, socket: Socket, opened: InboxRecord) => Promise<void>, number][] = [
  ['of an idle connection', async () => {}, CloseReason.SocketError],
  [
    'in the middle of a large packet',
    async (rig, socket) => {
      socket.write(publish('a', Buffer.alloc(MIB >> 2)).subarray(0, 100_000))
      await poll(() => rig.totals[Total.PartialBytes] > 0)
    },
    CloseReason.SocketError,
  ],
  ['while output waits', block, CloseReason.SocketError],
  [
    'while output waits and nothing is read',
    async (rig, socket, opened) => {
      rig.pause(opened)
      await block(rig, socket, opened)
    },
    CloseReason.SocketError,
  ],
  [
    'after the peer’s FIN, while output waits',
    async (rig, socket, opened) => {
      await block(rig, socket, opened)
      await endOf(rig, socket)
    },
    CloseReason.SocketError,
  ],
  [
    'after finish, while output waits',
    async (rig, socket, opened) => {
      await block(rig, socket, opened)
      rig.finish(opened)
      await rounds()
    },
    CloseReason.PeerVanished,
  ],
  [
    'after the peer’s FIN and finish, while output waits',
    async (rig, socket, opened) => {
      await block(rig, socket, opened)
      await endOf(rig, socket)
      rig.finish(opened)
      await rounds()
    },
    CloseReason.PeerVanished,
  ],
  [
    'after our FIN, before the peer’s',
    async (rig, socket, opened) => {
      rig.finish(opened)
      await once(socket.resume(), 'end')
    },
    CloseReason.PeerVanished,
  ],
]

for (const [name, sizes] of [
  ['default', DEFAULTS],
  ['tiny', TINY],
] as const) {
  test(
    `a PUBLISH followed by FIN is told before the end, and its answer is sent (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.sendShort(record, [0x40, 2, 0, 7])
        if (record.kind === Kind.Ended) rig.finish(record)
      }
      socket.end(publish('a', 'b', 1, 7))
      assert.equal(await receiveAll(socket), Buffer.from([0x40, 2, 0, 7]))
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.equal(
        rig.records.map((record) => record.kind),
        [Kind.Opened, Kind.Packet, Kind.Ended, Kind.Closed],
      )
      assert.is(rig.of(Kind.Closed, opened.slot)[0].a, CloseReason.Finished)
    }),
  )

  test(
    `in peer-ended, 4 MiB are still written before the FIN (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      socket.end()
      await rig.until(() => rig.of(Kind.Ended).length === 1)
      rig.send(opened, Buffer.alloc(4 * MIB, 'x'))
      rig.finish(opened)
      assert.is((await receiveAll(socket)).length, 4 * MIB)
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.is(rig.of(Kind.Closed)[0].a, CloseReason.Finished)
    }),
  )

  test(
    `finish writes what is queued although unread bytes wait, then waits for the peer's FIN (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      rig.pause(opened)
      await new Promise((written) => socket.write(Buffer.alloc(50_000, publish('a', 'b')), written))
      rig.send(opened, Buffer.from([0x20, 2, 0, 5]))
      rig.finish(opened)
      assert.equal(await receiveAll(socket), Buffer.from([0x20, 2, 0, 5]))
      assert.is(rig.of(Kind.Closed).length, 0, 'we wait for the peer')
      socket.end()
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.is(rig.of(Kind.Closed)[0].a, CloseReason.Finished)
      assert.is(rig.of(Kind.Packet).length, 0, 'what came after finish is discarded')
    }),
  )

  test(
    `a reset while reading closes with its errno (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await rig.client()
      socket.resetAndDestroy()
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.equal([rig.of(Kind.Closed)[0].a, rig.of(Kind.Closed)[0].b], [CloseReason.SocketError, 104])
    }),
  )

  test(
    `a reset closes a paused connection too (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      rig.pause(opened)
      await rounds()
      socket.resetAndDestroy()
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.is(rig.of(Kind.Closed)[0].a, CloseReason.SocketError)
    }),
  )

  for (const [state, arrive, reason] of MOMENTS) {
    test(
      `a reset ${state} closes the connection, once, and costs no turn afterwards (${name} sizes)`,
      withRig(sizes, async (rig) => {
        const { socket, opened } = await rig.client()
        const bystander = await rig.client()
        await arrive(rig, socket, opened)
        assert.is(rig.of(Kind.Closed).length, 0)
        // After its FIN only unread bytes make the kernel send a reset.
        if (socket.writableEnded) socket.destroy()
        else socket.resetAndDestroy()
        await rig.until(() => rig.of(Kind.Closed).length > 0)
        const turns = rig.totals[Total.Turns]
        await rounds(10)
        assert.ok(rig.totals[Total.Turns] <= turns + 1, 'the reactor spins')
        assert.equal(
          rig.of(Kind.Closed).map(({ slot, a }) => [slot, a]),
          [[opened.slot, reason]],
        )
        rig.send(bystander.opened, 'still here')
        assert.is((await receive(bystander.socket, 10)).toString(), 'still here')
      }),
    )
  }

  test(
    `packets that were sent before a reset of our answers are all told (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await rig.client()
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.sendShort(record, [0x40, 2, 0, 1])
      }
      // The client is gone by the time the first answer leaves: the answers are reset, the packets are there.
      socket.write(Buffer.concat(Array.from({ length: 2000 }, () => publish('a', 'b', 1))), () => socket.destroy())
      await rig.until(() => rig.of(Kind.Closed).length === 1 || rig.of(Kind.Ended).length === 1)
      assert.is(rig.of(Kind.Packet).length, 2000)
    }),
  )

  test(
    `close now: the slot is told closed once, and stale commands reach nobody (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      rig.closeNow(opened)
      rig.send(opened, 'x')
      rig.finish(opened)
      await Promise.all([once(socket.resume(), 'end'), rig.until(() => rig.of(Kind.Closed).length === 1)])
      const next = await rig.client()
      assert.is(next.opened.slot, opened.slot)
      assert.is.not(next.opened.generation, opened.generation)
      rig.send(opened, 'stale')
      rig.closeNow(opened)
      rig.send(next.opened, 'x')
      assert.is((await once(next.socket, 'data'))[0].toString(), 'x')
      assert.is(rig.of(Kind.Closed).length, 1)
    }),
  )

  test(
    `reactor.close() tells closed for each connection, once (${name} sizes)`,
    withRig(sizes, async (rig) => {
      for (let i = 0; i < 100; i++) await rig.client()
      rig.reactor.close()
      rig.reactor.close()
      const closed = rig.of(Kind.Closed)
      assert.is(closed.length, 100)
      assert.ok(closed.every((record) => record.a === CloseReason.ReactorClosed))
      assert.is(new Set(closed.map((record) => record.slot)).size, 100)
      assert.is(rig.totals[Total.Connections], 0)
    }),
  )

  test(
    `close() called inside a turn closes at its end (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet) return
        rig.send(opened, 'goodbye')
        rig.reactor.close()
        assert.is(rig.of(Kind.Closed).length, 0)
      }
      socket.write(packet(0xc0, ''))
      assert.is((await receiveAll(socket)).toString(), 'goodbye')
      assert.is(rig.of(Kind.Closed).length, 1)
    }),
  )
}

test(
  '2,000 connections that come and go leave no descriptor behind, and use few slots',
  withRig({}, async (rig) => {
    const port = rig.listen()
    const descriptors = (): number => readdirSync('/proc/self/fd').length
    const visit = async (i: number): Promise<void> => {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      rig.clients[i % 20] = socket
      socket.write(publish('a', 'b'))
      if (i % 3 === 0) socket.resetAndDestroy()
      else socket.resume().end()
      await once(socket, 'close')
    }
    rig.onRecord = (record) => {
      if (record.kind === Kind.Ended) rig.finish(record)
    }
    const before = descriptors()
    for (let i = 0; i < 2000; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => visit(i + k)))
    await poll(() => rig.totals[Total.Connections] === 0 && rig.totals[Total.Accepted] === rig.of(Kind.Closed).length)
    assert.is(descriptors(), before)
    assert.ok(Math.max(...rig.of(Kind.Opened).map((record) => record.slot)) < 100)
    const ids = rig.of(Kind.Closed).map((record) => `${record.slot}/${record.generation}`)
    assert.is(new Set(ids).size, ids.length)
  }),
)

test.run()
