// Compaction: what is left means the same as what was there, wherever the journal is cut into segments and however often.

import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../src/store/durable-store.ts'
import { JournalStore, type StoreEvent } from '../../src/store/journal-store.ts'
import { Model } from './model.ts'
import { recordBatches } from './random-records.ts'
import { freshDirectory, opened, publication, session } from './support.ts'

function meaning(records: Iterable<JournalRecord>): unknown {
  return new Model(records).state()
}

test('whatever was committed and wherever it was compacted, the state recovered is that of a model', async () => {
  await fc.assert(
    fc.asyncProperty(recordBatches(), fc.integer({ min: 60, max: 3000 }), async (batches, segmentBytes) => {
      const directory = freshDirectory()
      let store = await opened(new JournalStore({ directory, segmentBytes, durability: 'os' }))
      let committed: JournalRecord[] = []
      for (const [index, batch] of batches.entries()) {
        await store.commit(batch)
        committed = committed.concat(batch)
        if (index % 9 !== 8) continue
        await store.compacted()
        await store.close()
        store = await opened(new JournalStore({ directory, segmentBytes, durability: 'os' }))
        assert.equal(meaning(store.recovered), meaning(committed))
      }
      await store.compacted()
      await store.close()
      store = await opened(new JournalStore({ directory, segmentBytes, durability: 'os' }))
      await store.close()
      assert.equal(meaning(store.recovered), meaning(committed))
    }),
    { numRuns: 15 },
  )
})

test('acknowledged messages leave the disk, and numbers given out stay known', async () => {
  const directory = freshDirectory()
  const events: StoreEvent[] = []
  const options = { directory, segmentBytes: 4000, onEvent: (event: StoreEvent) => events.push(event) }
  const store = await opened(new JournalStore(options))
  await store.commit([session()])
  for (let message = 1; message <= 200; message++) {
    await store.commit(publication(message, 'c', new Uint8Array(100)))
    await store.commit([{ type: 'message-dropped', clientId: 'c', message }])
  }
  await store.compacted()
  assert.ok(events.some(({ kind }) => kind === 'compacted'))
  assert.ok(events.every(({ kind }) => kind === 'compacted'))
  assert.ok(store.metrics.checkpointBytes < 200)
  assert.ok(store.metrics.segmentBytes <= 8000)
  await store.close()
  const next = await opened(new JournalStore(options))
  assert.equal(meaning(next.recovered), meaning([session()]))
  assert.is(next.newestMessage, 200)
  await next.close()
  assert.is(readdirSync(directory).filter((name) => name.endsWith('.checkpoint')).length, 1)
})

test('a message many sessions wait for stays until the last of them has it', async () => {
  const directory = freshDirectory()
  const options = { directory, segmentBytes: 100 }
  const store = await opened(new JournalStore(options))
  const batches: JournalRecord[][] = [
    [session('a'), session('b')],
    [
      ...publication(1, 'a', new Uint8Array(50)),
      { type: 'message-queued', clientId: 'b', message: 1, qos: 2, retain: false, subscriptionIdentifiers: [7] },
    ],
    [{ type: 'session-removed', clientId: 'a' }],
  ]
  for (let index = 0; index < 30; index++) batches.push([{ type: 'inbound-added', clientId: 'b', packetId: 1 }])
  for (const batch of batches) await store.commit(batch)
  await store.compacted()
  await store.close()
  const next = await opened(new JournalStore(options))
  assert.ok(next.recovered.some((record) => record.type === 'message-stored' && record.payload.length === 50))
  assert.equal(meaning(next.recovered), meaning(batches.flat()))
  await next.close()
})

test('two queue entries of one message keep their places when one of them goes', async () => {
  const directory = freshDirectory()
  const options = { directory, segmentBytes: 100 }
  const store = await opened(new JournalStore(options))
  const queued = (message: number, retain: boolean): JournalRecord => {
    return { type: 'message-queued', clientId: 'c', message, qos: 1, retain, subscriptionIdentifiers: [] }
  }
  const records: JournalRecord[] = [
    session(),
    ...publication(1),
    ...publication(2),
    queued(1, true),
    { type: 'message-dropped', clientId: 'c', message: 1 },
    queued(1, false),
    { type: 'message-dropped', clientId: 'c', message: 1 },
  ]
  for (const record of records) await store.commit([record])
  for (let index = 0; index < 30; index++) await store.commit([{ type: 'inbound-added', clientId: 'c', packetId: 1 }])
  await store.compacted()
  await store.close()
  const next = await opened(new JournalStore(options))
  assert.equal(meaning(next.recovered), meaning([...records, { type: 'inbound-added', clientId: 'c', packetId: 1 }]))
  await next.close()
})

test.run()
