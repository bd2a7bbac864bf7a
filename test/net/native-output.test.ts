// What leaves: frames to one, to many, from kept blocks; payloads that are referenced instead of copied; what happens
// when a socket takes less than there is.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Command, Kind, Total } from '../../src/net/wire.ts'
import { DEFAULTS, packet, publish, receive, rounds, TINY, withRig } from './native-rig.ts'

const MIB = 1 << 20

/** Payloads around every border: empty, copied, referenced. */
const SIZES = [0, 1, 113, 114, 115, 1000, 1023, 1024, 1025, 1900]

for (const [name, sizes] of [
  ['default', DEFAULTS],
  ['tiny', TINY],
] as const) {
  test(
    `forward rewrites QoS, packet identifier and properties (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const to = await rig.client()
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet) return
        rig.forward(0x30, 0, to.opened, record)
        rig.forward(0x3a, 0xfffe, to.opened, record)
        rig.forward(0x31, 0, to.opened, record, [1, 2, 3])
      }
      const expected: Buffer[] = []
      for (const size of SIZES) {
        const payload = Buffer.alloc(size, 'p')
        expected.push(publish('a/b', payload))
        expected.push(packet(0x3a, Buffer.concat([Buffer.from('\0\x03a/b\xff\xfe', 'latin1'), payload])))
        expected.push(packet(0x31, Buffer.concat([Buffer.from('\0\x03a/b\x01\x02\x03', 'latin1'), payload])))
        from.socket.write(publish('a/b', payload, size % 3))
      }
      const bytes = Buffer.concat(expected)
      assert.equal(await receive(to.socket, bytes.length), bytes)
    }),
  )

  test(
    `multicast reaches the group, except one, and a list gets its packet identifiers (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const members: Awaited<ReturnType<typeof rig.client>>[] = []
      for (let i = 0; i < 20; i++) {
        const member = await rig.client()
        rig.groupPut(7, i, member.opened)
        members.push(member)
      }
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet) return
        rig.multicast(0x30, 7, record, members[3].opened.slot)
        rig.forwardList(
          0x32,
          members.map((member, i) => [member.opened, i + 1]),
          record,
        )
      }
      for (const size of SIZES) from.socket.write(publish('topic', 'p'.repeat(size)))
      await Promise.all(
        members.map(async ({ socket }, i) => {
          const bytes = Buffer.concat(
            SIZES.flatMap((size) => [
              ...(i === 3 ? [] : [publish('topic', 'p'.repeat(size))]),
              publish('topic', 'p'.repeat(size), 1, i + 1),
            ]),
          )
          assert.equal(await receive(socket, bytes.length), bytes)
        }),
      )
      rig.groupSize(7, 1)
      rig.onRecord = (record) => record.kind === Kind.Packet && rig.multicast(0x30, 7, record)
      from.socket.write(publish('again', ''))
      assert.equal(await receive(members[0].socket, 9), publish('again', ''))
      assert.is(members[1].socket.readableLength, 0)
    }),
  )

  test(
    `kept frames outlive their turn and leave when released (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const to = await rig.client()
      rig.groupPut(1, 0, to.opened)
      let handle = 0
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.keep(++handle, record)
      }
      for (const size of SIZES) from.socket.write(publish('kept', 'k'.repeat(size), 1))
      await rig.until(() => handle === SIZES.length)
      const expected: Buffer[] = []
      SIZES.forEach((size, i) => {
        rig.forwardKept(0x32, i + 1, to.opened, i + 1)
        rig.multicastKept(0x31, 1, i + 1)
        rig.release(i + 1)
        expected.push(publish('kept', 'k'.repeat(size), 1, i + 1))
        expected.push(Buffer.concat([Buffer.from([0x31]), publish('kept', 'k'.repeat(size)).subarray(1)]))
      })
      const bytes = Buffer.concat(expected)
      assert.equal(await receive(to.socket, bytes.length), bytes)
      assert.is(rig.totals[Total.KeptFrames], 0)
      assert.is(rig.totals[Total.KeptBytes], 0)
      rig.reactor.keepBytes(5, Buffer.from('\0\x01ahello'), 3)
      const target = new Uint8Array(4)
      assert.is(rig.reactor.readKept(5, 4, target), 4)
      assert.is(Buffer.from(target).toString(), 'ello')
      assert.is(rig.reactor.readKept(5, 100, target), 0)
    }),
  )

  test(
    `a packet larger than the inbox arrives kept, with its real length (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const to = await rig.client()
      rig.admit(from.opened)
      const payload = Buffer.alloc(3 * MIB, 'abcdefg')
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet || record.d === 0) return
        rig.raw(9, record.d, 2 + 'large'.length + 2)
        rig.forwardKept(0x32, 99, to.opened, record.d)
        const head = new Uint8Array(9)
        rig.reactor.readKept(record.d, 0, head)
        assert.is(Buffer.from(head).toString('latin1'), '\0\x05large\0\x01')
        rig.release(record.d)
      }
      from.socket.write(Buffer.concat([packet(0xc0, ''), publish('large', payload, 1), packet(0xe0, '')]))
      const bytes = publish('large', payload, 1, 99)
      assert.equal(await receive(to.socket, bytes.length), bytes)
      assert.equal(
        rig.of(Kind.Packet).map((record) => [record.first, record.c, record.d < 0]),
        [
          [0xc0, 0, false],
          [0x32, payload.length + 9, true],
          [0xe0, 0, false],
        ],
      )
      assert.is(rig.totals[Total.KeptFrames], 0)
      assert.is(rig.totals[Total.PartialBytes], 0)
    }),
  )

  test(
    `10 pairs of 1 MiB: nothing is lost when the inbox is full (${name} sizes)`,
    withRig(sizes, async (rig) => {
      rig.remember = false
      const pairs = []
      for (let i = 0; i < 10; i++) {
        rig.remember = true
        const from = await rig.client()
        const to = await rig.client()
        pairs.push({ from, to })
      }
      rig.remember = false
      const peer = new Map(pairs.map(({ from, to }) => [from.opened.slot, to.opened]))
      rig.onRecord = (record) => {
        const to = peer.get(record.slot)
        if (record.kind === Kind.Packet && to) rig.forward(record.first, 0, to, record)
      }
      await Promise.all(
        pairs.map(async ({ from, to }, i) => {
          const one = publish(`pair/${i}`, Buffer.alloc(i % 2 ? 1500 : 100, String(i)))
          const bytes = Buffer.alloc(Math.ceil(MIB / one.length) * one.length, one)
          from.socket.write(bytes)
          assert.ok((await receive(to.socket, bytes.length)).equals(bytes))
        }),
      )
    }),
  )

  test(
    `10 pairs of 1 MiB packets arrive whole through kept frames (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const pairs = []
      for (let i = 0; i < 10; i++) {
        const from = await rig.client()
        const to = await rig.client()
        rig.admit(from.opened)
        pairs.push({ from, to })
      }
      const peer = new Map(pairs.map(({ from, to }) => [from.opened.slot, to.opened]))
      rig.onRecord = (record) => {
        const to = peer.get(record.slot)
        if (record.kind !== Kind.Packet || !to) return
        rig.forwardKept(0x30, 0, to, record.d)
        rig.release(record.d)
      }
      await Promise.all(
        pairs.map(async ({ from, to }, i) => {
          const bytes = publish(`pair/${i}`, Buffer.alloc(MIB, `payload ${i} `))
          from.socket.write(bytes)
          assert.ok((await receive(to.socket, bytes.length)).equals(bytes))
        }),
      )
      assert.is(rig.totals[Total.KeptFrames], 0)
    }),
  )

  test(
    `a slow receiver's payloads are taken out of the inbox and arrive unharmed (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const slow = [await rig.client(), await rig.client()]
      for (const one of slow) {
        one.socket.pause()
        rig.admit(one.opened)
      }
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) for (const one of slow) rig.forward(record.first, 0, one.opened, record)
      }
      const count = 8000
      const bytes = Buffer.concat(
        Array.from({ length: count }, (_, i) => publish('slow', Buffer.alloc(1900, `message ${i} `))),
      )
      from.socket.write(bytes)
      await rig.until(() => rig.totals[Total.PacketsIn] === count)
      assert.ok(rig.totals[Total.QueuedBytes] > 0, 'something had to wait')
      assert.is(rig.queued[slow[0].opened.slot] + rig.queued[slow[1].opened.slot], rig.totals[Total.QueuedBytes])
      for (const one of slow) assert.ok((await receive(one.socket, bytes.length)).equals(bytes))
      assert.is(rig.totals[Total.QueuedBytes], 0)
    }),
  )

  test(
    `what waits for 20 receivers is kept once, not 20 times (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const deaf = []
      for (let i = 0; i < 20; i++) {
        const one = await rig.client()
        one.socket.pause()
        rig.admit(one.opened)
        rig.groupPut(0, i, one.opened)
        deaf.push(one)
      }
      rig.groupSize(0, 20)
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet) return
        if (record.d === 0) return rig.multicast(record.first, 0, record)
        rig.raw(Command.Shape, record.d, 2 + 'once'.length)
        rig.multicastKept(record.first, 0, record.d)
        rig.release(record.d)
      }
      rig.admit(from.opened)
      const [count, size] = [name === 'tiny' ? 32 : 64, 256 << 10]
      const bytes = Buffer.concat(Array.from({ length: count }, (_, i) => publish('once', Buffer.alloc(size, `${i} `))))
      const before = process.memoryUsage().rss
      from.socket.write(bytes)
      await rig.until(() => rig.totals[Total.PacketsIn] === count)
      await rounds()
      const growth = process.memoryUsage().rss - before
      const waiting = rig.totals[Total.QueuedBytes]
      assert.ok(waiting > 10 * bytes.length, `only ${waiting} bytes wait`)
      assert.ok(growth < 4 * bytes.length, `${growth} bytes of memory for ${waiting} that wait`)
      assert.ok((await receive(deaf[7].socket, bytes.length)).equals(bytes))
    }),
  )

  test(
    `trimming memory is allowed at any time and costs nobody a byte (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const slow = await rig.client()
      slow.socket.pause()
      rig.admit(slow.opened)
      rig.onRecord = (record) => {
        if (record.kind !== Kind.Packet) return
        rig.forward(record.first, 0, slow.opened, record)
        if (rig.totals[Total.PacketsIn] % 100 === 0) rig.reactor.trim()
      }
      const count = 4000
      const bytes = Buffer.concat(
        Array.from({ length: count }, (_, i) => publish('slow', Buffer.alloc(1900, `message ${i} `))),
      )
      from.socket.write(bytes)
      await rig.until(() => rig.totals[Total.PacketsIn] === count)
      rig.reactor.trim()
      assert.ok((await receive(slow.socket, bytes.length)).equals(bytes))
      rig.reactor.trim()
      rig.reactor.close()
      rig.reactor.trim()
    }),
  )
}

test.run()
