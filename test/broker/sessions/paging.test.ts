// Long queues whose middle is on disk only: what is in memory stays a window, and everything else is as if all of it were.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { recover } from '../../../src/broker/journal/recovery.ts'
import type { Session } from '../../../src/broker/sessions/session.ts'
import type { BrokerSettings } from '../../../src/broker/settings.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig, type RigOptions } from '../rig.ts'

const WINDOW = 4
const OPTIONS = { noLocal: false, retainAsPublished: false, subscriptionId: 0 }

interface Bench {
  readonly rig: Rig
  readonly store: SlowStore
  readonly session: Session
  /** Client-side deaths asked for. */
  readonly ended: string[]
}

async function offline(settings: Partial<BrokerSettings> = {}, options: RigOptions = {}): Promise<Bench> {
  const store = new SlowStore({ automatic: true, readsBack: true })
  await store.open()
  const rig = new Rig({ store, settings, windowMessages: WINDOW, ...options })
  const session = rig.connected('a', { version: 5, expiry: 1000 })
  session.subscribe('t', { ...OPTIONS, qos: 2 }, 0)
  rig.context.sessions.left(session)
  return { rig, store, session, ended: [] }
}

/** Publishes `m0`, `m1` …, each in a batch of its own. */
async function publish({ rig }: Bench, count: number, qos: QoS = 1, from = 0, expiry?: number): Promise<void> {
  for (let at = from; at < from + count; at++) {
    rig.publish('t', `m${at}`, { qos, ...(expiry === undefined ? {} : { expiry }) })
    await rig.context.journal.settle()
  }
}

/** The client is back, acknowledges all it gets, and returns what that was. */
async function drain(bench: Bench, session = bench.session): Promise<string[]> {
  const { rig } = bench
  const got: string[] = []
  if (session.connection === undefined) {
    const connection = rig.attach(session)
    session.owner = {
      remoteAddress: '',
      takenOver: () => {},
      tooSlow: () => {},
      queueUnreadable: () => {
        bench.ended.push(session.clientId)
        if (session.connection === connection) rig.context.sessions.left(session)
      },
    }
  }
  for (let idle = 0; idle < 3; ) {
    const { written } = rig.reactor.take()
    for (const { packetId, payload, first } of written) {
      got.push(payload)
      if ((first & 6) === 2) session.acknowledged(packetId)
      else if ((first & 6) === 4) {
        session.received(packetId, 0)
        session.completed(packetId)
      }
    }
    await rig.context.journal.settle()
    await new Promise((resolve) => setImmediate(resolve))
    idle = written.length > 0 ? 0 : idle + 1
  }
  return got
}

const numbered = (count: number, from = 0): string[] => Array.from({ length: count }, (_, at) => `m${at + from}`)

for (const qos of [1, 2] as const) {
  test(`a long queue of QoS ${qos} keeps two windows of payloads in memory, and arrives whole and in order`, async () => {
    const bench = await offline({ maxInflightMessages: 3 })
    const { rig, session, store } = bench
    await publish(bench, 50, qos)
    assert.is(session.queue!.size, 50)
    assert.is(rig.counters.messagesQueued, 50)
    assert.ok(rig.reactor.kept.held <= 2 * WINDOW + 1, `${rig.reactor.kept.held} frames are held`)
    assert.is(rig.counters.messagesPaged, 50 - rig.reactor.kept.held)
    assert.is(store.reads, 0, 'nobody is there to read for')
    assert.equal(await drain(bench), numbered(50))
    assert.is(session.queue, undefined)
    assert.is(rig.counters.messagesQueued + rig.counters.bytesQueued, 0)
    assert.is(rig.counters.messagesPaged + rig.counters.bytesPaged, 0)
    assert.is(rig.reactor.kept.held, 0)
  })
}

test('messages that come while pages are read stand behind them', async () => {
  const bench = await offline({ maxInflightMessages: 2 })
  await publish(bench, 20)
  const draining = drain(bench)
  for (let at = 20; at < 30; at++) {
    await new Promise((resolve) => setImmediate(resolve))
    bench.rig.publish('t', `m${at}`, { qos: 1 })
  }
  assert.equal([...(await draining), ...(await drain(bench))], numbered(30))
})

