// What the reactor makes of incoming bytes: packet boundaries, partial packets, budgets, pausing. Every test runs with
// comfortable sizes and with tiny ones.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kind, Total } from '../../src/net/wire.ts'
import { DEFAULTS, packet, publish, receive, TINY, withRig } from './native-rig.ts'

for (const [name, sizes] of [
  ['default', DEFAULTS],
  ['tiny', TINY],
] as const) {
  test(
    `several packets in one segment are told one by one, in order (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      assert.match(opened.bytes.toString(), /^127\.0\.0\.1:\d+$/)
      socket.write(Buffer.concat([packet(0xc0, ''), publish('a', 'b'), packet(0xe0, '')]))
      await rig.until(() => rig.of(Kind.Packet).length === 3)
      assert.equal(
        rig.of(Kind.Packet).map((record) => [record.first, record.bytes.toString('latin1')]),
        [
          [0xc0, ''],
          [0x30, '\x00\x01ab'],
          [0xe0, ''],
        ],
      )
    }),
  )

  test(
    `one packet a byte at a time is told once, whole (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket, opened } = await rig.client()
      socket.setNoDelay(true)
      const bytes = publish('some/topic', 'x'.repeat(200))
      for (let i = 0; i < bytes.length; i++) {
        socket.write(bytes.subarray(i, i + 1))
        while (rig.bytesIn[opened.slot] <= i) await new Promise(setImmediate)
      }
      await rig.until(() => rig.of(Kind.Packet).length === 1)
      assert.equal(rig.of(Kind.Packet)[0].bytes, bytes.subarray(3))
      assert.is(rig.totals[Total.PartialBytes], 0)
      assert.is(rig.totals[Total.Recvs], bytes.length)
    }),
  )

  test(
    `10,000 packets in one write all arrive, in order (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await rig.client()
      socket.write(Buffer.concat(Array.from({ length: 10_000 }, (_, i) => publish('t', String(i)))))
      await rig.until(() => rig.of(Kind.Packet).length === 10_000)
      rig.of(Kind.Packet).forEach((record, i) => {
        assert.is(record.bytes.toString('latin1', 3), String(i))
      })
    }),
  )

  test(
    `what one client publishes another receives (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const from = await rig.client()
      const to = await rig.client()
      rig.onRecord = (record) => {
        if (record.kind === Kind.Packet) rig.forward(record.first, 0, to.opened, record)
      }
      const bytes = Buffer.concat(Array.from({ length: 1000 }, (_, i) => publish('t/1', 'p'.repeat(i % 1500))))
      from.socket.write(bytes)
      assert.equal(await receive(to.socket, bytes.length), bytes)
    }),
  )
}

test.run()
