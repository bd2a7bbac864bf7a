// Topic ids: who gets one, when it is announced, when it is taken back.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kind, Total } from '../../src/net/wire.ts'
import { DEFAULTS, type InboxRecord, packet, publish, type Rig, TINY, withRig } from './native-rig.ts'

async function admitted(rig: Rig) {
  const client = await rig.client()
  rig.admit(client.opened)
  rig.execute()
  return client
}

for (const [name, sizes] of [
  ['default', DEFAULTS],
  ['tiny', TINY],
] as const) {
  test(
    `a name gets its id at its second sighting, told directly before the packet that shows it (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await admitted(rig)
      socket.write(Buffer.concat([publish('a/b', '1'), publish('a/b', '2'), publish('a/b', '3', 2)]))
      await rig.until(() => rig.of(Kind.Packet).length === 3)
      const [, first, topic, second, third] = rig.records
      assert.equal([first.kind, first.a], [Kind.Packet, 0])
      assert.equal([topic.kind, topic.bytes.toString()], [Kind.Topic, 'a/b'])
      assert.ok(topic.a > 0)
      assert.equal([second.a, third.a], [topic.a, topic.a])
      assert.is(rig.totals[Total.TopicIds], 1)
    }),
  )

  test(
    `before admission, for empty, overlong and broken names and for other packets there is no id (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const stranger = await rig.client()
      const { socket } = await admitted(rig)
      for (let i = 0; i < 3; i++) {
        stranger.socket.write(publish('stranger', ''))
        socket.write(publish('', 'alias'))
        socket.write(publish('x'.repeat(1025), ''))
        socket.write(packet(0x30, Buffer.from([0, 9, 97])))
        socket.write(packet(0x40, Buffer.from([0, 1])))
        socket.write(packet(0x30, ''))
      }
      await rig.until(() => rig.of(Kind.Packet).length === 18)
      assert.ok(rig.of(Kind.Packet).every((record) => record.a === 0))
      assert.is(rig.of(Kind.Topic).length, 0)
    }),
  )

  test(
    `ids are taken back before a turn's first record and never in the turn that uses them again (${name} sizes)`,
    withRig({ ...sizes, options: { ...sizes.options, topicIds: 8 } }, async (rig) => {
      const { socket } = await admitted(rig)
      const names = new Map<number, string>()
      let forgotten = 0
      rig.onTurn = (records: InboxRecord[]) => {
        let other = false
        const gone = new Set<number>()
        for (const record of records) {
          if (record.kind === Kind.Forgotten) {
            assert.not.ok(other, 'forgotten comes first')
            assert.ok(names.delete(record.a))
            gone.add(record.a)
            forgotten++
            continue
          }
          other = true
          if (record.kind === Kind.Topic) {
            assert.not.ok(names.has(record.a))
            assert.not.ok(gone.has(record.a), 'not in the same turn')
            names.set(record.a, record.bytes.toString())
          }
          if (record.kind === Kind.Packet && record.a !== 0) {
            const length = record.bytes.readUInt16BE(0)
            assert.is(names.get(record.a), record.bytes.toString('utf8', 2, 2 + length))
          }
        }
      }
      let sent = 0
      for (let round = 0; round < 60; round++) {
        const part = Array.from({ length: 40 }, (_, i) => publish(`topic/${(round + (i % 5)) % 20}`, ''))
        sent += part.length
        socket.write(Buffer.concat(part))
        await rig.until(() => rig.of(Kind.Packet).length === sent)
      }
      assert.ok(forgotten > 10)
      assert.ok(rig.totals[Total.TopicIds] <= 8)
    }),
  )

  test(
    `a flood of unique names evicts nothing (${name} sizes)`,
    withRig({ ...sizes, options: { ...sizes.options, topicIds: 8 } }, async (rig) => {
      const { socket } = await admitted(rig)
      // Each twice in a row: two names may share a place where first sightings are remembered.
      for (let i = 0; i < 16; i++) socket.write(publish(`hot/${i >> 1}`, ''))
      for (let i = 0; i < 2000; i++) socket.write(publish(`unique/${i}`, ''))
      await rig.until(() => rig.of(Kind.Packet).length === 2016)
      assert.is(rig.of(Kind.Topic).length, 8)
      assert.is(rig.of(Kind.Forgotten).length, 0)
    }),
  )

  test(
    `a kept packet's topic is announced through the inbox too (${name} sizes)`,
    withRig(sizes, async (rig) => {
      const { socket } = await admitted(rig)
      const large = publish('large/topic', Buffer.alloc(2 << 20))
      socket.write(large)
      socket.write(large)
      socket.write(publish('large/topic', ''))
      await rig.until(() => rig.of(Kind.Packet).length === 3)
      const [topic] = rig.of(Kind.Topic)
      assert.is(topic.bytes.toString(), 'large/topic')
      assert.equal(
        rig.of(Kind.Packet).map((record) => record.a),
        [0, topic.a, topic.a],
      )
    }),
  )
}

test.run()
