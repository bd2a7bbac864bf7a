// The trie against the naive matcher over everything that is in it, and its promises by name.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type FilterNode, TopicTrie } from '../../../src/broker/routing/topic-trie.ts'
import { heapUsed } from '../../support/heap-used.ts'
import { naiveMatch } from './naive-match.ts'

function trieOf(...filters: string[]): TopicTrie<unknown> {
  const trie = new TopicTrie<unknown>()
  for (const filter of filters) trie.insert(filter)
  return trie
}

function matches<V>(trie: TopicTrie<V>, topicName: string): string[] {
  const out: FilterNode<V>[] = []
  trie.match(topicName, out)
  return out.map((node) => node.filter).sort()
}

function removeAll(trie: TopicTrie<unknown>): void {
  for (const node of [...trie]) trie.remove(node)
}

function changes(trie: TopicTrie<unknown>, since: number): string[] | undefined {
  const filters: string[] = []
  return trie.changedSince(since, (filter) => filters.push(filter)) ? filters : undefined
}

test('[MQTT-4.7.1-2] a # matches its parent level and all below', () => {
  const trie = trieOf('sport/tennis/player1/#', 'sport/#', '#', 'sport/tennis/#')
  assert.equal(matches(trie, 'sport/tennis/player1'), ['#', 'sport/#', 'sport/tennis/#', 'sport/tennis/player1/#'])
  assert.equal(matches(trie, 'sport'), ['#', 'sport/#'])
  assert.equal(matches(trie, 'sports'), ['#'])
})

test('[MQTT-4.7.1-3] a + matches one level, an empty one too, and no more', () => {
  const trie = trieOf('sport/+', '+', '+/+', '/+', 'sport/+/player1')
  assert.equal(matches(trie, 'sport/'), ['+/+', 'sport/+'])
  assert.equal(matches(trie, 'sport'), ['+'])
  assert.equal(matches(trie, '/finance'), ['+/+', '/+'])
  assert.equal(matches(trie, 'sport/tennis/player1'), ['sport/+/player1'])
  assert.equal(matches(trie, 'sport/tennis/player1/ranking'), [])
})

test('[MQTT-4.7.2-1] a filter that begins with a wildcard matches no name that begins with $', () => {
  const trie = trieOf('#', '+/monitor/Clients', '$SYS/#', '$SYS/monitor/+', '$SYS/+/+')
  assert.equal(matches(trie, '$SYS/monitor/Clients'), ['$SYS/#', '$SYS/+/+', '$SYS/monitor/+'])
  assert.equal(matches(trie, '$SYS'), ['$SYS/#'])
  assert.equal(matches(trie, 'a/$SYS'), ['#'])
})

test('[MQTT-4.7.3-4] levels are compared as they are: case, spaces and empty levels count', () => {
  const trie = trieOf('ACCOUNTS', 'Accounts', '/', '//', 'a//b', ' ')
  assert.equal(matches(trie, 'ACCOUNTS'), ['ACCOUNTS'])
  assert.equal(matches(trie, '/'), ['/'])
  assert.equal(matches(trie, '//'), ['//'])
  assert.equal(matches(trie, 'a//b'), ['a//b'])
  assert.equal(matches(trie, 'a/b'), [])
  assert.equal(matches(trie, ' '), [' '])
})

test('inserting a filter twice gives the same node, with the router’s value on it', () => {
  const trie = new TopicTrie<string>()
  const node = trie.insert('a/+/b')
  node.value = 'group'
  assert.is(trie.insert('a/+/b'), node)
  assert.is(trie.get('a/+/b')?.value, 'group')
  assert.is(trie.size, 1)
  assert.is(trie.get('a/+'), undefined)
  assert.is(trie.get('a/+/b/c'), undefined)
})

test('a removed filter matches no more, others on its way stay, and removing twice is no fault', () => {
  const trie = trieOf('a', 'a/b/c', 'a/b', 'a/b/#')
  const node = trie.insert('a/b')
  trie.remove(node)
  trie.remove(node)
  assert.is(node.filter, '')
  assert.equal(matches(trie, 'a/b'), ['a/b/#'])
  assert.equal(matches(trie, 'a/b/c'), ['a/b/#', 'a/b/c'])
  assert.is(trie.size, 3)
  assert.is(trie.insert('a/b').filter, 'a/b')
})

