// What the embedded journal promises beyond the contract of every store.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../src/store/durable-store.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import { everyRecord, storeContract } from './contract.ts'
import { freshDirectory, opened, publication, readBack, session } from './support.ts'

for (const durability of ['fsync', 'os', 'none'] as const) {
  storeContract(`JournalStore, durability ${durability}`, () => {
    const options = { directory: freshDirectory(), durability }
    return { store: new JournalStore(options), next: () => new JournalStore(options) }
  })
}

test('commits that come while one is written share the next write', async () => {
  const store = await opened(new JournalStore({ directory: freshDirectory() }))
  await Promise.all(Array.from({ length: 100 }, (_, index) => store.commit(publication(index + 1))))
  assert.is(store.metrics.commits, 100)
  assert.is(store.metrics.groups, 2)
  await store.close()
})

test('a journal of many segments is recovered in order, names and all', async () => {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory, segmentBytes: 200 }))
  const expected: JournalRecord[] = [session('a'), session('b')]
  await store.commit(expected)
  for (let message = 1; message <= 60; message++) {
    const records = publication(message, message % 3 === 0 ? 'b' : 'a', new Uint8Array(message))
    expected.push(...records)
    const commit = store.commit(records)
    if (message % 4 === 0) await commit
  }
  await store.close()
  assert.equal(await readBack(directory), expected)
})

test('a message larger than the write buffers comes back as it was', async () => {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  const payload = new Uint8Array(9_000_001).map((_, index) => index * 31)
  await store.commit(publication(1, 'c', payload))
  await store.commit(publication(2))
  await store.close()
  const records = await readBack(directory)
  assert.is(records.length, 4)
  const [stored] = records
  assert.ok(stored?.type === 'message-stored' && Buffer.from(stored.payload).equals(payload))
})

test('the newest wall time and message number are known before and after a restart', async () => {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  assert.is(store.newestWallTime, -Infinity)
  assert.is(store.newestMessage, 0)
  await store.commit(everyRecord)
  const later = 1_790_000_000_000
  assert.is(store.newestWallTime, later)
  assert.is(store.newestMessage, Number.MAX_SAFE_INTEGER)
  await store.close()
  const next = await opened(new JournalStore({ directory }))
  assert.is(next.newestWallTime, later)
  assert.is(next.newestMessage, Number.MAX_SAFE_INTEGER)
  await next.close()
})

test('there is room until too much waits, and again when it is written', async () => {
  const store = await opened(new JournalStore({ directory: freshDirectory(), maxWaitingBytes: 1000 }))
  assert.is(store.hasRoom, true)
  const commit = store.commit(publication(1, 'c', new Uint8Array(2000)))
  assert.is(store.hasRoom, false)
  const room = store.room()
  const refused = await store.commit([session()]).catch((error) => error.reason)
  assert.is(refused, 'backlog')
  await commit
  await room
  assert.is(store.hasRoom, true)
  await store.close()
})

test('a store that is not open, or holds what nobody recovered, takes no commits', async () => {
  const directory = freshDirectory()
  const store = new JournalStore({ directory })
  assert.is(await store.commit([session()]).catch((error) => error.reason), 'closed')
  await store.open()
  await store.commit([session()])
  await store.close()
  assert.is(await store.commit([session()]).catch((error) => error.reason), 'closed')
  const next = new JournalStore({ directory })
  await next.open()
  assert.is(await next.commit([session()]).catch((error) => error.message), 'the store was not recovered')
  await next.close()
})

test.run()
