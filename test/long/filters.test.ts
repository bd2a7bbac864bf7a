// Long: a million Topic Filters: what each takes, and that all of it comes back.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { TopicTrie } from '../../src/broker/routing/topic-trie.ts'
import { heapUsed } from '../support/heap-used.ts'
import { type Case, longSize, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')
const total = longSize(1_000_000)

const shapes: Record<string, (index: number) => string> = {
  'a level of their own in the middle': (index) => `site/${index}/temp`,
  'a thousand first levels': (index) => `a${index % 1000}/b${index}/c`,
}

for (const [name, filter] of Object.entries(shapes)) {
  test(`${total} three-level filters with ${name} take at most 500 bytes each, and all of it comes back`, () => {
    const trie = new TopicTrie<unknown>()
    const before = heapUsed()
    // Made from bytes, as they come from the network: a flat string of its own.
    for (let index = 0; index < total; index++) trie.insert(Buffer.from(filter(index)).toString())
    const each = (heapUsed() - before) / total
    console.log(`${each.toFixed(0)} bytes a filter`)
    assert.ok(each <= 500, `${each} bytes a filter`)
    assert.is(trie.size, total)
    for (let index = 0; index < total; index++) trie.remove(trie.insert(filter(index)))
    assert.is(trie.size, 0)
    const left = heapUsed() - before
    assert.ok(left < 2_000_000, `${left} bytes left`)
  })
}

uvu.run()
