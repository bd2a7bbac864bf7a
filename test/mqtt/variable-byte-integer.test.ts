// Variable Byte Integers, out and in again.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  MAX_VARIABLE_BYTE_INTEGER,
  packetSize,
  readVariableByteInteger,
  variableByteIntegerSize,
  writeVariableByteInteger,
} from '../../src/mqtt/variable-byte-integer.ts'

const edges = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MAX_VARIABLE_BYTE_INTEGER]

function roundTrip(value: number): void {
  const target = new Uint8Array(6).fill(0xa5)
  const end = writeVariableByteInteger(target, 1, value)
  assert.is(end - 1, variableByteIntegerSize(value))
  assert.is(readVariableByteInteger(target, 1, end), value)
  assert.is(target[end], 0xa5)
  for (let cut = 1; cut < end; cut++) assert.is(readVariableByteInteger(target, 1, cut), -1)
}

test('[MQTT-1.5.5-1] a value comes back from the fewest bytes that can say it', () => {
  for (const edge of edges) roundTrip(edge)
  fc.assert(fc.property(fc.nat(MAX_VARIABLE_BYTE_INTEGER), roundTrip))
})

test('[MQTT-1.5.5-1] more bytes than needed, or five, are no Variable Byte Integer', () => {
  for (const wire of [
    [0x80, 0],
    [0xff, 0x80, 0],
    [0x80, 0x80, 0x80, 0],
    [0x80, 0x80, 0x80, 0x80, 1],
    [0xff, 0xff, 0xff, 0xff, 0x7f],
  ]) {
    assert.is(readVariableByteInteger(Uint8Array.from(wire), 0, wire.length), -1)
  }
})

test('a packet is as large as its fixed header and its Remaining Length', () => {
  assert.is(packetSize(0), 2)
  assert.is(packetSize(127), 129)
  assert.is(packetSize(128), 131)
})

test.run()
