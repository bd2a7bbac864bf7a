// What the writers write, read by mqtt-packet: a second opinion besides the golden bytes of encode.test.ts, over
// random answers and size limits.

import * as fc from 'fast-check'
import { type Packet, parser } from 'mqtt-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AcknowledgementType, writeAcknowledgement } from '../../src/mqtt/acknowledgement.ts'
import { writeAuth } from '../../src/mqtt/auth.ts'
import { writeConnack } from '../../src/mqtt/connack.ts'
import { writeDisconnect } from '../../src/mqtt/disconnect.ts'
import { PacketType } from '../../src/mqtt/packet-type.ts'
import type { Properties } from '../../src/mqtt/properties.ts'
import { ProtocolVersion } from '../../src/mqtt/protocol-version.ts'
import { ReasonCode } from '../../src/mqtt/reason-code.ts'
import { writeSuback } from '../../src/mqtt/subscribe.ts'
import { writeUnsuback } from '../../src/mqtt/unsubscribe.ts'

type Loose = Record<string, unknown>

function parse(bytes: Uint8Array, version: number): Loose {
  const packets: Packet[] = []
  const fresh = parser({ protocolVersion: version })
  fresh.on('packet', (packet) => packets.push(packet))
  fresh.parse(Buffer.from(bytes))
  assert.is(packets.length, 1)
  return packets[0] as unknown as Loose
}

const text = fc.string({ unit: 'binary', maxLength: 40 }).map((string) => string.replaceAll('\0', ''))
const name = text.map((string) => `n${string}`)
const packetId = fc.integer({ min: 1, max: 65535 })
const optional = fc.record(
  {
    reasonString: text,
    userProperties: fc.uniqueArray(fc.tuple(name, text), { selector: ([key]) => key, minLength: 1 }),
  },
  { requiredKeys: [] },
)
const size = fc.integer({ min: 2, max: 200 })
const room = new Uint8Array(4096)
const V5 = ProtocolVersion.Mqtt5

/**
 * Checks the properties that arrived: all, all but the Reason String, or neither it nor User Properties; and each time
 * because what was left out, written by `write` without a limit, would not have fitted.
 */
function assertLeftOut(
  given: Properties,
  arrived: Loose,
  max: number,
  write: (properties: Properties) => number,
): void {
  const { reasonString, userProperties } = (arrived.properties ?? {}) as Loose
  if (userProperties !== undefined) {
    assert.equal({ ...(userProperties as object) }, Object.fromEntries(given.userProperties ?? []))
  }
  const { reasonString: _, ...withoutReason } = given
  const lostReason = given.reasonString !== undefined && reasonString === undefined
  const lostUser = given.userProperties !== undefined && userProperties === undefined
  if (lostUser) assert.is(reasonString, undefined, 'the Reason String goes first')
  if (lostUser) assert.ok(write(withoutReason) > max, 'the User Properties would have fitted')
  else if (lostReason) assert.ok(write(given) > max, 'the Reason String would have fitted')
}

test('[MQTT-3.2.2-19] [MQTT-3.2.2-20] CONNACK is never too large, and leaves out no more than it must', () => {
  fc.assert(
    fc.property(optional, name, size, (properties, assignedClientIdentifier, max) => {
      const given = { ...properties, assignedClientIdentifier }
      const write = (said: Properties, limit?: number): number =>
        writeConnack(room, 0, { sessionPresent: false, reasonCode: 0, properties: said }, V5, limit)
      const end = write(given, max)
      assert.ok(end <= max)
      if (end === 0) {
        assert.ok(8 + Buffer.byteLength(assignedClientIdentifier) > max)
        return
      }
      const arrived = parse(room.subarray(0, end), 5)
      assert.is((arrived.properties as Loose).assignedClientIdentifier, assignedClientIdentifier)
      assertLeftOut(given, arrived, max, write)
    }),
    { numRuns: 1000 },
  )
})