test('a client that leaves while a page is read finds it when it is back', async () => {
  const bench = await offline({ maxInflightMessages: WINDOW })
  const { rig, session } = bench
  await publish(bench, 30)
  rig.attach(session)
  const ids = rig.reactor.take().written.map(({ packetId }) => packetId)
  for (const packetId of ids) session.acknowledged(packetId)
  rig.context.sessions.left(session)
  rig.reactor.take()
  assert.equal(await drain(bench), numbered(30 - WINDOW, WINDOW))
})

test('[MQTT-4.4.0-1] what was sent from a page and not acknowledged is sent again, with DUP, before the pages behind it', async () => {
  const bench = await offline({ maxInflightMessages: 7 })
  const { rig, session } = bench
  await publish(bench, 30)
  rig.attach(session)
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(
    rig.reactor.take().written.map(({ payload }) => payload),
    numbered(7),
  )
  rig.context.sessions.left(session)
  rig.attach(session)
  const again = rig.reactor.take().written
  assert.equal(
    again.map(({ payload, packetId, first }) => [payload, packetId, first & 8]),
    numbered(7).map((payload, at) => [payload, at + 1, 8]),
  )
  for (const { packetId } of again) session.acknowledged(packetId)
  assert.equal(await drain(bench), numbered(23, 7))
})

test('[MQTT-3.3.2-5] what expires on disk is dropped unread, and recorded', async () => {
  const bench = await offline()
  const { rig, session, store } = bench
  await publish(bench, 10)
  await publish(bench, 10, 1, 10, 5)
  await publish(bench, 10, 1, 20)
  rig.advance(6000)
  session.dropExpired(rig.clock.now())
  assert.is(session.queue!.size, 20)
  assert.is(rig.counters.droppedExpired, 10)
  assert.is(store.reads, 0)
  await rig.context.journal.settle()
  assert.is(store.records.filter(({ type }) => type === 'message-dropped').length, 10)
  assert.equal(await drain(bench), [...numbered(10), ...numbered(10, 20)])
})

test('the limit in number counts what is on disk; the newest is dropped, or the oldest, read or not', async () => {
  const newest = await offline({ maxQueuedMessages: 20 })
  await publish(newest, 30)
  assert.is(newest.rig.counters.droppedQueueFull, 10)
  assert.equal(await drain(newest), numbered(20))
  const oldest = await offline({ maxQueuedMessages: 20 }, { overload: { slowReaderPolicy: 'drop_oldest' } })
  await publish(oldest, 50)
  assert.is(oldest.rig.counters.droppedQueueFull, 30)
  assert.is(oldest.store.reads, 0)
  assert.equal(await drain(oldest), numbered(20, 30))
  assert.is(oldest.rig.counters.messagesPaged, 0)
})

test('the limit in bytes counts what is on disk; all queues together only what is in memory', async () => {
  const bench = await offline({ maxQueuedBytes: 100 }, { overload: { maxQueuedBytesTotal: 60 } })
  await publish(bench, 40) // 5 or 6 bytes each
  assert.is(bench.rig.counters.droppedMemory, 0)
  const { length } = await drain(bench)
  assert.is(length, 18)
  assert.is(bench.rig.counters.droppedQueueFull, 22)
})

test('a page that cannot be read disconnects the client, skips nothing, and is read again when it is back', async () => {
  const bench = await offline({ maxInflightMessages: 10 })
  const { rig, store, session } = bench
  await publish(bench, 30)
  store.readError = new Error('EIO')
  assert.equal(await drain(bench), numbered(WINDOW))
  assert.equal(bench.ended, ['a'])
  assert.is(session.connection, undefined)
  assert.is(rig.counters.queueReadFailures, 1)
  assert.is(rig.log.at('warn').filter(({ message }) => message.includes('cannot be read')).length, 1)
  assert.equal(await drain(bench), numbered(30 - WINDOW, WINDOW))
})

test('a message the store has lost disconnects the client too', async () => {
  const bench = await offline({ maxInflightMessages: 10 })
  await publish(bench, 30)
  const read = bench.store.readMessages.bind(bench.store)
  bench.store.readMessages = async (numbers) => (await read(numbers)).map((each, at) => (at === 2 ? undefined : each))
  assert.equal(await drain(bench), numbered(WINDOW))
  assert.equal(bench.ended, ['a'])
})

