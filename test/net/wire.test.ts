// src/net/wire.ts and native/src/loop/wire.h hold the same numbers; so does the table in native/index.d.ts.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CloseReason, Command, Fact, Kind, RECORD_WORDS, TOTALS, Total } from '../../src/net/wire.ts'
import { projectRoot } from './native-rig.ts'

const header = readFileSync(join(projectRoot(), 'native/src/loop/wire.h'), 'utf8')
const contract = readFileSync(join(projectRoot(), 'native/index.d.ts'), 'utf8')

function enumeration(name: string): Record<string, number> {
  const body = new RegExp(`enum class ${name} : uint32_t \\{([^}]*)\\}`).exec(header)
  assert.ok(body, `wire.h has no ${name}`)
  return Object.fromEntries([...body[1].matchAll(/(\w+) = (\d+)/g)].map((match) => [match[1], Number(match[2])]))
}

function constant(name: string): number {
  return Number(new RegExp(`constexpr uint32_t ${name} = (\\d+);`).exec(header)?.[1])
}

for (const [name, numbers] of Object.entries({ Kind, Command, CloseReason, Total, Fact })) {
  test(`${name} has the same numbers on both sides`, () => {
    assert.equal(enumeration(name), { ...numbers })
  })
}

test('record size and number of totals are the same on both sides', () => {
  assert.is(constant('kRecordWords'), RECORD_WORDS)
  assert.is(constant('kTotals'), TOTALS)
  assert.ok(Math.max(...Object.values(Total)) < TOTALS)
})

test('the table of the contract names the same numbers', () => {
  const dashed = (name: string): string =>
    name.replace(/[A-Z]/g, (letter, at) => (at ? '-' : '') + letter.toLowerCase())
  const camel = (name: string): string => name[0].toLowerCase() + name.slice(1)
  for (const [name, number] of Object.entries(Kind)) {
    assert.match(contract, new RegExp(`^//   ${dashed(name)}\\s+${number}\\b`, 'm'))
  }
  for (const [name, number] of Object.entries(Command)) {
    assert.match(contract, new RegExp(`^//   ${camel(name)}\\s+${number}\\b`, 'm'))
  }
})

test.run()
