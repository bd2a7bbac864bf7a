// Every packet of the fixture table that a server sends, written: byte for byte, to where it should be and no further.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AcknowledgementType, writeAcknowledgement } from '../../src/mqtt/acknowledgement.ts'
import { writeAuth } from '../../src/mqtt/auth.ts'
import { writeConnack } from '../../src/mqtt/connack.ts'
import { writeDisconnect } from '../../src/mqtt/disconnect.ts'
import { PacketType } from '../../src/mqtt/packet-type.ts'
import { writePingresp } from '../../src/mqtt/ping.ts'
import type { Properties } from '../../src/mqtt/properties.ts'
import type { ProtocolVersion } from '../../src/mqtt/protocol-version.ts'
import { publishSize, writePublish } from '../../src/mqtt/publish.ts'
import { writeSuback } from '../../src/mqtt/subscribe.ts'
import { writeUnsuback } from '../../src/mqtt/unsubscribe.ts'
import { fromServers } from './fixtures/index.ts'
import { bytesOf } from './fixtures/notation.ts'

interface Answer {
  readonly type: string
  readonly packetId: number
  readonly reasonCode: number
  readonly reasonCodes: readonly number[]
  readonly sessionPresent: boolean
  readonly topic: string
  readonly payload: string
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
  readonly properties?: Properties
  readonly maximumPacketSize?: number
}

const acknowledgements: Readonly<Record<string, AcknowledgementType>> = {
  puback: PacketType.Puback,
  pubrec: PacketType.Pubrec,
  pubrel: PacketType.Pubrel,
  pubcomp: PacketType.Pubcomp,
}

function write(target: Uint8Array, offset: number, given: Answer, version: ProtocolVersion): number {
  const { packetId, reasonCode, maximumPacketSize: max } = given
  const properties = given.properties && unhex(given.properties)
  const answer = properties === undefined ? given : { ...given, properties }
  switch (given.type) {
    case 'connack':
      return writeConnack(target, offset, answer, version, max)
    case 'suback':
      return writeSuback(target, offset, answer, version, max)
    case 'unsuback':
      return writeUnsuback(target, offset, answer, version, max)
    case 'disconnect':
      return writeDisconnect(target, offset, answer, version, max)
    case 'auth':
      return writeAuth(target, offset, answer, version, max)
    case 'pingresp':
      return writePingresp(target, offset)
    case 'publish': {
      const packet = { ...answer, payload: Buffer.from(given.payload, 'hex') }
      const end = writePublish(target, offset, packet, version)
      assert.is(publishSize(packet, version), end - offset)
      return end
    }
    default:
      return writeAcknowledgement(
        target,
        offset,
        acknowledgements[given.type],
        packetId,
        reasonCode,
        properties,
        version,
        max,
      )
  }
}

/** Fixtures write binary values in hexadecimal. */
function unhex(properties: Properties): Properties {
  const { authenticationData, ...others } = properties
  if (authenticationData === undefined) return properties
  return { ...others, authenticationData: Buffer.from(authenticationData as unknown as string, 'hex') }
}

for (const { name, wire, versions, packet } of fromServers) {
  for (const version of versions) {
    test(`version ${version}: ${name}`, () => {
      const expected = bytesOf(wire)
      const target = new Uint8Array(expected.length + 9).fill(0xa5)
      const end = write(target, 5, packet as unknown as Answer, version)
      assert.is(Buffer.from(target.subarray(5, end)).toString('hex'), Buffer.from(expected).toString('hex'))
      assert.equal([...target.subarray(0, 5), ...target.subarray(end)], new Array(9).fill(0xa5))
    })

    if (wire !== '') {
      test(`version ${version}: ${name}, where it does not fit, is a RangeError`, () => {
        const target = new Uint8Array(bytesOf(wire).length + 4).fill(0xa5)
        assert.throws(
          () => write(target, 5, packet as unknown as Answer, version),
          (error: unknown) => error instanceof RangeError,
        )
        assert.ok(target.every((byte) => byte === 0xa5))
      })
    }
  }
}

test.run()
