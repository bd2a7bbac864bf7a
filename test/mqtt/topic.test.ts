// Topic Names, Topic Filters and the one matcher, held against a naive matcher and the examples of section 4.7.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  isSharedFilter,
  isTopicName,
  levels,
  matches,
  parseSharedFilter,
  sharedFilterProblem,
  topicFilterProblem,
  topicNameProblem,
  topicProblemInBytes,
} from '../../src/mqtt/topic.ts'

/** The definition, level by level. */
function naive(filter: readonly string[], name: readonly string[], atFront = true): boolean {
  if (atFront && name[0].startsWith('$') && (filter[0] === '#' || filter[0] === '+')) return false
  if (filter.length === 0) return name.length === 0
  if (filter[0] === '#') return true // also for no level at all: the parent
  if (name.length === 0) return false
  return (filter[0] === '+' || filter[0] === name[0]) && naive(filter.slice(1), name.slice(1), false)
}

const level = fc.constantFrom('', 'a', 'b', 'ab', '$SYS', '$', 'ü', '😀')
const topicName = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join('/'))
  .filter((name) => name !== '')
const topicFilter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 5 }), fc.boolean())
  .map(([parts, all]) => [...parts, ...(all ? ['#'] : [])].join('/'))
  .filter((filter) => filter !== '')

test('the matcher agrees with the definition', () => {
  fc.assert(
    fc.property(topicFilter, topicName, (filter, name) => {
      assert.is(topicFilterProblem(filter), undefined)
      assert.is(matches(filter, name), naive(filter.split('/'), name.split('/')), `${filter} ${name}`)
    }),
    { numRuns: 20_000 },
  )
})

test('a filter made of a name by putting wildcards into it matches that name, unless it begins with $', () => {
  fc.assert(
    fc.property(topicName, fc.array(fc.boolean()), fc.nat(5), (name, pluses, cut) => {
      const parts = levels(name).map((part, i) => (pluses[i] ? '+' : part))
      const filter = cut < parts.length ? [...parts.slice(0, cut), '#'].join('/') : parts.join('/')
      const shy = name.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))
      assert.is(matches(filter, name), !shy, `${filter} ${name}`)
    }),
    { numRuns: 5000 },
  )
})

const examples: readonly (readonly [filter: string, name: string, expected: boolean])[] = [
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/tennis/player1/#', 'sport/tennis/player10', false],
  ['sport/#', 'sport', true],
  ['sport/#', 'sports', false],
  ['#', 'a', true],
  ['#', '/', true],
  ['sport/tennis/+', 'sport/tennis/player1', true],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['sport/+', 'sport/', true],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['+', '/finance', false],
  ['+/tennis/#', 'x/tennis', true],
  ['+/#', 'a', true],
  ['a/+/#', 'a/b', true],
  ['a/+/#', 'a', false],
  ['#', '$SYS/x', false],
  ['+/x', '$SYS/x', false],
  ['+', '$SYS', false],
  ['$SYS/#', '$SYS/x', true],
  ['$SYS/+', '$SYS/x', true],
  ['$SYS/#', '$SYS', true],
  ['a/#', 'a/$SYS', true],
  ['a/+', 'a/$SYS', true],
  ['ACCOUNTS', 'Accounts', false],
  ['a', 'a/', false],
  ['a/', 'a', false],
  ['/a', 'a', false],
  ['a//b', 'a/b', false],
  ['\u00e5', 'a\u030a', false],
]
for (const [filter, name, expected] of examples) {
  test(`[MQTT-4.7.1-1] ${filter} ${expected ? 'matches' : 'does not match'} ${name}`, () => {
    assert.is(matches(filter, name), expected)
  })
}

for (const name of ['a', '/', ' ', '/a', 'a/', 'a//b', '$SYS', 'ü', '\uffff', '\ufeff', 'a'.repeat(65535)]) {
  test(`${JSON.stringify(name.slice(0, 9))} is a Topic Name`, () => {
    assert.is(topicNameProblem(name), undefined)
    assert.ok(isTopicName(name))
    const bytes = Buffer.from(name)
    assert.is(topicProblemInBytes(bytes, 0, bytes.length), undefined)
  })
}

const badNames: readonly (readonly [name: string, clause: string])[] = [
  ['', 'MQTT-4.7.3-1'],
  ['a/+', 'MQTT-3.3.2-2'],
  ['a+', 'MQTT-3.3.2-2'],
  ['#', 'MQTT-3.3.2-2'],
  ['a#b', 'MQTT-3.3.2-2'],
  ['a\0b', 'MQTT-4.7.3-2'],
]
for (const [name, clause] of badNames) {
  test(`[${clause}] ${JSON.stringify(name)} is not a Topic Name`, () => {
    assertProblem(topicNameProblem(name), clause)
    assert.not(isTopicName(name))
    const bytes = Buffer.from(name)
    assertProblem(topicProblemInBytes(bytes, 0, bytes.length), clause)
  })
}

