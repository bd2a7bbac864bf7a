// Retained messages against a Map and the naive matcher; cursors while messages come and go between their steps.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type RetainedCursor, RetainedMessages } from '../../../src/broker/retained/retained-messages.ts'
import { heapUsed } from '../../support/heap-used.ts'
import { naiveMatch } from '../routing/naive-match.ts'

/** Each topic's message is its own name. */
function retained(...topicNames: string[]): RetainedMessages<string> {
  const messages = new RetainedMessages<string>()
  for (const topicName of topicNames) messages.set(topicName, topicName)
  return messages
}

function rest(cursor: RetainedCursor<string>, limit = 100): string[] {
  const messages: string[] = []
  while (!cursor.done) messages.push(...cursor.next(limit))
  return messages
}

function matches(messages: RetainedMessages<string>, filter: string): string[] {
  return rest(messages.match(filter)).sort()
}

test('[MQTT-3.3.1-5] a retained message replaces the one before it', () => {
  const messages = new RetainedMessages<string>()
  assert.is(messages.set('a/b', 'first'), undefined)
  assert.is(messages.set('a/b', 'second'), 'first')
  assert.is(messages.get('a/b'), 'second')
  assert.is(messages.size, 1)
  assert.is(messages.get('a'), undefined)
  assert.is(messages.get('a/b/c'), undefined)
})

test('[MQTT-3.3.1-10] deleting takes the message out, once', () => {
  const messages = retained('a/b', 'a/b/c')
  assert.is(messages.delete('a/b'), 'a/b')
  assert.is(messages.delete('a/b'), undefined)
  assert.is(messages.delete('a'), undefined)
  assert.is(messages.size, 1)
  assert.equal(matches(messages, '#'), ['a/b/c'])
})

test('a filter without wildcards finds its one topic', () => {
  const messages = retained('a', 'a/b', 'a/b/c', '/', 'a/')
  for (const topicName of ['a', 'a/b', 'a/b/c', '/', 'a/']) assert.equal(matches(messages, topicName), [topicName])
  assert.equal(matches(messages, 'a/b/c/d'), [])
  assert.equal(matches(messages, 'b'), [])
})

test('[MQTT-4.7.1-2] a # finds the level above it and all below', () => {
  const messages = retained('a', 'a/b', 'a/b/c', 'ab', 'x/a')
  assert.equal(matches(messages, 'a/#'), ['a', 'a/b', 'a/b/c'])
  assert.equal(matches(messages, '#'), ['a', 'a/b', 'a/b/c', 'ab', 'x/a'])
  assert.equal(matches(messages, '+/b/#'), ['a/b', 'a/b/c'])
})

test('[MQTT-4.7.2-1] a filter that begins with a wildcard finds no topic that begins with $', () => {
  const messages = retained('$SYS/uptime', '$SYS', 'a/$b', 'a')
  assert.equal(matches(messages, '#'), ['a', 'a/$b'])
  assert.equal(matches(messages, '+'), ['a'])
  assert.equal(matches(messages, '+/uptime'), [])
  assert.equal(matches(messages, '$SYS/#'), ['$SYS', '$SYS/uptime'])
  assert.equal(matches(messages, '$SYS/+'), ['$SYS/uptime'])
  assert.equal(matches(messages, 'a/+'), ['a/$b'])
  assert.equal(rest(messages.all()).sort(), ['$SYS', '$SYS/uptime', 'a', 'a/$b'])
})

test('an empty retained message on a topic never seen leaves nothing behind', () => {
  const messages = retained('a')
  const before = heapUsed()
  for (let turn = 0; turn < 20_000; turn++) messages.delete(`never/seen/${turn}`)
  for (let turn = 0; turn < 20_000; turn++) {
    messages.set(`once/seen/${turn}`, 'message')
    messages.delete(`once/seen/${turn}`)
  }
  assert.ok(heapUsed() - before < 2_000_000)
  assert.equal(matches(messages, '#'), ['a'])
})

test('a cursor that nobody moves does not hold on to all that comes and goes meanwhile', () => {
  const messages = retained('t/a', 't/b', 't/c')
  const cursor = messages.match('t/+')
  cursor.next(1)
  messages.set('t/0', 'message')
  for (const topicName of ['t/c', 't/b', 't/a']) messages.delete(topicName)
  const before = heapUsed()
  for (let turn = 1; turn < 50_000; turn++) {
    messages.set(`t/${turn}`, 'message')
    messages.delete(`t/${turn - 1}`)
  }
  assert.ok(heapUsed() - before < 2_000_000)
  assert.equal(rest(cursor), [])
})

test('a cursor gives no more than it is asked for, and each topic once', () => {
  const names = Array.from({ length: 1000 }, (_, index) => `a/${index}/b`)
  const messages = retained(...names)
  const cursor = messages.match('a/+/b')
  const seen: string[] = []
  while (!cursor.done) {
    const some = cursor.next(7)
    assert.ok(some.length <= 7)
    seen.push(...some)
  }
  assert.equal(seen.sort(), names.sort())
  assert.equal(cursor.next(7), [])
})