test('[MQTT-3.9.2-1] [MQTT-3.11.2-1] SUBACK and UNSUBACK are never too large, and say one code a filter', () => {
  const codes = fc.array(fc.constantFrom(0, 0x80, 0x87, 0x8f), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(packetId, codes, optional, size, fc.boolean(), (id, reasonCodes, properties, max, isSuback) => {
      const writer = isSuback ? writeSuback : writeUnsuback
      const write = (said: Properties, limit?: number): number =>
        writer(room, 0, { packetId: id, reasonCodes, properties: said }, V5, limit)
      const end = write(properties, max)
      assert.ok(end <= max)
      if (end === 0) {
        assert.ok(5 + reasonCodes.length > max)
        return
      }
      const arrived = parse(room.subarray(0, end), 5)
      assert.is(arrived.messageId, id)
      assert.equal(arrived.granted, reasonCodes)
      assertLeftOut(properties, arrived, max, write)
    }),
    { numRuns: 1000 },
  )
})

test('[MQTT-3.9.3-2] SUBACK and UNSUBACK of 3.x say what 3.x can say', () => {
  const codes = fc.array(fc.constantFrom(0, 1, 2, 0x80, 0x87, 0x8f), { minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(packetId, codes, fc.constantFrom<3 | 4>(3, 4), (id, reasonCodes, version) => {
      const suback = parse(room.subarray(0, writeSuback(room, 0, { packetId: id, reasonCodes }, version)), version)
      assert.is(suback.messageId, id)
      assert.equal(
        suback.granted,
        reasonCodes.map((code) => Math.min(code, 0x80)),
      )
      const unsuback = parse(room.subarray(0, writeUnsuback(room, 0, { packetId: id, reasonCodes }, version)), version)
      assert.is(unsuback.messageId, id)
    }),
    { numRuns: 300 },
  )
})

test('[MQTT-3.4.2-2] acknowledgements are never too large, and keep identifier and reason', () => {
  const types = fc.constantFrom<AcknowledgementType>(
    PacketType.Puback,
    PacketType.Pubrec,
    PacketType.Pubrel,
    PacketType.Pubcomp,
  )
  fc.assert(
    fc.property(types, packetId, optional, fc.boolean(), size, (type, id, properties, failed, max) => {
      const released = type === PacketType.Pubrel || type === PacketType.Pubcomp
      const failure = released ? ReasonCode.PacketIdentifierNotFound : ReasonCode.NotAuthorized
      const reasonCode = failed ? failure : ReasonCode.Success
      const write = (said: Properties, limit?: number): number =>
        writeAcknowledgement(room, 0, type, id, reasonCode, said, V5, limit)
      const end = write(properties, max)
      assert.ok(end <= max)
      if (end === 0) {
        assert.ok(max < 5)
        return
      }
      const arrived = parse(room.subarray(0, end), 5)
      assert.is(arrived.messageId, id)
      assert.is(arrived.reasonCode, reasonCode)
      assertLeftOut(properties, arrived, max, write)
    }),
    { numRuns: 1000 },
  )
})

test('[MQTT-3.14.2-3] [MQTT-3.15.2-2] DISCONNECT and AUTH are never too large, and keep their reason', () => {
  fc.assert(
    fc.property(optional, size, fc.boolean(), (properties, max, isAuth) => {
      const reasonCode = isAuth ? ReasonCode.ContinueAuthentication : ReasonCode.SessionTakenOver
      const given = isAuth ? { ...properties, authenticationMethod: 'M' } : properties
      const writer = isAuth ? writeAuth : writeDisconnect
      const write = (said: Properties, limit?: number): number =>
        writer(room, 0, { reasonCode, properties: said }, V5, limit)
      const end = write(given, max)
      assert.ok(end <= max)
      if (end === 0) {
        assert.ok(max < (isAuth ? 8 : 3))
        return
      }
      const arrived = parse(room.subarray(0, end), 5)
      assert.is(arrived.reasonCode, reasonCode)
      if (isAuth) assert.is((arrived.properties as Loose).authenticationMethod, 'M')
      assertLeftOut(given, arrived, max, write)
    }),
    { numRuns: 1000 },
  )
})

test.run()
