// What a session does with a client that does not read, under each policy and QoS.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SlowReaderPolicy } from '../../../src/broker/overload/settings.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import { connectPacket } from '../raw-client.ts'
import { Rig } from '../rig.ts'

const OPTIONS = { noLocal: false, retainAsPublished: false, subscriptionId: 0 }

function full(policy: SlowReaderPolicy, qos: QoS) {
  const rig = new Rig({
    settings: { maxQueuedMessages: 3, outputHighWater: 1000 },
    overload: { slowReaderPolicy: policy },
  })
  const session = rig.connected('slow', { expiry: 100 })
  let told = 0
  session.owner = { remoteAddress: '', takenOver: () => {}, tooSlow: () => told++, queueUnreadable: () => {} }
  session.subscribe('t', { ...OPTIONS, qos }, 0)
  rig.reactor.memory.queued[session.connection!.slot] = 1000
  return { rig, session, told: () => told }
}

const payloads = (rig: Rig) => rig.reactor.take().written.map(({ payload }) => payload)

for (const qos of [1, 2] as const) {
  test(`drop_newest: a full queue keeps the first messages of QoS ${qos}`, () => {
    const { rig, session, told } = full('drop_newest', qos)
    for (let n = 0; n < 10; n++) rig.publish('t', `${n}`, { qos })
    assert.is(session.queue!.size, 3)
    assert.is(rig.counters.droppedQueueFull, 7)
    assert.is(told(), 7)
    rig.reactor.memory.queued[session.connection!.slot] = 0
    session.pump()
    assert.equal(payloads(rig), ['0', '1', '2'])
  })

  test(`drop_oldest: a full queue keeps the last messages of QoS ${qos}, and gives back the others`, () => {
    const { rig, session } = full('drop_oldest', qos)
    for (let n = 0; n < 10; n++) rig.publish('t', `${n}`, { qos })
    assert.is(session.queue!.size, 3)
    assert.is(rig.counters.droppedQueueFull, 7)
    assert.is(rig.counters.messagesQueued, 3)
    rig.reactor.memory.queued[session.connection!.slot] = 0
    session.pump()
    assert.equal(payloads(rig), ['7', '8', '9'])
    assert.is(rig.counters.bytesQueued, 0)
  })
}

test('drop_oldest: QoS 0 waits in the queue once the output was full, in order with the rest, until the client is gone', () => {
  const { rig, session } = full('drop_oldest', 0)
  session.fallBehind()
  for (let n = 0; n < 10; n++) rig.publish('t', `${n}`)
  assert.equal(payloads(rig), [])
  rig.reactor.memory.queued[session.connection!.slot] = 0
  session.pump()
  assert.equal(payloads(rig), ['7', '8', '9'])
  rig.publish('t', 'live')
  assert.equal(payloads(rig), ['live'])
  rig.reactor.memory.queued[session.connection!.slot] = 1000
  rig.publish('t', 'late')
  assert.is(rig.counters.messagesQueued, 1)
  session.detach()
  assert.is(rig.counters.messagesQueued, 0)
  rig.reactor.turn(() => {}) // carries out the releases
  assert.is(rig.reactor.frames.size, 0)
})

test('drop_oldest: one that fell behind leaves its native group, the others stay in it', () => {
  const rig = new Rig({ overload: { slowReaderPolicy: 'drop_oldest' }, settings: { outputHighWater: 1000 } })
  const sessions = Array.from({ length: 6 }, (_, n) => {
    const session = rig.connected(`s${n}`)
    session.subscribe('t', { ...OPTIONS, qos: 0 }, 0)
    return session
  })
  const slow = sessions[2]!
  slow.fallBehind()
  rig.reactor.memory.queued[slow.connection!.slot] = 1000
  rig.publish('t', 'x')
  const slots = rig.reactor.take().written.map(({ slot }) => slot)
  assert.is(slots.length, 5)
  assert.not(slots.includes(slow.connection!.slot))
})

test('an absent session keeps the policy of the listener its client came through last', () => {
  const rig = new Rig({ settings: { maxQueuedMessages: 3 } })
  rig.context.listeners.set(1, { slowReaderPolicy: 'drop_oldest' })
  const arrivesAfterAbsence = (listener: number): string[] => {
    const client = rig.client()
    Object.assign(client.connection, { listener })
    rig.packets(client, connectPacket({ clientId: 'c', clean: false }))
    const session = client.session!
    session.subscribe('t', { ...OPTIONS, qos: 1 }, 0)
    client.handleClosed(0, 0)
    for (let n = 0; n < 10; n++) rig.publish('t', `${n}`, { qos: 1 })
    rig.reactor.take()
    rig.attach(session)
    const arrived = payloads(rig)
    for (const { packetId } of [...session.inflight!.unacknowledged()]) session.acknowledged(packetId)
    session.detach()
    return arrived
  }
  assert.equal(arrivesAfterAbsence(1), ['7', '8', '9'])
  assert.equal(arrivesAfterAbsence(0), ['0', '1', '2'])
})

test('memory: a message over the total is dropped for those it would wait for, and sent to the others', () => {
  const rig = new Rig({ overload: { maxQueuedBytesTotal: 100 } })
  const absent = rig.session('absent', { expiry: 100 })
  absent.subscribe('t', { ...OPTIONS, qos: 1 }, 0)
  const present = rig.connected('present')
  present.subscribe('t', { ...OPTIONS, qos: 1 }, 0)
  for (let n = 0; n < 10; n++) rig.publish('t', 'x'.repeat(30), { qos: 1 })
  assert.is(rig.reactor.take().written.length, 10)
  assert.is(absent.queue!.size, 3)
  assert.is(rig.counters.droppedMemory, 7)
})

test.run()