test('a step is short even where nothing matches', () => {
  const messages = retained(...Array.from({ length: 1000 }, (_, index) => `a/${index}/b`))
  const cursor = messages.match('a/+/nowhere')
  assert.equal(cursor.next(1), [])
  assert.is(cursor.done, false)
  assert.equal(rest(cursor), [])
})

/** How many steps of bounded work it takes to find what a filter matches. */
function steps(messages: RetainedMessages<string>, filter: string): number {
  const cursor = messages.match(filter)
  let count = 0
  for (; !cursor.done; count++) cursor.next(1)
  return count
}

test('what a subscription does not match costs it nothing: as many steps among 20,000 retained messages as among 300', () => {
  const site = (name: string): string[] =>
    Array.from({ length: 100 }, (_, device) =>
      ['temp', 'state', 'log/last'].map((leaf) => `${name}/${device}/${leaf}`),
    ).flat()
  const few = retained(...site('site7'))
  const many = retained(...site('site7'), ...Array.from({ length: 66 }, (_, n) => site(`other${n}`)).flat())
  assert.ok(many.size > 20_000)
  for (const filter of [
    'site7/#',
    'site7/+/temp',
    'site7/5/#',
    'site7/5/state',
    'site7/+/log/+',
    'site7/+/nothing',
    'site8/#',
  ]) {
    assert.equal(matches(many, filter), matches(few, filter))
    assert.is(steps(many, filter), steps(few, filter), filter)
  }
  assert.ok(steps(many, '#') > 20_000, 'what matches is what costs')
})

test('deleting under a cursor, the node it stands on and those around, loses nothing else', () => {
  const names = Array.from({ length: 20 }, (_, index) => `a/${index}`)
  for (let deleted = 0; deleted < names.length; deleted++) {
    const messages = retained(...names)
    const cursor = messages.match('a/+')
    const seen = cursor.next(10)
    for (let index = deleted; index < Math.min(deleted + 5, names.length); index++) messages.delete(names[index])
    seen.push(...rest(cursor, 1))
    const kept = names.filter((name) => messages.get(name) !== undefined)
    assert.ok(kept.every((name) => seen.includes(name)))
    assert.is(new Set(seen).size, seen.length)
  }
})

test('topics of 65,536 levels are no danger', () => {
  const deep = '/'.repeat(65535)
  const messages = retained(deep, 'a')
  assert.equal(matches(messages, '#'), [deep, 'a'].sort())
  assert.equal(matches(messages, `${'+/'.repeat(32767)}#`), [deep])
  assert.is(messages.delete(deep), deep)
  assert.equal(matches(messages, '#'), ['a'])
})

const level = fc.constantFrom('a', 'b', '', '$x', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10')
const name = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((text) => text !== '')
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, hash]) => (hash ? [...levels.slice(1), '#'] : levels).join('/'))
  .filter((text) => text !== '')

test('any sequence of setting and deleting is found as the naive matcher finds it', () => {
  const action = fc.tuple(fc.constantFrom('set', 'set', 'delete'), name)
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 150, size: 'max' }),
      fc.array(filter, { minLength: 1, maxLength: 10 }),
      fc.integer({ min: 1, max: 5 }),
      (actions, filters, limit) => {
        const messages = new RetainedMessages<string>()
        const model = new Map<string, string>()
        for (const [kind, topicName] of actions) {
          const before = model.get(topicName)
          if (kind === 'set') {
            assert.is(messages.set(topicName, topicName), before)
            model.set(topicName, topicName)
          } else {
            assert.is(messages.delete(topicName), before)
            model.delete(topicName)
          }
          assert.is(messages.size, model.size)
        }
        for (const topicName of model.keys()) assert.is(messages.get(topicName), topicName)
        for (const text of filters) {
          const expected = [...model.keys()].filter((topicName) => naiveMatch(text, topicName)).sort()
          assert.equal(rest(messages.match(text), limit).sort(), expected)
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('a cursor finds all that was there from its beginning to its end, nothing twice, nothing that does not match', () => {
  const action = fc.tuple(fc.constantFrom('set', 'delete', 'delete', 'step', 'step'), name)
  fc.assert(
    fc.property(
      fc.array(name, { minLength: 1, maxLength: 60, size: 'max' }),
      filter,
      fc.array(action, { maxLength: 80, size: 'max' }),
      (names, text, actions) => {
        const messages = retained(...names)
        const throughout = new Set(names.filter((topicName) => naiveMatch(text, topicName)))
        const topics: string[] = []
        const cursor = messages.match(text)
        for (const [kind, topicName] of actions) {
          if (kind === 'set') messages.set(topicName, topicName)
          else if (kind === 'delete') {
            if (messages.delete(topicName)) throughout.delete(topicName)
          } else topics.push(...cursor.next(1))
        }
        topics.push(...rest(cursor, 3))
        for (const topicName of throughout) assert.ok(topics.includes(topicName), `${topicName} was missed`)
        for (const topicName of topics) assert.ok(naiveMatch(text, topicName), `${topicName} does not match`)
        assert.is(new Set(topics).size, topics.length)
      },
    ),
    { numRuns: 1000 },
  )
})

test.run()
