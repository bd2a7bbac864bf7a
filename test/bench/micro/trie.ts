// The topic trie with 1,000,000 Topic Filters of three levels: bytes each, and whether matching pays for the filters
// that do not match. Stands with the tests because bench/ judges brokers from outside and imports nothing of one.
import { time, weigh } from '../../../bench/micro/measure.ts'
import { TopicTrie } from '../../../src/broker/routing/topic-trie.ts'

const calls = 200_000
const sites = 100
const devices = 1000
const sensors = 10
const names = Array.from(
  { length: 1000 },
  (_, i) => `site${i % sites}/device${(i * 37) % devices}/sensor${i % sensors}`,
)

type Trie = TopicTrie<undefined>
const matches: ReturnType<Trie['insert']>[] = []

function timeMatch(name: string, trie: Trie): void {
  time(name, calls, (count) => {
    let found = 0
    for (let i = 0; i < count; i++) {
      matches.length = 0
      trie.match(names[i % names.length]!, matches)
      found += matches.length
    }
    return found
  })
}

const small: Trie = new TopicTrie()
for (const name of names) small.insert(name)
timeMatch('match, 1,000 filters', small)

const large = weigh('a filter of 1,000,000, three levels', sites * devices * sensors, () => {
  const trie: Trie = new TopicTrie()
  for (let site = 0; site < sites; site++)
    for (let device = 0; device < devices; device++)
      for (let sensor = 0; sensor < sensors; sensor++) trie.insert(`site${site}/device${device}/sensor${sensor}`)
  return trie
})
timeMatch('match, 1,000,000 filters', large)

for (const filter of ['#', '+/+/+', 'site1/#', 'site2/+/sensor2']) large.insert(filter)
timeMatch('match, 1,000,000 filters, four with wildcards', large)

time('insert and remove', calls, (count) => {
  for (let i = 0; i < count; i++) large.remove(large.insert(`site${i % sites}/device${i % devices}/gone${i % 100}`))
  return large.size
})
