// Limits over all queues together, on disk or not, and who is told what was dropped for whom.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Session } from '../../../src/broker/sessions/session.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig, type RigOptions } from '../rig.ts'

const OPTIONS = { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const

async function offline(clientIds: readonly string[], options: RigOptions = {}): Promise<Rig> {
  const store = new SlowStore({ automatic: true, readsBack: true })
  await store.open()
  const rig = new Rig({ store, windowMessages: 2, ...options })
  for (const clientId of clientIds) {
    const session = rig.connected(clientId, { version: 5, expiry: 1000 })
    session.subscribe(clientId, OPTIONS, 0)
    rig.context.sessions.left(session)
  }
  return rig
}

async function publish(rig: Rig, topic: string, count: number, expiry?: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    rig.publish(topic, `m${at}`, { qos: 1, ...(expiry === undefined ? {} : { expiry }) })
    await rig.context.journal.settle()
  }
}

const session = (rig: Rig, clientId: string): Session => rig.context.sessions.get(clientId)!

test('max_queued_messages_total: all queues together take no more messages, in memory or on disk', async () => {
  const rig = await offline(['a', 'b'], { overload: { maxQueuedMessagesTotal: 10 } })
  await publish(rig, 'a', 8)
  await publish(rig, 'b', 8)
  assert.is(rig.counters.messagesQueued, 10)
  assert.is(rig.counters.droppedMemory, 6)
  assert.is(session(rig, 'b').dropped?.memory, 6)
  assert.is(session(rig, 'a').dropped, undefined)
  assert.ok(rig.context.overload.memory.areQueuesFull)
  assert.is(rig.log.at('warn').filter(({ message }) => message === 'all queues together are full').length, 1)
})

test('max_queued_disk_total: what is on disk only is limited too', async () => {
  const rig = await offline(['a'], { overload: { maxQueuedDiskTotal: 50 } })
  await publish(rig, 'a', 40)
  const { bytesPaged, droppedMemory, messagesQueued } = rig.counters
  assert.ok(bytesPaged >= 50 && bytesPaged <= 50 + 2 * 5, `${bytesPaged} bytes are on disk`)
  assert.is(messagesQueued + droppedMemory, 40)
  assert.ok(droppedMemory > 20)
})

test('what is dropped is counted for its session, by reason', async () => {
  const rig = await offline(['a', 'b'], { settings: { maxQueuedMessages: 6 } })
  await publish(rig, 'a', 2, 5)
  await publish(rig, 'a', 7)
  rig.advance(6000)
  session(rig, 'a').dropExpired(rig.clock.now())
  rig.context.sessions.get('a')!.maximumPacketSize = 1
  rig.attach(session(rig, 'a'))
  while (session(rig, 'a').queue !== undefined) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(session(rig, 'a').dropped?.occurred(), { queueFull: 3, expired: 2, tooLarge: 4 })
  assert.is(session(rig, 'b').dropped, undefined)
})

test('a session that ends says what was dropped for it', async () => {
  const rig = await offline(['a', 'b'], { settings: { maxQueuedMessages: 6 } })
  await publish(rig, 'a', 9)
  rig.context.sessions.remove(session(rig, 'a'))
  rig.context.sessions.remove(session(rig, 'b'))
  const told = rig.log.at('warn').filter(({ message }) => message.includes('session ended'))
  assert.equal(
    told.map(({ fields }) => fields),
    [{ client: 'a', queueFull: 3, unsent: 6 }],
  )
})

test('[MQTT-3.1.2-4] the session of an absent MQTT 3.1.1 client ends after persistent_client_expiration, with what is on disk', async () => {
  const rig = await offline([])
  const { sessionExpiry } = rig.context.settings
  const old = rig.connected('old', { version: 4, expiry: sessionExpiry })
  old.subscribe('old', OPTIONS, 0)
  rig.context.sessions.left(old)
  await publish(rig, 'old', 20)
  assert.ok(rig.counters.messagesPaged > 10)
  rig.advance(sessionExpiry * 1000 + 1)
  assert.is(rig.context.sessions.size, 0)
  assert.is(rig.counters.messagesQueued + rig.counters.messagesPaged + rig.counters.bytesPaged, 0)
})

test.run()
