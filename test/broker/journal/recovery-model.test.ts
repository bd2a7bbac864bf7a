// Any sequence of what clients do, cut off at any record: the broker that is rebuilt from the records before the cut holds
// what the first one held then. And rebuilt from all of them it goes on exactly as the first one does.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RECORDS, RecoveredState } from '../../../src/broker/journal/recovered-state.ts'
import { recover } from '../../../src/broker/journal/recovery.ts'
import type { Delivery } from '../../../src/broker/message.ts'
import type { Session } from '../../../src/broker/sessions/session.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import type { JournalRecord } from '../../../src/store/durable-store.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig } from '../rig.ts'

const CLIENTS = ['a', 'b']
const FILTERS = ['t/1', 't/+', '$share/g/t/1', '$share/g/t/2']
const TOPICS = ['t/1', 't/2', 't/3']
const SETTINGS = { maxQueuedMessages: 4, maxInflightMessages: 3 }

/** What one broker holds, as plain values that can be compared. */
function held({ context }: Rig): unknown {
  const sessions = [...context.sessions]
    .filter((session) => session.isPersistent)
    .map((session) => ({
      clientId: session.clientId,
      expiryInterval: session.expiryInterval,
      subscriptions: [...(session.subscriptions ?? [])].map(([filter, { qos, subscriptionIds = [] }]) => [
        filter,
        qos,
        [...subscriptionIds],
      ]),
      queue: [...(session.queue ?? [])].map(({ message, qos, retain }) => [text(message), qos, retain]),
      inflight: [...(session.inflight?.unacknowledged() ?? [])]
        .filter(({ qos, message }) => qos === 2 || !isGroups(context, message))
        .map(({ packetId, qos, state, message }) => [
          packetId,
          qos,
          state,
          message === undefined ? undefined : text(message.message),
        ]),
      inbound: [...(session.inbound ?? [])],
    }))
    .sort((one, other) => (one.clientId < other.clientId ? -1 : 1))
  const retained = TOPICS.map((topic) => {
    const message = context.retained.get(topic)
    return message === undefined ? undefined : text(message)
  })
  const groups = ['t/1', 't/2'].map((filter) => {
    const name = `$share/g/${filter}`
    return isStoredGroup(context, name) ? context.router.sharedGroup(name)!.backlog + onTheWay(context, name) : 0
  })
  return { sessions, retained, groups }
}

/** Whether it came from a shared group that outlives a crash; else a crash leaves it with the session it was sent to. */
function isGroups(context: Rig['context'], delivery: Delivery | undefined): boolean {
  return delivery?.group !== undefined && isStoredGroup(context, delivery.group.filter)
}

/** A group without a stored member ends with the connections of those it has. */
function isStoredGroup(context: Rig['context'], name: string): boolean {
  return [...context.sessions].some((one) => one.isPersistent && one.subscriptions?.has(name) === true)
}

/** QoS 1 messages a group has sent to members with a session and that a crash brings back to it. */
function onTheWay(context: Rig['context'], name: string): number {
  return [...context.sessions]
    .filter((session) => session.isPersistent)
    .flatMap((session) => [...(session.inflight?.unacknowledged() ?? [])])
    .filter(({ qos, message }) => qos === 1 && message?.group?.filter === name).length
}

function text(message: { payload(): Buffer }): string {
  return message.payload().toString()
}

/** A second broker on the records. */
async function rebuilt(records: readonly JournalRecord[]): Promise<Rig> {
  const store = new SlowStore({ automatic: true })
  store.remember(records)
  await store.open()
  const rig = new Rig({ store, settings: SETTINGS })
  await recover(store, rig.context)
  return rig
}

/** A step that can say what it is. */
interface Step {
  (rig: Rig): void
  toString(): string
}

function named(name: string, run: (rig: Rig) => void): Step {
  return Object.assign(run, { toString: () => name, [fc.toStringMethod]: () => name })
}

const client = fc.constantFrom(...CLIENTS)
const session = ({ context }: Rig, clientId: string): Session | undefined => context.sessions.get(clientId)

const connect = fc
  .record({ client, clean: fc.boolean(), expiry: fc.constantFrom(0, 100) })
  .map(({ client: id, clean, expiry }) =>
    named(`connect ${id} ${clean} ${expiry}`, (rig) => {
      const known = session(rig, id)
      if (known?.connection !== undefined) rig.context.sessions.left(known)
      const { session: opened } = rig.context.sessions.open(id, 5, clean && expiry === 0)
      rig.context.sessions.keep(opened, expiry)
      rig.attach(opened)
    }),
  )
const leave = client.map((id) =>
  named(`leave ${id}`, (rig) => {
    const known = session(rig, id)
    if (known?.connection !== undefined) rig.context.sessions.left(known)
  }),
)
const subscribe = fc
  .record({ client, filter: fc.constantFrom(...FILTERS), qos: fc.constantFrom<QoS>(0, 1, 2) })
  .map(({ client: id, filter, qos }) =>
    named(`subscribe ${id} ${filter} ${qos}`, (rig) => {
      const options = { qos, noLocal: false, retainAsPublished: false, subscriptionId: qos }
      session(rig, id)?.subscribe(filter, options, 0)
    }),
  )
