// What a crash or a bad disk leaves of a file, byte by byte: a commit is there whole or not at all, what came before it is
// there, the store opens, and what was cut off is kept.

import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../src/store/durable-store.ts'
import { JournalStore, type StoreEvent } from '../../src/store/journal-store.ts'
import { freshDirectory, opened, publication, readBack, session } from './support.ts'

const SEGMENT = '0000000001.journal'

/** A store with these commits in one segment; tells where each of them ends in the file. */
async function written(commits: readonly (readonly JournalRecord[])[]): Promise<{ directory: string; ends: number[] }> {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  const ends: number[] = []
  for (const commit of commits) {
    await store.commit(commit)
    ends.push(statSync(join(directory, SEGMENT)).size)
  }
  await store.close()
  return { directory, ends }
}

const commits = [[session()], publication(1), [...publication(2), ...publication(3)], publication(4)]

function copyOf(directory: string): string {
  const copy = freshDirectory()
  cpSync(directory, copy, { recursive: true })
  return copy
}

test('cut at any byte, a segment gives back exactly the commits that are whole, and the rest is kept aside', async () => {
  const { directory, ends } = await written(commits)
  const size = ends.at(-1)!
  for (let cut = ends[0]!; cut < size; cut++) {
    const copy = copyOf(directory)
    truncateSync(join(copy, SEGMENT), cut)
    const events: StoreEvent[] = []
    const whole = ends.filter((end) => end <= cut).length
    const records = await readBack(copy, { onEvent: (event) => events.push(event) })
    assert.equal(records, commits.slice(0, whole).flat(), `cut at ${cut}`)
    const torn = cut !== ends[whole - 1]
    assert.equal(
      events.map(({ kind }) => kind),
      torn ? ['torn-tail'] : [],
      `cut at ${cut}`,
    )
    if (!torn) continue
    const good = ends[whole - 1]!
    const kept = readFileSync(join(copy, `0000000001-${good}.damaged`))
    assert.equal(kept, readFileSync(join(directory, SEGMENT)).subarray(good, cut))
    assert.is(statSync(join(copy, SEGMENT)).size, good)
  }
})

test('a bit that turned anywhere in the last commit costs that commit and nothing else', async () => {
  const { directory, ends } = await written(commits)
  const bytes = readFileSync(join(directory, SEGMENT))
  const copy = copyOf(directory)
  for (let at = ends.at(-2)!; at < ends.at(-1)!; at++) {
    const damaged = Buffer.from(bytes)
    damaged[at]! ^= 1 << (at % 8)
    writeFileSync(join(copy, SEGMENT), damaged)
    const records = await readBack(copy)
    assert.equal(records, commits.slice(0, -1).flat(), `byte ${at}`)
  }
})

test('cut within its header, a segment is as if it had never been begun', async () => {
  const { directory } = await written(commits)
  for (const cut of [0, 1, 39]) {
    const copy = copyOf(directory)
    truncateSync(join(copy, SEGMENT), cut)
    assert.equal(await readBack(copy), [])
    assert.equal(
      readdirSync(copy).filter((name) => !name.endsWith('.damaged')),
      [],
    )
  }
})

test('zeros where the last commit should be, as file systems leave them after a power loss, are a torn tail', async () => {
  const { directory, ends } = await written(commits)
  const path = join(directory, SEGMENT)
  writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(5000)]))
  assert.equal(await readBack(directory), commits.flat())
  assert.is(statSync(path).size, ends.at(-1))
})

test('after a torn tail the store takes commits, and the next process sees both sides of it', async () => {
  const { directory, ends } = await written(commits)
  truncateSync(join(directory, SEGMENT), ends.at(-1)! - 1)
  const store = await opened(new JournalStore({ directory }))
  await store.commit(publication(5))
  await store.close()
  assert.equal(await readBack(directory), [...commits.slice(0, -1).flat(), ...publication(5)])
})

test('damage in the middle of the journal costs the rest of that segment; the segments behind it are read', async () => {
  const { directory, ends } = await written(commits)
  const store = await opened(new JournalStore({ directory }))
  await store.commit(publication(5))
  await store.close()
  const path = join(directory, SEGMENT)
  const bytes = readFileSync(path)
  bytes[ends[1]! + 20]! ^= 0xff
  writeFileSync(path, bytes)
  const events: StoreEvent[] = []
  const records = await readBack(directory, { onEvent: (event) => events.push(event) })
  assert.equal(records, [...commits.slice(0, 2).flat(), ...publication(5)])
  assert.equal(
    events.map(({ kind }) => kind),
    ['damaged'],
  )
})

test('a frame copied into another segment is not taken for one of its own', async () => {
  const { directory, ends } = await written(commits)
  const store = await opened(new JournalStore({ directory }))
  await store.commit(publication(5))
  await store.close()
  const first = readFileSync(join(directory, SEGMENT))
  const path = join(directory, '0000000002.journal')
  writeFileSync(path, Buffer.concat([readFileSync(path), first.subarray(ends[0]!)]))
  assert.equal(await readBack(directory), [...commits.flat(), ...publication(5)])
})

test('bytes of a stranger under a segment’s name do not keep the store from opening', async () => {
  const directory = freshDirectory()
  mkdirSync(directory)
  writeFileSync(join(directory, SEGMENT), 'x'.repeat(1000))
  const store = await opened(new JournalStore({ directory }))
  await store.commit([session()])
  await store.close()
  assert.equal(await readBack(directory), [session()])
})

test.run()
