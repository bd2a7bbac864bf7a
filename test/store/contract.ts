// What every DurableStore promises, as a test suite: a new store is one file, one call of `storeContract`, and its own
// tests for what only it does. The caller's `make` returns a store on fresh, empty ground, and a way to a second one on the
// same ground, as the next process would open it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DurableStore, JournalRecord } from '../../src/store/durable-store.ts'

export interface Ground {
  /** The store under test, not yet open. */
  store: DurableStore
  /** The same journal as the next process sees it, not yet open. Called after `store` was closed. */
  next(): DurableStore
}

const BYTES = Uint8Array.from([0, 1, 127, 128, 255])
const NONE = new Uint8Array(0)

/** One of each kind, with values at the edges. */
export const everyRecord: readonly JournalRecord[] = [
  { type: 'session-opened', clientId: 'c', protocolVersion: 4, expiryInterval: Infinity },
  { type: 'session-opened', clientId: 'ключ\u{1F426}', protocolVersion: 5, expiryInterval: 0xfffffffe },
  {
    type: 'subscription-set',
    clientId: 'c',
    topicFilter: '$share/group/a/+/#',
    qos: 2,
    noLocal: false,
    retainAsPublished: true,
    retainHandling: 2,
    subscriptionIdentifier: 268_435_455,
  },
  {
    type: 'message-stored',
    message: 1,
    topicName: 'a/b',
    payload: BYTES,
    qos: 2,
    at: 1_790_000_000_000,
    expiresAt: Infinity,
    properties: NONE,
  },
  {
    type: 'message-stored',
    message: Number.MAX_SAFE_INTEGER,
    topicName: '/',
    payload: NONE,
    qos: 0,
    at: 1_790_000_000_000,
    expiresAt: 1_790_000_001_000,
    properties: BYTES,
  },
  {
    type: 'message-queued',
    clientId: 'c',
    message: 1,
    qos: 1,
    retain: true,
    subscriptionIdentifiers: [1, 268_435_455],
  },
  {
    type: 'message-sent',
    clientId: 'c',
    message: 1,
    packetId: 65535,
    qos: 2,
    retain: false,
    subscriptionIdentifiers: [],
    group: undefined,
  },
  {
    type: 'message-sent',
    clientId: 'c',
    message: 1,
    packetId: 7,
    qos: 1,
    retain: false,
    subscriptionIdentifiers: [3],
    group: '\0$share/group/a/+/#',
  },
  { type: 'message-received', clientId: 'c', packetId: 65535 },
  { type: 'message-acknowledged', clientId: 'c', packetId: 65535 },
  { type: 'message-dropped', clientId: 'c', message: 1 },
  { type: 'inbound-added', clientId: 'c', packetId: 1 },
  { type: 'inbound-released', clientId: 'c', packetId: 1 },
  { type: 'retained-set', topicName: 'a/b', message: 1 },
  { type: 'retained-removed', topicName: 'a/b' },
  {
    type: 'will-set',
    clientId: 'c',
    topicName: 'gone',
    payload: BYTES,
    qos: 1,
    retain: true,
    delayInterval: 0xffffffff,
    expiryInterval: Infinity,
    properties: BYTES,
    username: undefined,
    at: undefined,
  },
  {
    type: 'will-set',
    clientId: 'd',
    topicName: 'gone',
    payload: BYTES,
    qos: 1,
    retain: true,
    delayInterval: 5,
    expiryInterval: 7,
    properties: BYTES,
    username: 'jürgen',
    at: 1_790_000_000_000,
  },
  { type: 'will-removed', clientId: 'c' },
  { type: 'subscription-removed', clientId: 'c', topicFilter: '$share/group/a/+/#' },
  { type: 'session-left', clientId: 'c', at: 1_790_000_000_000, expiryInterval: 0 },
  { type: 'session-removed', clientId: 'c' },
]

async function recovered(store: DurableStore): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  for await (const record of store.recover()) records.push(record)
  return records
}

function received(packetId: number): JournalRecord {
  return { type: 'message-received', clientId: 'c', packetId }
}

/** Runs the suite under `name`. */
export function storeContract(name: string, make: () => Promise<Ground> | Ground): void {
  const test = suite(name)

  test('a new store recovers nothing', async () => {
    const { store } = await make()
    await store.open()
    assert.equal(await recovered(store), [])
    await store.close()
  })

  test('what was committed is recovered in order, every kind of record as it was; a volatile store recovers nothing', async () => {
    const { store, next } = await make()
    await store.open()
    await store.commit(everyRecord.slice(0, 3))
    await store.commit([])
    for (const record of everyRecord.slice(3)) await store.commit([record])
    await store.close()
    const later = next()
    await later.open()
    assert.equal(await recovered(later), store.volatile ? [] : everyRecord)
    await later.close()
  })

  test('commits begun one after the other, none waited for, resolve and are recovered in that order', async () => {
    const { store, next } = await make()
    await store.open()
    const resolved: number[] = []
    const commits = Array.from({ length: 50 }, (_, index) =>
      store.commit([received(index), received(1000 + index)]).then(() => resolved.push(index)),
    )
    await Promise.all(commits)
    const order = Array.from({ length: 50 }, (_, index) => index)
    assert.equal(resolved, order)
    await store.close()
    const later = next()
    await later.open()
    const expected = order.flatMap((index) => [received(index), received(1000 + index)])
    assert.equal(await recovered(later), store.volatile ? [] : expected)
    await later.close()
  })

  test('closing waits for the commits begun, and closing twice is no fault', async () => {
    const { store, next } = await make()
    await store.open()
    let committed = false
    const commit = store.commit([received(1)]).then(() => {
      committed = true
    })
    await store.close()
    await commit
    assert.ok(committed)
    await store.close()
    const later = next()
    await later.open()
    assert.equal(await recovered(later), store.volatile ? [] : [received(1)])
    await later.close()
  })

  test('the batch and its bytes are the caller’s again once the commit has resolved', async () => {
    const { store, next } = await make()
    await store.open()
    const payload = Uint8Array.from([1, 2, 3])
    const stored = { ...everyRecord[3], payload } as JournalRecord
    const batch = [stored]
    await store.commit(batch)
    payload.fill(0xa5)
    batch[0] = received(7)
    await store.close()
    const later = next()
    await later.open()
    const expected = { ...everyRecord[3], payload: Uint8Array.from([1, 2, 3]) }
    assert.equal(await recovered(later), store.volatile ? [] : [expected])
    await later.close()
  })

  test('what one process leaves and the next one adds is recovered by the third', async () => {
    const { store, next } = await make()
    await store.open()
    await store.commit([received(1)])
    await store.close()
    const second = next()
    await second.open()
    await recovered(second)
    await second.commit([received(2)])
    await second.close()
    const third = next()
    await third.open()
    assert.equal(await recovered(third), store.volatile ? [] : [received(1), received(2)])
    await third.close()
  })

  test.run()
}
