// Nothing is unbounded: packet sizes, partial packets, output, slots, descriptors. And what the reactor says when a
// limit is reached.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CloseReason, Kind, Total } from '../../src/net/wire.ts'
import { DEFAULTS, packet, poll, publish, Rig, type RigOptions, receive, rounds, TINY, withRig } from './native-rig.ts'

const MIB = 1 << 20

/** Event masks the kernel holds for a TCP socket in this process's epoll sets, by descriptor, as /proc tells them. */
function epollMasks(): number[] {
  return readdirSync('/proc/self/fd')
    .filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).includes('eventpoll')
      } catch {
        return false // the descriptor of the listing itself
      }
    })
    .flatMap((fd) => {
      const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
      return [...text.matchAll(/events:\s+([0-9a-f]+)\s+data:\s+([0-9a-f]+)/g)]
        .filter((match) => match[2].length > 8 && !match[2].startsWith('ffffffff'))
        .map((match) => Number.parseInt(match[1], 16))
    })
}

const EPOLLIN = 1
const EPOLLOUT = 4

for (const [name, sizes] of [
  ['default', DEFAULTS],
  ['tiny', TINY],
] as const) {
  const withOptions = (options: RigOptions['options']): RigOptions => ({
    ...sizes,
    options: { ...sizes.options, ...options },
  })

  test(
    `an oversized packet is refused by its announced length, before it is buffered (${name} sizes)`,
    withRig(withOptions({ unadmittedPacketLimit: 1000 }), async (rig) => {
      const { socket, opened } = await rig.client()
      socket.write(Buffer.concat([publish('a', 'b'), publish('a', 'x'.repeat(5000)).subarray(0, 40)]))
      await rig.until(() => rig.of(Kind.Oversized).length === 1)
      const [oversized] = rig.of(Kind.Oversized, opened.slot)
      assert.equal([oversized.first, oversized.b, oversized.c], [0x30, 5006, 1000])
      assert.is(rig.of(Kind.Packet).length, 1)
      assert.is(rig.totals[Total.PartialBytes], 0)
      rig.send(opened, 'bye')
      rig.finish(opened)
      assert.is((await receive(socket, 3)).toString(), 'bye')
      socket.end()
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.is(rig.of(Kind.Closed)[0].a, CloseReason.Finished)
    }),
  )

  test(
    `a packet behind CONNECT is judged by the limit of its admission, not before (${name} sizes)`,
    withRig(withOptions({ unadmittedPacketLimit: 100 }), async (rig) => {
      const { socket, opened } = await rig.client()
      rig.onRecord = (record) => {
        if (record.first === 0x10) rig.admit(opened, 2000)
      }
      socket.write(
        Buffer.concat([packet(0x10, 'connect'), publish('a', 'x'.repeat(1000)), publish('a', 'x'.repeat(3000))]),
      )
      await rig.until(() => rig.of(Kind.Oversized).length === 1)
      assert.is(rig.of(Kind.Packet).length, 2)
      assert.is(rig.of(Kind.Oversized)[0].c, 2000)
    }),
  )

  test(
    `a Remaining Length of five bytes is malformed (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await rig.client()
      socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]))
      await rig.until(() => rig.of(Kind.Malformed).length === 1)
      assert.is(rig.of(Kind.Malformed)[0].first, 0x30)
    }),
  )

  test(
    `who spends the last of the partial budget before CONNECT is closed (${name} sizes)`,
    withRig(withOptions({ partialBudget: 100_000 }), async (rig) => {
      const clients = []
      for (let i = 0; i < 5; i++) {
        const client = await rig.client()
        client.socket.write(publish('a', 'x'.repeat(400_000)).subarray(0, 30_000))
        clients.push(client)
      }
      await rig.until(() => rig.of(Kind.Closed).length === 2)
      assert.ok(rig.of(Kind.Closed).every((record) => record.a === CloseReason.SocketError && record.b === 105))
      assert.ok(rig.totals[Total.PartialBytes] <= 100_000)
    }),
  )

  test(
    `admission gives the partial budget back (${name} sizes)`,
    withRig(withOptions({ partialBudget: 100_000 }), async (rig) => {
      for (let i = 0; i < 5; i++) {
        const { socket, opened } = await rig.client()
        rig.admit(opened)
        socket.write(publish('a', 'x'.repeat(400_000)).subarray(0, 30_000))
      }
      await poll(() => rig.totals[Total.PartialBytes] >= 5 * 29_000)
      assert.is(rig.of(Kind.Closed).length, 0)
    }),
  )

  test(
    `EPOLLOUT is armed only while bytes wait, and drained is told once (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      socket.pause()
      assert.equal(
        epollMasks().map((mask) => mask & (EPOLLIN | EPOLLOUT)),
        [EPOLLIN],
      )
      rig.send(opened, Buffer.alloc(16 * MIB, 'x'))
      await rounds()
      assert.ok(rig.queued[opened.slot] > MIB)
      assert.equal(
        epollMasks().map((mask) => mask & (EPOLLIN | EPOLLOUT)),
        [EPOLLIN | EPOLLOUT],
      )
      const sends = rig.totals[Total.Sends]
      await rounds(10)
      assert.is(rig.totals[Total.Sends], sends, 'a blocked socket is left alone')
      await receive(socket, 16 * MIB)
      await rig.until(() => rig.of(Kind.Drained).length > 0)
      await rounds(10)
      assert.is(rig.of(Kind.Drained).length, 1)
      assert.is(rig.queued[opened.slot], 0)
      assert.equal(
        epollMasks().map((mask) => mask & (EPOLLIN | EPOLLOUT)),
        [EPOLLIN],
      )
    }),
  )

  test(
    `QoS 0 over the output limit is left out whole and counted; QoS 1 is not (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const to = await rig.client()
      to.socket.pause()
      rig.admit(to.opened, 0, 0, 100_000)
      rig.reactor.keepBytes(1, Buffer.concat([Buffer.from('\0\x01t'), Buffer.alloc(MIB, 'x')]), 3)
      for (let i = 0; i < 12; i++) rig.forwardKept(0x32, i + 1, to.opened, 1) // blocks the socket
      await rounds()
      const waiting = rig.queued[to.opened.slot]
      assert.ok(waiting > 100_000)
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.forward(record.first, 0, to.opened, record)
      }
      from.socket.write(Buffer.alloc(100 * 10, publish('t', 'left')).subarray(0, 9 * 100))
      await rig.until(() => rig.totals[Total.FramesLeftOut] === 100)
      assert.is(rig.queued[to.opened.slot], waiting)
      assert.is(rig.leftOut[to.opened.slot], 100)
      const counted = () => rig.of(Kind.Overflowed, to.opened.slot).reduce((sum, record) => sum + record.a, 0)
      await rig.until(() => counted() === 100)
      const received = await receive(to.socket, 12 * (MIB + 3 + 2 + 4))
      assert.is(received.length, 12 * (MIB + 9), 'whole frames only')
    }),
  )

  test(
    `a QoS 0 PUBLISH that alone is over the output limit is sent to whom nothing waits for (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const to = await rig.client()
      rig.admit(to.opened, 0, 0, 100_000)
      rig.reactor.keepBytes(1, Buffer.concat([Buffer.from('\0\x01t'), Buffer.alloc(MIB, 'x')]), 3)
      for (let n = 0; n < 3; n++) {
        rig.forwardKept(0x30, 0, to.opened, 1)
        const received = await receive(to.socket, MIB + 3 + 4)
        assert.is(received.length, MIB + 7)
      }
      to.socket.pause()
      for (let i = 0; i < 12; i++) rig.forwardKept(0x32, i + 1, to.opened, 1) // blocks the socket
      await rounds()
      rig.forwardKept(0x30, 0, to.opened, 1)
      await rig.until(() => rig.of(Kind.Overflowed).length === 1)
    }),
  )

  test(
    `a PUBLISH over the receiver's Maximum Packet Size is left out, whatever its QoS (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const to = await rig.client()
      rig.admit(to.opened, 0, 20)
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.forward(record.first, 5, to.opened, record)
      }
      from.socket.write(
        Buffer.concat([publish('t', 'x'.repeat(16), 1), publish('t', 'x'.repeat(15)), publish('t', 'x', 1)]),
      )
      assert.equal(await receive(to.socket, 28), Buffer.concat([publish('t', 'x'.repeat(15)), publish('t', 'x', 1, 5)]))
      await rig.until(() => rig.of(Kind.Overflowed).length === 1)
      const [{ a: overLimit, b: tooLarge }] = rig.of(Kind.Overflowed)
      assert.equal([overLimit, tooLarge], [0, 1])
    }),
  )

  test(
    `what a paused connection sends waits, and comes after resume (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      let paused = 0
      rig.onTurn = (records) => {
        if (paused === 0 && records.some((record) => record.kind === Kind.Packet)) {
          paused = rig.of(Kind.Packet).length
          rig.pause(opened)
        }
      }
      socket.write(Buffer.concat(Array.from({ length: 1000 }, (_, i) => publish('t', String(i)))))
      await rig.until(() => paused > 0)
      await rounds(10)
      assert.is(rig.of(Kind.Packet).length, paused)
      rig.resume(opened)
      await rig.until(() => rig.of(Kind.Packet).length === 1000)
      rig.of(Kind.Packet).forEach((record, i) => {
        assert.is(record.bytes.toString('latin1', 3), String(i))
      })
    }),
  )

  test(
    `without a free slot connections are turned away and counted (${name} sizes)`,
    withRig(withOptions({ maxConnections: 3 }), async (rig) => {
      for (let i = 0; i < 3; i++) await rig.client()
      const port = rig.reactor.port(rig.listener)
      for (let i = 0; i < 5; i++) {
        const socket = connect(port, '127.0.0.1').on('error', () => {})
        rig.clients.push(socket)
        await once(socket, 'close')
      }
      await rig.until(() => rig.of(Kind.Refused).reduce((sum, record) => sum + record.b, 0) === 5)
      rig.closeNow(rig.of(Kind.Opened)[1])
      await rig.until(() => rig.of(Kind.Closed).length === 1)
      assert.is((await rig.client()).opened.slot, rig.of(Kind.Opened)[1].slot)
    }),
  )

  test(
    `two clients that publish to each other without reading do not block each other for ever (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const a = await rig.client()
      const b = await rig.client()
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet) return
        rig.forward(record.first, 0, record.slot === a.opened.slot ? b.opened : a.opened, record)
      }
      const one = publish('each/other', 'x'.repeat(1400))
      const bytes = Buffer.alloc(one.length * 6000, one)
      a.socket.pause().write(bytes)
      b.socket.pause().write(bytes)
      await rig.until(() => rig.totals[Total.PacketsIn] === 12_000)
      for (const { socket } of [a, b]) assert.ok((await receive(socket, bytes.length)).equals(bytes))
    }),
  )
}

/** The body of the child process: 200 connections against 64 descriptors. */
async function runOutOfDescriptors(): Promise<void> {
  const rig = new Rig()
  const port = rig.listen()
  // Both ends live in this process: one client after the other, until there is no descriptor for its other end.
  while (rig.of(Kind.AcceptPaused).length === 0) {
    rig.clients.push(connect(port, '127.0.0.1').on('error', () => {}))
    await rounds(4)
  }
  const [paused] = rig.of(Kind.AcceptPaused)
  const turns = rig.totals[Total.Turns]
  await rounds(50)
  const spun = rig.totals[Total.Turns] - turns
  const before = rig.of(Kind.Opened).length
  for (const record of rig.of(Kind.Opened)) rig.closeNow(record)
  await rig.until(() => rig.of(Kind.Closed).length === before)
  rig.raw(18, paused.a)
  await rig.until(() => rig.of(Kind.Opened).length > before)
  rig.close()
  console.log(JSON.stringify({ errno: paused.b, pauses: rig.of(Kind.AcceptPaused).length, spun }))
}

test('out of descriptors: one record, no spin, and on again when they come back', () => {
  const file = fileURLToPath(import.meta.url)
  const child = spawnSync('sh', ['-c', `ulimit -n 64; exec "${process.execPath}" "${file}" descriptors`], {
    encoding: 'utf8',
  })
  assert.is(child.status, 0, child.stderr)
  const { errno, spun } = JSON.parse(child.stdout)
  assert.is(errno, 24)
  assert.is(spun, 0)
})

if (process.argv[2] === 'descriptors') {
  await runOutOfDescriptors()
} else {
  test.run()
}