const unsubscribe = fc.record({ client, filter: fc.constantFrom(...FILTERS) }).map(({ client: id, filter }) =>
  named(`unsubscribe ${id} ${filter}`, (rig) => {
    session(rig, id)?.unsubscribe(filter)
  }),
)
let serial = 0
const publish = fc
  .record({
    topic: fc.constantFrom(...TOPICS),
    qos: fc.constantFrom<QoS>(0, 1, 2),
    retain: fc.constantFrom(false, true),
  })
  .map(({ topic, qos, retain }) => {
    const payload = `m${serial++}`
    return named(`publish ${payload} ${topic} ${qos} ${retain}`, (rig) => {
      rig.reactor.turn(() => {
        const publication = rig.inbox(topic, payload, { qos, retain })
        if (retain) rig.context.retained.apply(publication)
        rig.context.router.publish(publication)
        publication.drop()
      })
    })
  })
const acknowledge = fc.record({ client, at: fc.nat({ max: 2 }) }).map(({ client: id, at }) =>
  named(`acknowledge ${id} ${at}`, (rig) => {
    const known = session(rig, id)
    const inflight = [...(known?.inflight?.unacknowledged() ?? [])]
    const entry = inflight[at % Math.max(1, inflight.length)]
    if (entry === undefined || known!.connection === undefined) return
    if (entry.qos === 1) known!.acknowledged(entry.packetId)
    else if (entry.state === 'published') known!.received(entry.packetId, 0)
    else known!.completed(entry.packetId)
  }),
)
const inbound = fc.record({ client, packetId: fc.integer({ min: 1, max: 3 }) }).map(({ client: id, packetId }) =>
  named(`inbound ${id} ${packetId}`, (rig) => {
    const known = session(rig, id)
    if (known === undefined) return
    const { journal } = rig.context
    if (known.inboundQos2().add(packetId)) {
      if (known.isStored) journal.inboundAdded(id, packetId)
    } else if (known.inbound!.release(packetId) && known.isStored) journal.inboundReleased(id, packetId)
  }),
)

const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: connect },
    { weight: 2, arbitrary: leave },
    { weight: 3, arbitrary: subscribe },
    { weight: 1, arbitrary: unsubscribe },
    { weight: 8, arbitrary: publish },
    { weight: 6, arbitrary: acknowledge },
    { weight: 1, arbitrary: inbound },
  ),
  { minLength: 1, maxLength: 60, size: 'max' },
)

test('what a broker held when a batch was stored is what a broker rebuilt from the records up to it holds', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.array(fc.nat({ max: 3 }), { minLength: 60, maxLength: 60 }), async (walk, pauses) => {
      const store = new SlowStore({ automatic: true })
      await store.open()
      const rig = new Rig({ store, settings: SETTINGS })
      // Something to lose from the start: a plain subscription and a group with one member.
      const options = { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
      rig.connected('a', { expiry: 100 }).subscribe('t/+', options, 0)
      rig.connected('b', { expiry: 100 }).subscribe('$share/g/t/1', options, 0)
      for (const [at, step] of walk.entries()) {
        step(rig)
        rig.reactor.take()
        // Sometimes a batch ends here, sometimes it goes on collecting and may take back what it holds.
        if (pauses[at] !== 0) continue
        await rig.context.journal.settle()
        same(rig, await rebuilt(store.stored))
      }
      leaveAll(rig)
      await rig.context.journal.settle()
      same(rig, await rebuilt(store.stored))
    }),
    { numRuns: 150 },
  )
})

function same(rig: Rig, second: Rig): void {
  assert.is(JSON.stringify(held(second), undefined, 1), JSON.stringify(held(rig), undefined, 1))
}

/** All connections end; what shared groups sent and nobody acknowledged goes back to them. */
function leaveAll(rig: Rig): void {
  for (const each of [...rig.context.sessions]) if (each.connection !== undefined) rig.context.sessions.left(each)
}

test('records may be cut anywhere and tell of nothing that was not there', () => {
  const records: JournalRecord[] = [
    { type: 'message-queued', clientId: 'a', message: 1, qos: 1, retain: false, subscriptionIdentifiers: [] },
    { type: 'message-received', clientId: 'a', packetId: 7 },
    { type: 'message-acknowledged', clientId: 'a', packetId: 8 },
    { type: 'message-dropped', clientId: 'a', message: 1 },
    { type: 'retained-set', topicName: 't', message: 1 },
    { type: 'session-removed', clientId: 'b' },
  ]
  const state = new RecoveredState(RECORDS)
  for (const record of records) state.apply(record)
  assert.is(state.sessions.get('a')!.queue.size, 0)
  assert.is(state.sessions.get('a')!.inflight.get(7)?.isReleased, true)
  assert.is(state.retained.size, 0)
  assert.is(state.messageCount, 0)
})

test.run()
