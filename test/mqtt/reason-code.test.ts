// Reason codes: their names, their 3.x translations, and who may say which.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PacketType, packetName } from '../../src/mqtt/packet-type.ts'
import { connackReturnCode, isReasonCodeOf, ReasonCode, reasonName } from '../../src/mqtt/reason-code.ts'

test('a reason code is called what the specification calls it', () => {
  assert.is(reasonName(0x00), 'Success')
  assert.is(reasonName(0x02), 'Granted QoS 2')
  assert.is(reasonName(0x8e), 'Session taken over')
  assert.is(reasonName(0xa2), 'Wildcard Subscriptions not supported')
  for (const code of Object.values(ReasonCode)) assert.not.match(reasonName(code), 'reason 0x')
  assert.is(reasonName(0x7f), 'reason 0x7f')
})

test('a packet type is called what the specification calls it', () => {
  assert.is(packetName(PacketType.Connect), 'CONNECT')
  assert.is(packetName(PacketType.Auth), 'AUTH')
  assert.is(packetName(0), 'RESERVED')
  assert.is(packetName(16), 'packet type 16')
})

test('3.x hears one of its six return codes, and 0 for success alone', () => {
  for (const code of Object.values(ReasonCode)) {
    const returnCode = connackReturnCode(code)
    assert.ok(returnCode >= 0 && returnCode <= 5)
    assert.is(returnCode === 0, code === 0)
  }
})

test('some reason codes are for one end alone', () => {
  assert.ok(isReasonCodeOf(PacketType.Disconnect, ReasonCode.DisconnectWithWillMessage, 'client'))
  assert.not(isReasonCodeOf(PacketType.Disconnect, ReasonCode.DisconnectWithWillMessage, 'server'))
  assert.ok(isReasonCodeOf(PacketType.Disconnect, ReasonCode.SessionTakenOver, 'server'))
  assert.not(isReasonCodeOf(PacketType.Disconnect, ReasonCode.SessionTakenOver, 'client'))
  assert.ok(isReasonCodeOf(PacketType.Auth, ReasonCode.Success, 'server'))
  assert.not(isReasonCodeOf(PacketType.Auth, ReasonCode.Reauthenticate, 'server'))
  assert.ok(isReasonCodeOf(PacketType.Connack, ReasonCode.Banned, 'server'))
  assert.not(isReasonCodeOf(PacketType.Connack, ReasonCode.ServerShuttingDown, 'server'))
})

test.run()