const badFilters: readonly (readonly [filter: string, clause: string])[] = [
  ['', 'MQTT-4.7.3-1'],
  ['a#', 'MQTT-4.7.1-1'],
  ['#a', 'MQTT-4.7.1-1'],
  ['#/a', 'MQTT-4.7.1-1'],
  ['a/#/b', 'MQTT-4.7.1-1'],
  ['##', 'MQTT-4.7.1-1'],
  ['+#', 'MQTT-4.7.1-2'],
  ['a+', 'MQTT-4.7.1-2'],
  ['+a', 'MQTT-4.7.1-2'],
  ['a/+b', 'MQTT-4.7.1-2'],
  ['a/b+/c', 'MQTT-4.7.1-2'],
  ['++', 'MQTT-4.7.1-2'],
  ['a\0', 'MQTT-4.7.3-2'],
]
for (const [filter, clause] of badFilters) {
  test(`[${clause}] ${JSON.stringify(filter)} is not a Topic Filter`, () => {
    assertProblem(topicFilterProblem(filter), clause)
  })
}

for (const filter of ['#', '+', '/', '/#', '+/#', '+/+', 'a/+/b', '$SYS/#', '$share/g/#', 'a'.repeat(65535)]) {
  test(`${filter.slice(0, 12)} is a Topic Filter`, () => assert.is(topicFilterProblem(filter), undefined))
}

test('[MQTT-4.7.3-3] 65,535 bytes of UTF-8 are allowed, one more is not', () => {
  assert.is(topicNameProblem('ü'.repeat(32767)), undefined)
  assertProblem(topicNameProblem('ü'.repeat(32768)), 'MQTT-4.7.3-3')
  assertProblem(topicFilterProblem('a'.repeat(65536)), 'MQTT-4.7.3-3')
})

test('the number of levels is limited, by 200 or as told', () => {
  assert.is(topicNameProblem(new Array(200).fill('').join('/')), undefined)
  assertProblem(topicNameProblem(new Array(201).fill('').join('/')), 'levels')
  assert.is(topicFilterProblem('a/b/c', 3), undefined)
  assertProblem(topicFilterProblem('a/b/+/#', 3), '4 levels')
  assertProblem(topicNameProblem('a/b/c/d', 3), '4 levels')
})

test('bytes, names and filters are judged alike', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '/', '+', '#', '\0', 'ü', '$') })
  fc.assert(
    fc.property(text, (name) => {
      const bytes = Buffer.from(name)
      assert.is(topicProblemInBytes(bytes, 0, bytes.length) === undefined, isTopicName(name))
      if (isTopicName(name)) assert.is(topicFilterProblem(name), undefined)
    }),
    { numRuns: 5000 },
  )
})

test('a Shared Subscription falls into its group and its filter', () => {
  assert.equal(parseSharedFilter('$share/g/a/+/#'), { group: 'g', filter: 'a/+/#' })
  assert.equal(parseSharedFilter('$share/g//a'), { group: 'g', filter: '/a' })
  assert.is(parseSharedFilter('a/b'), undefined)
  assert.is(parseSharedFilter('$shared/g/a'), undefined)
  assert.ok(isSharedFilter('$share/'))
  assert.not(isSharedFilter('$share'))
})

const badShared: readonly (readonly [filter: string, clause: string])[] = [
  ['$share/', 'MQTT-4.8.2-1'],
  ['$share//a', 'MQTT-4.8.2-1'],
  ['$share/g', 'MQTT-4.8.2-2'],
  ['$share/g/', 'MQTT-4.8.2-2'],
  ['$share/+/a', 'MQTT-4.8.2-2'],
  ['$share/g#/a', 'MQTT-4.8.2-2'],
  ['$share/#', 'MQTT-4.8.2-2'],
]
for (const [filter, clause] of badShared) {
  test(`[${clause}] ${filter} is not a Shared Subscription`, () => {
    assertProblem(sharedFilterProblem(filter), clause)
    assert.is(parseSharedFilter(filter), undefined)
  })
}

test('the filter within a Shared Subscription is judged as any other', () => {
  assert.is(sharedFilterProblem('$share/g/a/#'), undefined)
  assertProblem(sharedFilterProblem('$share/g/a#'), 'MQTT-4.7.1-1')
  assertProblem(sharedFilterProblem('$share/g/a/b/c', 2), '3 levels')
})

function assertProblem(problem: string | undefined, part: string): void {
  assert.ok(problem?.includes(part), problem)
}

test.run()
