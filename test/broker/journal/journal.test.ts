// Batches, tickets and who waits for which: the journal with a store that commits when told.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Journal } from '../../../src/broker/journal/journal.ts'
import type { JournalWaiter } from '../../../src/broker/journal/journal-commits.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import { ManualClock } from '../../../src/timers/clock.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig } from '../rig.ts'

class Waiter implements JournalWaiter {
  readonly told: string[] = []

  handleStored(ticket: number): void {
    this.told.push(`stored ${ticket}`)
  }
}

async function setup(): Promise<{ journal: Journal; store: SlowStore; waiter: Waiter; failures: unknown[] }> {
  const store = new SlowStore()
  await store.open()
  const failures: unknown[] = []
  const journal = new Journal({
    store,
    clock: new ManualClock(),
    limit: 1 << 20,
    failed: (error) => failures.push(error),
    recovered: () => {},
  })
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

test('after a failure nothing is handed over until the store works again, and then everything is stored in order', async () => {
  const { journal, store, waiter, failures } = await setup()
  journal.unsubscribed('a', 'x')
  await settled()
  journal.unsubscribed('b', 'x')
  store.fail()
  await settled()
  assert.is(failures.length, 1)
  assert.ok(journal.isFailing && journal.isBlocked)
  assert.is(store.waiting, 0)
  journal.retry()
  store.fail()
  await settled()
  assert.ok(journal.isFailing)
  journal.retry()
  store.release()
  await settled()
  assert.not(journal.isFailing)
  assert.equal(waiter.told, ['stored 1'])
  store.release()
  await settled()
  assert.equal(waiter.told, ['stored 1', 'stored 2'])
  assert.equal(
    store.stored.map((record) => 'clientId' in record && record.clientId),
    ['a', 'b'],
  )
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
  await settling
  assert.is(over, true)
  assert.is(failures.length, 1)
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
  const journal = new Journal({
    store: new MemoryStore(),
    clock: new ManualClock(),
    limit: 1 << 20,
    failed: () => {},
    recovered: () => {},
  })
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
  await settled()
  assert.ok(sessions[0]!.acknowledged(1))
  rig.attach(sessions[1]!)
  await settled()
  const told = store.records
    .slice(2)
    .map((record) => `${record.type}${'message' in record ? ` ${record.message}` : ''}`)
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

test('a QoS 1 message that all its receivers acknowledge before its batch is handed over leaves the batch', async () => {
  const store = new SlowStore()
  await store.open()
  const rig = new Rig({ store })
  const options = { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
  const sessions = ['a', 'b'].map((clientId) => rig.connected(clientId, { expiry: 10 }))
  for (const session of sessions) session.subscribe('t', options, 0)
  await store.commitsWaiting()
  // A commit is under way: the next batch collects.
  const { journal } = rig.context
  const early: string[] = []
  rig.reactor.turn(() => {
    journal.begin()
    const publication = rig.inbox('t', 'hello', { qos: 1 })
    rig.context.router.publish(publication)
    journal.onlyMessage(publication.message)!.waiting = { releaseEarly: () => early.push('released') }
    publication.drop()
  })
  rig.publish('t', 'stays', { qos: 1 })
  assert.ok(sessions[0]!.acknowledged(1))
  assert.equal(early, [])
  assert.ok(sessions[1]!.acknowledged(1))
  assert.equal(early, ['released'])
  assert.ok(sessions[1]!.acknowledged(2))
  store.automatic = true
  store.release()
  await settled()
  const told = store.records.slice(4).map(({ type }) => type)
  assert.equal(told, ['message-stored', 'message-sent'])
  assert.is(rig.reactor.frames.size, 1)
})

test('what a message is stored for besides its receivers keeps it in the batch: RETAIN, QoS 2, an absent session', async () => {
  const store = new SlowStore()
  await store.open()
  const rig = new Rig({ store })
  const options = { qos: 2, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
  const sessions = ['a', 'b'].map((clientId) => rig.connected(clientId, { expiry: 10 }))
  for (const session of sessions) session.subscribe(`${session.clientId}/#`, options, 0)
  sessions[0]!.subscribe('b/away', options, 0)
  sessions[1]!.detach()
  await store.commitsWaiting()
  rig.publish('a/2', 'two', { qos: 2 })
  sessions[0]!.received(1, 0)
  sessions[0]!.completed(1)
  rig.publish('b/away', 'away', { qos: 1 })
  assert.ok(sessions[0]!.acknowledged(2))
  store.automatic = true
  store.release()
  await settled()
  const told = store.records.slice(5).map(({ type }) => type)
  assert.equal(told, [
    'message-stored',
    'message-sent',
    'message-received',
    'message-acknowledged',
    'message-stored',
    'message-queued',
  ])
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
