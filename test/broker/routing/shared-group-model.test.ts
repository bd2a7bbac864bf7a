// What waits for a shared group: a window of it in memory, the rest on disk, and every message reaches a member, whatever
// members come, go and crash with the broker. Random programs against a set of what is owed; payloads are told apart by name.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { recover } from '../../../src/broker/journal/recovery.ts'
import type { Session } from '../../../src/broker/sessions/session.ts'
import { SlowStore } from '../../support/slow-store.ts'
import { Rig } from '../rig.ts'

const WINDOW = 3
const INFLIGHT = 2
const MEMBERS = ['a', 'b', 'c'] as const
const OPTIONS = { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const

type Member = (typeof MEMBERS)[number]

/** A broker, its crashes, and the members' connections. Every write to a member is seen. */
class Ground {
  readonly store = new SlowStore({ automatic: true, readsBack: true })
  rig!: Rig
  serial = 0
  /** Published and not acknowledged by any member. */
  owed = new Set<string>()
  /** The same when the store had everything: what a crash goes back to. */
  #owedAsStored = new Set<string>()
  /** Sent to a member and neither acknowledged nor taken back, by packet identifier. */
  readonly held = new Map<Member, Map<number, string>>()

  async start(): Promise<void> {
    await this.store.open()
    this.rig = new Rig({ store: this.store, windowMessages: WINDOW, settings: { maxInflightMessages: INFLIGHT } })
    await recover(this.store, this.rig.context)
    this.held.clear()
  }

  session(member: Member): Session {
    return this.rig.context.sessions.get(member)!
  }

  get group() {
    return this.rig.context.router.sharedGroup('$share/g/t')
  }

  publish(): void {
    const payload = `m${this.serial++}`
    this.owed.add(payload)
    this.rig.publish('t', payload, { qos: 1 })
  }

  come(member: Member): void {
    if (this.session(member).connection !== undefined) return
    this.held.set(member, new Map())
    this.rig.attach(this.session(member))
    this.session(member).pump()
  }

  go(member: Member): void {
    if (this.session(member).connection === undefined) return
    this.rig.context.sessions.left(this.session(member))
    this.held.delete(member)
  }

  acknowledge(member: Member): void {
    const next = [...(this.held.get(member) ?? [])][0]
    if (next === undefined) return
    const [packetId, payload] = next
    this.held.get(member)!.delete(packetId)
    assert.ok(this.session(member).acknowledged(packetId))
    this.owed.delete(payload)
  }

  /** Takes back what happened since `settle`. */
  async crash(): Promise<void> {
    this.store.crash()
    await new Promise((resolve) => setImmediate(resolve)) // what the dead broker would still store is refused
    this.owed = new Set(this.#owedAsStored)
    await this.start()
  }

  /** Nothing is under way any more; notes what members were sent. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; quiet++) {
      const { reads } = this.store
      await this.rig.context.journal.settle()
      await new Promise((resolve) => setImmediate(resolve))
      if (this.store.reads !== reads) quiet = -1
    }
    for (const { slot, packetId, payload } of this.rig.reactor.take().written) {
      const member = MEMBERS.find((name) => this.session(name).connection?.slot === slot)
      if (member === undefined) continue
      assert.ok(this.owed.has(payload), `${payload} was acknowledged already`)
      this.held.get(member)!.set(packetId, payload)
    }
    this.#owedAsStored = new Set(this.owed)
  }

  /** Each message owed is with a member or with the group, once; memory holds windows only, of what the store had in time. */
  verify(isPaced: boolean): void {
    const inflight = MEMBERS.reduce((sum, member) => sum + (this.session(member).inflight?.count ?? 0), 0)
    assert.is(inflight + (this.group?.backlog ?? 0), this.owed.size)
    if (!isPaced) return
    const most = 3 * WINDOW + 1 + MEMBERS.length * INFLIGHT * 2
    assert.ok(this.rig.reactor.kept.held <= most, `${this.rig.reactor.kept.held} of ${this.owed.size} are in memory`)
  }
}

async function ground(): Promise<Ground> {
  const made = new Ground()
  await made.start()
  for (const member of MEMBERS) {
    const session = made.rig.connected(member, { version: 5, expiry: 1e6 })
    session.subscribe('$share/g/t', OPTIONS, 0)
    made.rig.context.sessions.left(session)
  }
  await made.settle()
  return made
}

/** Everybody comes, or some, and acknowledges until nothing comes any more. */
async function drain(made: Ground, members: readonly Member[] = MEMBERS): Promise<string[]> {
  const got: string[] = []
  for (const member of members) made.come(member)
  await made.settle()
  for (;;) {
    const before = made.owed.size
    for (const member of MEMBERS)
      for (const payload of [...(made.held.get(member)?.values() ?? [])]) {
        got.push(payload)
        made.acknowledge(member)
      }
    await made.settle()
    if (made.owed.size === before) return got
  }
}

test('what waits for an offline group is on disk but for a window at each end, and comes in order when a member is there', async () => {
  const made = await ground()
  for (let n = 0; n < 60; n++) {
    made.publish()
    await made.settle()
  }
  const { reactor, counters } = made.rig
  assert.ok(reactor.kept.held <= 2 * WINDOW + 1, `${reactor.kept.held} frames are held`)
  assert.is(counters.messagesQueued, 60)
  assert.is(counters.messagesPaged, 60 - reactor.kept.held)
  const order = [...made.owed]
  assert.equal(await drain(made, ['a']), order)
  assert.is(reactor.kept.held, 0)
  assert.is(counters.messagesQueued + counters.bytesQueued + counters.messagesPaged + counters.bytesPaged, 0)
})

test('after a restart the queue of a group is on disk at once, and whole', async () => {
  const made = await ground()
  for (let n = 0; n < 40; n++) made.publish()
  await made.settle()
  await made.crash()
  assert.is(made.rig.reactor.kept.held, WINDOW)
  assert.is(made.rig.counters.messagesQueued, 40)
  const order = [...made.owed]
  assert.equal(await drain(made, ['a']), order)
})

test('a page of a group that cannot be read skips nothing: it is read again when a member asks', async () => {
  const made = await ground()
  for (let n = 0; n < 30; n++) {
    made.publish()
    await made.settle()
  }
  const order = [...made.owed]
  made.store.readError = new Error('EIO')
  assert.equal(await drain(made, ['a']), order)
  assert.is(made.rig.counters.queueReadFailures, 1)
})

test('after a page of a group could not be read the next sweep asks again, though no member does anything', async () => {
  const made = await ground()
  for (let n = 0; n < 30; n++) {
    made.publish()
    await made.settle()
  }
  made.come('a')
  await made.settle()
  const { store } = made
  const readMessages = store.readMessages.bind(store)
  store.readMessages = () => Promise.reject(new Error('EIO'))
  // All that is in memory at the front goes, and then nobody asks any more.
  while (made.held.get('a')!.size > 0) {
    made.acknowledge('a')
    await made.settle()
  }
  assert.ok(made.owed.size > 20)
  store.readMessages = readMessages
  made.session('a').dropExpired(made.rig.clock.now() + 1)
  await made.settle()
  assert.ok(made.held.get('a')!.size > 0)
  made.verify(false)
})

test('a group that ends with its last member gives everything back', async () => {
  const made = await ground()
  for (let n = 0; n < 30; n++) {
    made.publish()
    await made.settle()
  }
  for (const member of MEMBERS) made.session(member).unsubscribe('$share/g/t')
  await made.settle()
  const { reactor, counters } = made.rig
  assert.is(reactor.kept.held, 0)
  assert.is(counters.messagesQueued + counters.bytesQueued + counters.messagesPaged + counters.bytesPaged, 0)
  made.owed.clear()
  await made.crash()
  assert.is(made.rig.counters.messagesQueued, 0)
})

type Step =
  | { act: 'publish' | 'burst' | 'crash' | 'die' | 'settle' }
  | { act: 'come' | 'go' | 'acknowledge'; member: Member }

const one = (act: 'publish' | 'burst' | 'crash' | 'die' | 'settle', weight: number) => ({
  weight,
  arbitrary: fc.constant<Step>({ act }),
})
const of = (act: 'come' | 'go' | 'acknowledge', weight: number) => ({
  weight,
  arbitrary: fc.constantFrom(...MEMBERS).map((member): Step => ({ act, member })),
})
const steps = fc.array(
  fc.oneof(
    one('publish', 12),
    one('burst', 4),
    of('come', 2),
    of('go', 3),
    of('acknowledge', 6),
    one('settle', 4),
    one('crash', 1),
    one('die', 1),
  ),
  { maxLength: 80, size: 'max' },
)

test('[MQTT-4.8.2-4] whatever members and the broker do, every message stays with the group or one member until it is acknowledged', async () => {
  let paged = 0
  await fc.assert(
    fc.asyncProperty(steps, async (program) => {
      const made = await ground()
      const isPaced = !program.some(({ act }) => act === 'burst')
      for (const step of program) {
        if ('member' in step) made[step.act](step.member)
        else if (step.act === 'publish' || step.act === 'burst') made.publish()
        if (step.act === 'die') await made.crash()
        if ('member' in step || step.act === 'burst' || step.act === 'die') continue
        await made.settle()
        made.verify(isPaced)
        if (step.act === 'crash') await made.crash()
      }
      await made.settle()
      made.verify(isPaced)
      await drain(made)
      assert.equal([...made.owed], [])
      paged += made.rig.context.pager.messagesRead
      assert.is(made.rig.counters.messagesQueued + made.rig.counters.bytesQueued, 0)
      assert.is(made.rig.reactor.kept.held, 0)
    }),
    { numRuns: 100 },
  )
  assert.ok(paged > 0, 'some messages were read back from disk')
})

test.run()
