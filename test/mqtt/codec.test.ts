// What the fixture table cannot show: random packets out and in again, packets cut anywhere, who owns the memory of
// what was read, and the limits that are ours.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AcknowledgementType,
  AcknowledgementView,
  readAcknowledgement,
  readPacketId,
  writeAcknowledgement,
} from '../../src/mqtt/acknowledgement.ts'
import { readConnect, UnacceptableProtocolVersion } from '../../src/mqtt/connect.ts'
import { MqttError } from '../../src/mqtt/mqtt-error.ts'
import { PacketType } from '../../src/mqtt/packet-type.ts'
import { PINGRESP_WORD, writePingresp } from '../../src/mqtt/ping.ts'
import type { ProtocolVersion } from '../../src/mqtt/protocol-version.ts'
import { PublishView, publishSize, readPublish, writePublish } from '../../src/mqtt/publish.ts'
import { ReasonCode } from '../../src/mqtt/reason-code.ts'
import { readSubscribe } from '../../src/mqtt/subscribe.ts'
import { readUnsubscribe } from '../../src/mqtt/unsubscribe.ts'
import { decode } from './decode.ts'
import { fromClients } from './fixtures/index.ts'
import { bytesOf } from './fixtures/notation.ts'

const version = fc.constantFrom<ProtocolVersion>(3, 4, 5)
const text = fc.string({ unit: 'binary', maxLength: 20 }).map((string) => string.replaceAll('\0', ''))
const packetId = fc.integer({ min: 1, max: 65535 })

test('a PUBLISH comes back as it went', () => {
  const packet = fc.record({
    topic: text.map((string) => `t${string.replace(/[+#]/g, '')}`),
    payload: fc.uint8Array({ maxLength: 300 }),
    qos: fc.nat(2),
    retain: fc.boolean(),
    dup: fc.boolean(),
    packetId,
    userProperties: fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 4 }),
  })
  fc.assert(
    fc.property(packet, version, ({ userProperties, ...given }, v) => {
      const said = { ...given, dup: given.dup && given.qos > 0, properties: { userProperties } }
      const bytes = new Uint8Array(publishSize(said, v))
      assert.is(writePublish(bytes, 0, said, v), bytes.length)
      assert.equal(decode(bytes, v), {
        ...said,
        packetId: said.qos > 0 ? said.packetId : 0,
        payload: Buffer.from(said.payload).toString('hex'),
        properties: v === 5 ? said.properties : {},
      })
    }),
    { numRuns: 1000 },
  )
})

test('an acknowledgement comes back as it went', () => {
  const type = fc.constantFrom<AcknowledgementType>(4, 5, 6, 7)
  fc.assert(
    fc.property(type, packetId, fc.boolean(), fc.option(text, { nil: undefined }), version, (t, id, failed, why, v) => {
      const released = t === PacketType.Pubrel || t === PacketType.Pubcomp
      const reasonCode = failed ? (released ? ReasonCode.PacketIdentifierNotFound : ReasonCode.QuotaExceeded) : 0
      const properties = why === undefined ? undefined : { reasonString: why }
      const bytes = new Uint8Array(300)
      const end = writeAcknowledgement(bytes, 0, t, id, reasonCode, properties, v)
      const expected = {
        packetId: id,
        reasonCode: v === 5 ? reasonCode : 0,
        properties: v === 5 ? (properties ?? {}) : {},
      }
      assert.equal(decode(bytes.subarray(0, end), v), expected)
    }),
    { numRuns: 1000 },
  )
})

test('a packet cut anywhere is refused, or says less; it never says something else about what is there', () => {
  for (const { wire, versions, packet } of fromClients) {
    if (packet === undefined) continue
    const bytes = bytesOf(wire)
    const head = bytes.findIndex((byte, i) => i > 0 && byte < 0x80) + 1
    if (bytes.length - head > 127) continue
    const v = versions[versions.length - 1]
    for (let length = 0; length < bytes.length - head; length++) {
      const cut = Uint8Array.from([bytes[0], length, ...bytes.subarray(head, head + length)])
      const said = saidOrRefused(cut, v)
      if (said === undefined) continue
      for (const field of ['packetId', 'topic', 'clientId', 'protocolVersion'] as const) {
        if (field in packet) assert.equal(said[field], packet[field], `${wire} cut to ${length}`)
      }
    }
  }
})

function saidOrRefused(bytes: Uint8Array, v: ProtocolVersion): Record<string, unknown> | undefined {
  try {
    return decode(bytes, v)
  } catch (error) {
    if (error instanceof MqttError) return undefined
    throw error
  }
}