test('when the last filter is gone no node is left', () => {
  const trie = trieOf('a/b/c/d', 'a/+/#', '#', 'x//y')
  for (let index = 0; index < 20; index++) trie.insert(`many/${index}`)
  removeAll(trie)
  assert.is(trie.size, 0)
  const root = (trie.insert('z') as FilterNode<unknown>).parent!
  assert.is(root.children, trie.get('z'))
  assert.is(root.plus, undefined)
  assert.is(root.hash, undefined)
})

test('every birth and death of a filter is told to who asks later, and nothing else is', () => {
  const trie = trieOf('a')
  const before = trie.changes
  const node = trie.insert('a/b')
  trie.insert('a/b')
  trie.insert('c')
  trie.remove(node)
  assert.equal(changes(trie, before), ['a/b', 'c', 'a/b'])
  assert.equal(changes(trie, trie.changes), [])
})

test('after 1,024 changes the oldest can no longer be told', () => {
  const trie = new TopicTrie<unknown>()
  for (let turn = 0; turn < 5000; turn++) trie.insert(`f${turn}`)
  assert.is(changes(trie, trie.changes - 1025), undefined)
  assert.equal(
    changes(trie, trie.changes - 1024),
    Array.from({ length: 1024 }, (_, index) => `f${5000 - 1024 + index}`),
  )
})

test('names and filters of 65,536 levels are no danger', () => {
  const deep = '/'.repeat(65535)
  const trie = trieOf(deep, '#', '+/#', `${'+/'.repeat(32767)}+`)
  assert.equal(matches(trie, deep), ['#', '+/#', deep])
  assert.equal(matches(trie, '/'.repeat(32767)), ['#', '+/#', `${'+/'.repeat(32767)}+`].sort())
  trie.remove(trie.get(deep)!)
  assert.is(trie.get(deep), undefined)
  assert.is(trie.size, 3)
})

test('many children under one node are found, one by one taken out, and found again', () => {
  const trie = new TopicTrie<unknown>()
  for (let index = 0; index < 500; index++) trie.insert(`a/${index}`)
  for (let index = 0; index < 500; index++) assert.equal(matches(trie, `a/${index}`), [`a/${index}`])
  for (let index = 0; index < 495; index++) trie.remove(trie.get(`a/${index}`)!)
  for (let index = 0; index < 500; index++) assert.is(matches(trie, `a/${index}`).length, index < 495 ? 0 : 1)
  for (let index = 495; index < 499; index++) trie.remove(trie.get(`a/${index}`)!)
  assert.equal(matches(trie, 'a/499'), ['a/499'])
  assert.is(trie.size, 1)
})

test('a walk that was cut short by nothing leaves nothing of it behind', () => {
  const trie = trieOf('a/b/c/d', '+/b/c/d', 'a/+/c/d', 'a/b/+/d')
  assert.equal(matches(trie, 'a/b/c'), [])
  assert.equal(matches(trie, 'x/y'), [])
  assert.equal(matches(trie, 'a/b/c/d').length, 4)
})

/** Makes every node of a trie tell when it is looked at. Returns how many are looked at by a match. */
function watched(trie: TopicTrie<unknown>): (topicName: string) => number {
  const nodes = new Set<FilterNode<unknown>>()
  for (const leaf of trie) {
    for (let node: FilterNode<unknown> | undefined = leaf; node && !nodes.has(node); node = node.parent) nodes.add(node)
  }
  const seen = new Set<FilterNode<unknown>>()
  for (const node of nodes) {
    for (const name of ['level', 'filter', 'children', 'plus', 'hash'] as const) {
      const value = node[name]
      Object.defineProperty(node, name, {
        get: () => {
          seen.add(node)
          return value
        },
      })
    }
  }
  return (topicName) => {
    seen.clear()
    trie.match(topicName, [])
    return seen.size
  }
}