test('nothing is on disk only before the store says it is stored', async () => {
  const bench = await offline()
  bench.store.automatic = false
  for (let at = 0; at < 30; at++) bench.rig.publish('t', `m${at}`, { qos: 1 })
  await bench.store.commitsWaiting()
  assert.is(bench.rig.counters.messagesPaged, 0)
  assert.is(bench.rig.reactor.kept.held, 30)
  bench.store.automatic = true
  bench.store.release(Infinity)
  await bench.rig.context.journal.settle()
  await publish(bench, 10, 1, 30)
  assert.ok(bench.rig.counters.messagesPaged > 20)
  assert.equal(await drain(bench), numbered(40))
})

test('QoS 0 messages that wait among the others keep their place, in memory', async () => {
  const bench = await offline({ queueQos0Messages: true })
  const { rig } = bench
  for (let at = 0; at < 30; at++) await publish(bench, 1, at % 3 === 0 ? 0 : 1, at)
  assert.ok(rig.counters.messagesPaged > 10)
  assert.equal(await drain(bench), numbered(30))
  assert.is(rig.reactor.kept.held, 0)
})

test('a session that ends gives back what is in memory, and counts what was on disk', async () => {
  const bench = await offline()
  const { rig, session } = bench
  await publish(bench, 30)
  rig.context.sessions.remove(session)
  assert.is(rig.counters.droppedSessionEnded, 30)
  assert.is(rig.reactor.kept.held, 0)
  assert.is(rig.counters.messagesPaged + rig.counters.bytesPaged + rig.counters.bytesQueued, 0)
})

test('a client that takes its session back to end it with the connection still gets what is on disk', async () => {
  const bench = await offline({ maxInflightMessages: 3 })
  const { rig } = bench
  await publish(bench, 30)
  const { session } = rig.context.sessions.open('a', 5, false)
  rig.context.sessions.keep(session, 0)
  assert.equal(await drain(bench, session), numbered(30))
  await publish(bench, 3, 1, 30)
  assert.equal(await drain(bench, session), numbered(3, 30))
  rig.context.sessions.left(session)
  await rig.context.journal.settle()
  const second = await restarted(bench.store)
  assert.is(second.context.sessions.size, 0)
})

test('without persistence, or with a store that does not read back, everything stays in memory', async () => {
  const store = new SlowStore({ automatic: true })
  await store.open()
  const bench = await offline({}, { store })
  await publish({ ...bench, store }, 30)
  assert.is(bench.rig.counters.messagesPaged, 0)
  assert.is(bench.rig.reactor.kept.held, 30)
  assert.equal(await drain(bench), numbered(30))
})

test('after a restart a long queue is on disk at once, and arrives whole, with identifiers and subscription identifiers', async () => {
  const bench = await offline({ maxInflightMessages: 3 })
  const { rig, store, session } = bench
  session.subscribe('t', { ...OPTIONS, qos: 2, subscriptionId: 77 }, 0)
  await publish(bench, 10)
  rig.attach(session)
  rig.context.sessions.left(session)
  await publish(bench, 20, 1, 10)
  const second = await restarted(store)
  assert.is(second.reactor.kept.held, 3 + WINDOW)
  assert.is(second.counters.messagesQueued, 27)
  assert.is(second.counters.messagesPaged, 27 - WINDOW)
  const again = second.context.sessions.get('a')!
  second.attach(again)
  assert.equal(
    second.reactor.take().written.map(({ payload, packetId, first, middle }) => [payload, packetId, first & 8, middle]),
    [1, 2, 3].map((id) => [`m${id - 1}`, id, 8, [2, 0x0b, 77]]),
  )
  for (const packetId of [1, 2, 3]) again.acknowledged(packetId)
  assert.equal(await drain({ ...bench, rig: second }, again), numbered(27, 3))
})

async function restarted(store: SlowStore): Promise<Rig> {
  const rig = new Rig({ store, windowMessages: WINDOW, settings: { maxInflightMessages: 3 } })
  await recover(store, rig.context)
  return rig
}

test.run()