test('a view that is used again keeps nothing of the packet before', () => {
  const view = new PublishView()
  const first = bytesOf('"a/b" 0001 (23 0007 02 00000009 01 01) 6869')
  readPublish(view, 0x3b, first, 0, first.length, 5)
  assert.is(view.topicAlias, 7)
  for (const [second, v] of [[bytesOf('"c" 7a'), 4] as const, [bytesOf('"c" () 7a'), 5] as const]) {
    readPublish(view, 0x30, second, 0, second.length, v)
    const { propertiesOffset, payloadOffset, ...rest } = view
    assert.is(propertiesOffset, payloadOffset)
    assert.equal(rest, {
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
      topicOffset: 2,
      topicLength: 1,
      propertiesLength: 0,
      payloadLength: 1,
      topicAlias: 0,
      messageExpiryInterval: -1,
      payloadFormatIndicator: 0,
    })
  }
  const acknowledged = new AcknowledgementView()
  const long = bytesOf('0001 80 (1f "why")')
  readAcknowledgement(acknowledged, PacketType.Puback, 0x40, long, 0, long.length, 5)
  readAcknowledgement(acknowledged, PacketType.Puback, 0x40, Uint8Array.of(0, 2), 0, 2, 5)
  assert.equal({ ...acknowledged }, { packetId: 2, reasonCode: 0, propertiesOffset: 2, propertiesLength: 0 })
})

test('a CONNECT owns its memory: the bytes it was read from may change, and keep no part of it alive', () => {
  const body = Buffer.from(bytesOf('"MQTT" 05 c6 003c (15 "M" 16 <0102>) "c1" (09 <03>) "w" <78> "u" <70>'))
  const packet = readConnect(0x10, body)
  body.fill(0xa5)
  assert.is(packet.clientId, 'c1')
  assert.equal([...(packet.password ?? [])], [0x70])
  assert.equal([...(packet.will?.payload ?? [])], [0x78])
  assert.is(packet.will?.payload.buffer.byteLength, 1)
  assert.equal([...(packet.will?.properties.correlationData ?? [])], [3])
  assert.equal([...(packet.properties.authenticationData ?? [])], [1, 2])
})

test('[MQTT-3.1.2-2] a protocol level we do not speak is told apart from what is malformed', () => {
  const wires = [
    '"MQTT" 06 02 003c () "c1"',
    '"MQTT" 85 02 003c () "c1"',
    '"MQTT" 03 02 003c "c1"',
    '"MQIsdp" 04 02 003c "c1"',
    '"MQTT" 00',
  ]
  for (const wire of wires) {
    try {
      readConnect(0x10, bytesOf(wire))
      assert.unreachable(wire)
    } catch (error) {
      assert.instance(error, UnacceptableProtocolVersion)
      assert.instance(error, MqttError)
      assert.is((error as MqttError).reasonCode, ReasonCode.UnsupportedProtocolVersion)
    }
  }
})

test('a SUBSCRIBE or UNSUBSCRIBE of more filters than allowed is refused, one of as many is not', () => {
  const three = bytesOf('0001 "a" 00 "b" 00 "c" 00')
  assert.is(readSubscribe(0x82, three, 4, 3).subscriptions.length, 3)
  assert.throws(() => readSubscribe(0x82, three, 4, 2), isQuotaExceeded)
  const named = bytesOf('0001 "a" "b" "c"')
  assert.is(readUnsubscribe(0xa2, named, 4, 3).filters.length, 3)
  assert.throws(() => readUnsubscribe(0xa2, named, 4, 2), isQuotaExceeded)
})

function isQuotaExceeded(error: unknown): boolean {
  return error instanceof MqttError && error.reasonCode === ReasonCode.QuotaExceeded
}

test('[MQTT-2.3.1-1] a Packet Identifier is never 0', () => {
  assert.is(readPacketId(Uint8Array.of(9, 1, 2), 1, 4), 258)
  assert.throws(
    () => readPacketId(Uint8Array.of(0, 0), 0, 4),
    (error: unknown) => error instanceof MqttError && error.clause === 'MQTT-2.3.1-1',
  )
})

test('PINGRESP is the same as bytes and as a word', () => {
  const target = new Uint8Array(4)
  assert.is(writePingresp(target, 0), 2)
  assert.is(new DataView(target.buffer).getUint16(0, true), PINGRESP_WORD)
})

test.run()
