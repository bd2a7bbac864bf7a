// Batches, tickets and who waits for which: the journal with a store that commits when told.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Journal, type JournalWaiter } from '../../src/broker/journal.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { ManualClock } from '../../src/timers/clock.ts'
import { SlowStore } from '../support/slow-store.ts'
import { Rig } from './rig.ts'

class Waiter implements JournalWaiter {
  readonly told: string[] = []

  handleStored(ticket: number): void {
    this.told.push(`stored ${ticket}`)
  }

  handleNotStored(ticket: number): void {
    this.told.push(`not stored ${ticket}`)
  }
}

async function setup(): Promise<{ journal: Journal; store: SlowStore; waiter: Waiter; failures: unknown[] }> {
  const store = new SlowStore()
  await store.open()
  const failures: unknown[] = []
  const journal = new Journal(store, new ManualClock(), (error) => failures.push(error))
  const waiter = new Waiter()
  journal.wait(waiter)
  return { journal, store, waiter, failures }
}

/** Lets promises settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('all that one call collects is one batch, and what comes meanwhile is the next', async () => {
  const { journal, store, waiter } = await setup()
  journal.unsubscribed('a', 'x')
  journal.unsubscribed('a', 'y')
  assert.is(store.batches.length, 0)
  await settled()
  assert.equal(
    store.batches.map(({ length }) => length),
    [2],
  )
  journal.unsubscribed('b', 'x')
  await settled()
  journal.unsubscribed('c', 'x')
  await settled()
  assert.is(store.batches.length, 1)
  store.release()
  await settled()
  assert.equal(
    store.batches.map(({ length }) => length),
    [2, 2],
  )
  store.release()
  await settled()
  assert.equal(waiter.told, ['stored 1', 'stored 2'])
})

test('a packet waits for what its own handling collected, and only for that', async () => {
  const { journal, store } = await setup()
  journal.begin()
  assert.is(journal.mustWait, false)
  journal.unsubscribed('a', 'x')
  assert.is(journal.mustWait, true)
  assert.is(journal.openTicket, 1)
  journal.begin()
  assert.is(journal.mustWait, false)
  store.release()
})

test('what comes after the call that collected has nothing to wait for: no packet, a deadline, a hook’s answer', async () => {
  const { journal, store } = await setup()
  journal.begin()
  journal.unsubscribed('a', 'x')
  await settled()
  assert.is(journal.mustWait, false)
  // Also while a commit is under way and the batch is not empty.
  journal.begin()
  journal.unsubscribed('b', 'x')
  await settled()
  assert.is(store.waiting, 1)
  assert.is(journal.mustWait, false)
})

test('a batch that failed is told as not stored, and the next is committed', async () => {
  const { journal, store, waiter, failures } = await setup()
  journal.unsubscribed('a', 'x')
  await settled()
  journal.unsubscribed('b', 'x')
  store.fail()
  await settled()
  assert.equal(waiter.told, ['not stored 1'])
  assert.is(failures.length, 1)
  assert.is(store.waiting, 1)
  store.release()
  await settled()
  assert.equal(waiter.told, ['not stored 1', 'stored 2'])
  assert.equal(store.stored, [{ type: 'subscription-removed', clientId: 'b', topicFilter: 'x' }])
})

test('settle waits for everything collected, and does not wait for ever on a store that fails', async () => {
  const { journal, store, failures } = await setup()
  journal.unsubscribed('a', 'x')
  let over = false
  const settling = journal.settle().then(() => {
    over = true
  })
  await settled()
  journal.unsubscribed('b', 'x')
  store.fail()
  await settled()
  assert.is(over, false)
  store.fail()
  await settling
  assert.is(failures.length, 2)
})

test('who was forgotten is told nothing any more', async () => {
  const { journal, store, waiter } = await setup()
  journal.unsubscribed('a', 'x')
  journal.forget(waiter)
  await settled()
  store.release()
  await settled()
  assert.equal(waiter.told, [])
})

test('with a volatile store nothing is collected and nobody waits', async () => {
  const journal = new Journal(new MemoryStore(), new ManualClock(), () => {})
  journal.begin()
  journal.unsubscribed('a', 'x')
  journal.sessionRemoved('a')
  journal.willRemoved('a')
  assert.is(journal.mustWait, false)
  await journal.settle()
})

test('a message is stored once, before the first record that names it, whoever refers to it', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store })
  const options = { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
  const sessions = ['a', 'b'].map((clientId) => rig.connected(clientId, { expiry: 10 }))
  for (const session of sessions) session.subscribe('t', options, 0)
  sessions[1]!.detach()
  rig.publish('t', 'hello', { qos: 1 })
  assert.ok(sessions[0]!.acknowledged(1))
  rig.attach(sessions[1]!)
  await settled()
  const told = store.records.map((record) => `${record.type}${'message' in record ? ` ${record.message}` : ''}`)
  assert.equal(told, [
    'subscription-set',
    'subscription-set',
    'message-stored 1',
    'message-sent 1',
    'message-queued 1',
    'message-acknowledged',
    'message-sent 1',
  ])
  const stored = store.records.find((record) => record.type === 'message-stored')
  assert.is(Buffer.from(stored!.payload).toString(), 'hello')
})

test('sessions that end with their connection append nothing', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const rig = new Rig({ store })
  const session = rig.connected('a')
  session.subscribe('t', { qos: 2, noLocal: false, retainAsPublished: false, subscriptionId: 0 }, 0)
  rig.publish('t', 'x', { qos: 2 })
  session.received(1, 0)
  session.completed(1)
  session.unsubscribe('t')
  rig.context.sessions.left(session)
  await settled()
  assert.equal(store.records, [])
})

test.run()
