// Records as JSON lines: every record comes back as it was, and whatever else a line may say is refused by the field's name.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fromJson, toJson } from '../../../src/store/journal/record-json.ts'
import { everyRecord } from '../contract.ts'

test('a record as a line and back is the record it was, of every kind', () => {
  for (const record of everyRecord) assert.equal(fromJson(toJson(record)), record)
  assert.is(new Set(everyRecord.map(({ type }) => type)).size, 17)
})

test('whatever a line is instead, it is a SyntaxError or a record with every field as it must be', () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom(null, -1, 0.5, 65_536, 1e300, '=', 'AAA', [0], {}))
  fc.assert(
    fc.property(fc.constantFrom(...everyRecord), fc.nat(), value, (record, place, wrong) => {
      const fields = JSON.parse(toJson(record)) as Record<string, unknown>
      const names = Object.keys(fields)
      fields[names[place % names.length]!] = wrong
      try {
        const line = toJson(fromJson(JSON.stringify(fields)))
        assert.is(toJson(fromJson(line)), line)
      } catch (error) {
        assert.instance(error, SyntaxError)
      }
    }),
    { numRuns: 500 },
  )
})

for (const [line, complaint] of [
  ['[]', 'not a record'],
  ['{"type":"constructor"}', 'not a record'],
  ['{"type":"message-stored","message":1}', 'message-stored: topicName is not a text'],
  [
    '{"type":"inbound-added","clientId":"a","packetId":65536}',
    'inbound-added: packetId is not a number from 1 to 65535',
  ],
  [
    '{"type":"session-left","clientId":"a","expiryInterval":1,"at":null}',
    'session-left: at is not milliseconds since 1970',
  ],
  ['{"type":"will-removed","clientId":7}', 'will-removed: clientId is not a text'],
] as const) {
  test(`refused: ${line}`, () => assert.throws(() => fromJson(line), new SyntaxError(complaint).message))
}

test.run()
