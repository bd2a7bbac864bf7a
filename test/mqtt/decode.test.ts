// Every packet of the fixture table that a client could send, read: it says what it should, or is refused as it should.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MqttError } from '../../src/mqtt/mqtt-error.ts'
import { decode } from './decode.ts'
import { fromClients } from './fixtures/index.ts'
import { bytesOf } from './fixtures/notation.ts'

for (const { name, wire, versions, packet, refused, clause } of fromClients) {
  for (const version of versions) {
    const statement = clause === undefined ? '' : `[${clause}] `
    test(`${statement}version ${version}: ${name} is ${packet ? 'read' : 'refused'}`, () => {
      const bytes = bytesOf(wire)
      if (packet !== undefined) {
        assertHolds(decode(bytes, version), packet)
        return
      }
      const error = refusal(() => decode(bytes, version))
      assert.is(error.reasonCode, refused, error.message)
      if (clause !== undefined) assert.is(error.clause, clause, error.message)
    })
  }
}

test('an error names its clause in its message, fit for the log', () => {
  const error = refusal(() => decode(bytesOf('82 .. 0001'), 4))
  assert.is(error.message, 'SUBSCRIBE without a Topic Filter [MQTT-3.8.3-3]')
})

/** Everything `expected` names is there and equal; whatever else there is must be named only at the top level. */
function assertHolds(actual: Record<string, unknown>, expected: Readonly<Record<string, unknown>>): void {
  const isWhole = !('properties' in expected && Object.keys(expected).length === 1) && !isWillAlone(expected)
  if (isWhole) {
    assert.equal(actual, expected)
    return
  }
  if (isWillAlone(expected)) {
    assertHolds(actual.will as Record<string, unknown>, expected.will as Record<string, unknown>)
    return
  }
  assert.equal(actual.properties, expected.properties)
}

function isWillAlone(expected: object): boolean {
  return 'will' in expected && Object.keys(expected).length === 1
}

function refusal(run: () => unknown): MqttError {
  try {
    run()
  } catch (error) {
    if (error instanceof MqttError) return error
    throw error
  }
  throw new Error('it was accepted')
}

test.run()
