import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decode, nextFrame, utf8Problem } from '../../conformance/decode.ts'
import { describe, prop, props } from '../../conformance/packet.ts'
import type { Version } from '../../conformance/protocol.ts'
import * as wire from '../../conformance/wire.ts'
import { hex } from '../../conformance/wire.ts'

function read(bytes: Buffer, version: Version) {
  const frame = nextFrame(bytes)
  if (frame === undefined) throw new Error('incomplete')
  return decode(frame, version, 0)
}

/** Bytes from a server, the version, what is wrong with them; an empty list where nothing is. */
const WRONG: [what: string, bytes: string, version: Version, problems: RegExp[]][] = [
  ['CONNACK 3.1.1', '20 02 01 00', 4, []],
  ['CONNACK 5.0', '20 03 00 00 00', 5, []],
  ['CONNACK 5.0 without Property Length', '20 02 00 00', 5, [/ends before/]],
  ['a 3.1.1 refusal to a 5.0 client', '20 02 00 01', 5, []],
  ['a 5.0 refusal to a client of unknown level', '20 03 00 84 00', 4, []],
  ['CONNACK with reserved flags', '20 02 02 00', 4, [/Connect Acknowledge Flags/]],
  ['PUBACK with flags', '41 02 00 01', 4, [/flags are 1/]],
  ['PUBREL with flags 0', '60 02 00 01', 4, [/flags are 0/]],
  ['PINGRESP with a body', 'd0 01 00', 4, [/left over/]],
  ['PUBLISH with U+0000 in its topic', '30 05 00 03 61 00 62', 4, [/U\+0000/]],
  ['PUBLISH with a surrogate in its topic', '30 05 00 03 ed a0 80', 4, [/ill-formed/]],
  ['PUBLISH cut short', '30 02 00 05', 4, [/ends before/]],
  ['a padded Remaining Length', 'd0 80 00', 4, [/longer than it needs/]],
  ['a padded Property Length', '20 04 00 00 80 00', 5, [/longer than it needs/]],
  ['Receive Maximum twice', '20 09 00 00 06 21 00 01 21 00 02', 5, [/more than once/]],
  ['Topic Alias in CONNACK', '20 06 00 00 03 23 00 01', 5, [/no place in CONNACK/]],
  ['a property that does not exist', '20 05 00 00 02 7f 00', 5, [/does not exist/]],
  ['DISCONNECT without a code', 'e0 00', 5, []],
  ['PUBACK without a code', '40 02 00 01', 5, []],
  ['PUBACK with a code', '40 03 00 01 10', 5, []],
  ['SUBACK', '90 04 00 01 00 02', 5, []],
  ['packet type 0', '00 00', 4, [/reserved/]],
]

for (const [what, bytes, version, problems] of WRONG) {
  test(`${what}: ${problems.length === 0 ? 'nothing is wrong' : 'the fault is named'}`, () => {
    const found = read(hex(bytes), version).problems
    assert.is(found.length, problems.length, found.join('; '))
    problems.forEach((pattern, index) => {
      assert.match(found[index] ?? '', pattern)
    })
  })
}

test('a frame is split at its Remaining Length, and not before it is complete', () => {
  const bytes = hex('d0 00 30 03 00 01 61')
  assert.is(nextFrame(bytes)?.bytes.length, 2)
  assert.is(nextFrame(bytes.subarray(2, 6)), undefined)
  assert.is(nextFrame(bytes.subarray(2))?.bytes.length, 5)
  assert.match(nextFrame(hex('30 ff ff ff ff 01'))?.problem ?? '', /more than four bytes/)
})

test('what the builder writes, the decoder reads: PUBLISH of any content, both versions', () => {
  const text = fc
    .string({ unit: 'grapheme', maxLength: 50 })
    .filter((s) => utf8Problem(Buffer.from(s)) === undefined && !s.includes('\0'))
  fc.assert(
    fc.property(
      text,
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(0, 1, 2),
      fc.boolean(),
      fc.array(fc.tuple(text, text)),
      (topic, payload, qos, retain, pairs) => {
        for (const version of [4, 5] as const) {
          const properties = version === 5 ? pairs.map((one) => wire.property('userProperty', one)) : []
          const bytes = wire.publish(version, {
            topic,
            payload,
            qos: qos as 0 | 1 | 2,
            retain,
            packetId: 7,
            properties,
          })
          const packet = read(bytes, version)
          assert.equal(packet.problems, [])
          assert.equal([packet.topic, packet.qos, packet.retain], [topic, qos, retain])
          assert.equal(packet.payload, Buffer.from(payload))
          if (version === 5) assert.equal(props(packet, 'userProperty'), pairs)
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('no bytes make the decoder throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 2, maxLength: 60 }), fc.constantFrom(4, 5), (bytes, version) => {
      const frame = nextFrame(Buffer.from(bytes))
      if (frame !== undefined) describe(decode(frame, version as Version, 0))
    }),
    { numRuns: 2000 },
  )
})

test('a packet is described in words', () => {
  const connack = read(hex('20 06 01 00 03 21 00 14'), 5)
  assert.is(describe(connack), 'CONNACK session present 1 0x00 (Success) {receiveMaximum=20}')
  assert.is(prop(connack, 'receiveMaximum'), 20)
  assert.is(
    describe(read(hex('3d 08 00 01 61 00 05 68 69 21'), 4)),
    'PUBLISH QoS 2 DUP RETAIN id 5 topic "a" payload "hi!"',
  )
})

test.run()
