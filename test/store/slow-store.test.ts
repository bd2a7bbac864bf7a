// The store that other tests lean on keeps the contract itself, and does what a test tells it.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../src/store/durable-store.ts'
import { SlowStore } from '../support/slow-store.ts'
import { storeContract } from './contract.ts'

storeContract('SlowStore', () => {
  const store = new SlowStore({ automatic: true })
  return { store, next: () => store }
})

function added(packetId: number): JournalRecord {
  return { type: 'inbound-added', clientId: 'c', packetId }
}

test('a commit resolves when the test releases it, and not before', async () => {
  const store = new SlowStore()
  await store.open()
  const done: number[] = []
  const first = store.commit([added(1)]).then(() => done.push(1))
  const second = store.commit([added(2)]).then(() => done.push(2))
  await store.commitsWaiting(2)
  assert.is(store.waiting, 2)
  assert.equal(done, [])
  assert.is(store.release(), 1)
  await first
  assert.equal(done, [1])
  assert.equal(store.stored, [added(1)])
  assert.is(store.release(5), 1)
  await second
  assert.equal(store.batches, [[added(1)], [added(2)]])
  assert.equal(store.records, [added(1), added(2)])
})

test('a commit that fails stores nothing', async () => {
  const store = new SlowStore()
  await store.open()
  const failing = store.commit([added(1)]).catch((error: Error) => error.message)
  assert.is(store.fail(new Error('disk on fire')), true)
  assert.is(await failing, 'disk on fire')
  assert.equal(store.stored, [])
  assert.is(store.fail(), false)
})

test('a crash keeps what was stored and forgets what was waiting', async () => {
  const store = new SlowStore()
  await store.open()
  const stored = store.commit([added(1)])
  void store.commit([added(2)])
  store.release()
  await stored
  store.crash()
  await store.open()
  const records: JournalRecord[] = []
  for await (const record of store.recover()) records.push(record)
  assert.equal(records, [added(1)])
})

test('a store that is not open refuses commits', async () => {
  const store = new SlowStore()
  const refusal = await store.commit([added(1)]).catch((error: Error) => error.message)
  assert.is(refusal, 'the store is not open')
})

test.run()