test('filters that do not match cost a match nothing: as many nodes looked at among 30,000 filters as among 300', () => {
  const three = (names: readonly string[], to: number): string[] =>
    names.flatMap((name) => Array.from({ length: to }, (_, n) => `${name}/device${n}/sensor${n % 10}`))
  const wild = ['#', '+/+/+', 'site1/#', 'site2/+/sensor2', '+/device5/#', 'site1/device5/+']
  const sites = (count: number): string[] => Array.from({ length: count }, (_, n) => `site${n}`)
  const few = watched(trieOf(...wild, ...three(sites(10), 30)))
  const many = watched(trieOf(...wild, ...three(sites(100), 300)))
  for (const name of [
    'site1/device5/sensor5',
    'site2/device2/sensor2',
    'site9/device29/sensor9',
    'site1/none',
    'none/none/none',
  ]) {
    assert.is(many(name), few(name), name)
    assert.ok(many(name) < 20, `${many(name)} nodes for ${name}`)
  }
})

test('any sequence of births and deaths matches as the naive matcher does, and is told exactly', () => {
  const level = fc.constantFrom(
    'a',
    'b',
    '',
    '$x',
    'long level of its own',
    '1',
    '2',
    '3',
    '4',
    '5',
    '6',
    '7',
    '8',
    '9',
  )
  const name = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
  const filter = fc
    .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([levels, hash]) => (hash ? [...levels.slice(1), '#'] : levels).join('/'))
    .filter((text) => text !== '')
  const action = fc.tuple(fc.constantFrom('insert', 'insert', 'insert', 'remove'), filter, fc.nat())
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 150, size: 'max' }),
      fc.array(
        name.filter((text) => text !== ''),
        { minLength: 1, maxLength: 20 },
      ),
      (actions, names) => {
        const trie = new TopicTrie<string>()
        const model = new Set<string>()
        const told: string[] = []
        for (const [kind, text, pick] of actions) {
          if (kind === 'insert') {
            if (!model.has(text)) told.push(text)
            model.add(text)
            trie.insert(text).value = text
          } else if (model.size > 0) {
            const victim = [...model][pick % model.size]
            model.delete(victim)
            told.push(victim)
            trie.remove(trie.get(victim)!)
          }
        }
        assert.is(trie.size, model.size)
        assert.is(trie.changes, told.length)
        assert.equal(changes(trie, 0), told)
        assert.equal([...trie].map((node) => node.value).sort(), [...model].sort())
        for (const each of names) {
          assert.equal(matches(trie, each), [...model].filter((text) => naiveMatch(text, each)).sort())
        }
      },
    ),
    { numRuns: 400 },
  )
})

test('a level that outlives its filter does not keep the filter’s text alive', () => {
  const trie = new TopicTrie<unknown>()
  const before = heapUsed()
  for (let index = 0; index < 300; index++) {
    const shared = `a level long enough for a slice ${index}`
    const long = trie.insert(Buffer.from(`${shared}/${'x'.repeat(60_000)}`).toString())
    trie.insert(Buffer.from(`${shared}/y`).toString())
    trie.remove(long)
  }
  // The ring of changes names the last 1,024 births and deaths; these are newer.
  for (let index = 0; index < 1024; index++) trie.remove(trie.insert('z'))
  assert.ok(heapUsed() - before < 2_000_000)
  assert.is(trie.size, 300)
})

test('a three-level filter takes at most 500 bytes, and all of it comes back', () => {
  const scale = 20_000 // a million: test/long/filters.test.ts
  const shapes: ((index: number) => string)[] = [(i) => `site/${i}/temp`, (i) => `a${i % 1000}/b${i}/c`]
  for (const shape of shapes) {
    const trie = new TopicTrie<unknown>()
    const before = heapUsed()
    for (let index = 0; index < scale; index++) trie.insert(Buffer.from(shape(index)).toString())
    const each = (heapUsed() - before) / scale
    assert.ok(each <= 500, `${each} bytes a filter`)
    for (let index = 0; index < scale; index += 997) assert.equal(matches(trie, shape(index)), [shape(index)])
    removeAll(trie)
    const left = heapUsed() - before
    assert.ok(left < 2_000_000, `${left} bytes left`)
  }
})

test.run()
