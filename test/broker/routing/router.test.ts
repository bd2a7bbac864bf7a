// Who receives, how often, at which QoS, with which Subscription Identifiers: the router against a model that asks
// nothing but `matches` about every subscription there is.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SharedSubscription } from '../../../src/broker/routing/shared-subscriptions.ts'
import type { Subscription, SubscriptionOptions } from '../../../src/broker/routing/subscription.ts'
import type { Topic } from '../../../src/broker/routing/topic.ts'
import type { Session } from '../../../src/broker/sessions/session.ts'
import type { QoS } from '../../../src/mqtt/qos.ts'
import { matches, parseSharedFilter } from '../../../src/mqtt/topic.ts'
import type { Written } from '../fake-reactor.ts'
import { Rig } from '../rig.ts'

type Version = 3 | 4 | 5

/** What one session gets of one publication. */
interface Copy {
  readonly session: string
  readonly qos: number
  readonly retain: boolean
  readonly ids: readonly number[]
}

const PLAIN: SubscriptionOptions = { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 }

class Harness {
  readonly rig = new Rig({ settings: { maxInflightMessages: 65535 } })
  readonly sessions: Session[] = []
  /** By session and filter. */
  readonly model = new Map<Session, Map<string, SubscriptionOptions>>()
  /** Kept across, so that routes are found again. */
  readonly topics = new Map<string, Topic>()
  readonly #handles = new Map<Session, Map<string, Subscription | SharedSubscription>>()

  constructor(versions: readonly Version[]) {
    versions.forEach((version, index) => {
      const session = this.rig.connected(`s${index}`, { version })
      this.sessions.push(session)
      this.model.set(session, new Map())
      this.#handles.set(session, new Map())
    })
  }

  subscribe(session: Session, filter: string, wanted: SubscriptionOptions): void {
    const options = session.version === 5 ? wanted : { ...PLAIN, qos: wanted.qos }
    if (parseSharedFilter(filter) !== undefined) options.noLocal = false
    const { router } = this.rig.context
    const handles = this.#handles.get(session)!
    const known = handles.get(filter)
    if (known === undefined) handles.set(filter, router.subscribe(session, filter, options))
    else router.resubscribe(known, options)
    this.model.get(session)!.set(filter, options)
  }

  unsubscribe(session: Session, pick: number): void {
    const handles = this.#handles.get(session)!
    const filter = [...handles.keys()][pick % Math.max(1, handles.size)]
    if (filter === undefined) return
    this.rig.context.router.unsubscribe(handles.get(filter)!)
    handles.delete(filter)
    this.model.get(session)!.delete(filter)
  }

  /** Publishes and returns what was written: ordinary copies sorted, and those of shared groups told apart by payload. */
  publish(name: string, qos: QoS, retain: boolean, publisher: Session | undefined): Written[] {
    let topic = this.topics.get(name)
    if (topic === undefined) {
      topic = this.rig.context.router.topic(name)
      this.topics.set(name, topic)
    }
    this.rig.publish(name, 'x', { qos, retain, publisher, topic })
    return this.rig.reactor.take().written
  }

  nameOf(slot: number): string {
    return this.sessions.find((session) => session.connection!.slot === slot)!.clientId
  }

  copyOf(written: Written): Copy {
    const ids: number[] = []
    if (written.middle.length > 0) {
      // No other property is used here; identifiers are below 128.
      for (let at = 1; at < written.middle.length; at += 2) {
        assert.is(written.middle[at], 0x0b)
        ids.push(written.middle[at + 1]!)
      }
    }
    const session = this.nameOf(written.slot)
    return { session, qos: (written.first >> 1) & 3, retain: (written.first & 1) === 1, ids: ids.sort((a, b) => a - b) }
  }

  /** The ordinary copies due. */
  expected(name: string, qos: QoS, retain: boolean, publisher: Session | undefined): Copy[] {
    const copies: Copy[] = []
    for (const [session, subscriptions] of this.model) {
      const matching = [...subscriptions].filter(
        ([filter, options]) =>
          parseSharedFilter(filter) === undefined &&
          matches(filter, name) &&
          !(options.noLocal && publisher === session),
      )
      if (matching.length === 0) continue
      const options = matching.map(([, each]) => each)
      copies.push({
        session: session.clientId,
        qos: Math.min(qos, Math.max(...options.map((each) => each.qos))),
        retain: retain && options.some((each) => each.retainAsPublished),
        ids: options
          .map((each) => each.subscriptionId)
          .filter((id) => id !== 0)
          .sort((a, b) => a - b),
      })
    }
    return copies.sort(bySession)
  }

  /** For each shared group that matches: the copies of which exactly one is due. */
  sharedChoices(name: string, qos: QoS, retain: boolean): Map<string, Copy[]> {
    const choices = new Map<string, Copy[]>()
    for (const [session, subscriptions] of this.model) {
      for (const [filter, options] of subscriptions) {
        const shared = parseSharedFilter(filter)
        if (shared === undefined || !matches(shared.filter, name)) continue
        const copy = {
          session: session.clientId,
          qos: Math.min(qos, options.qos),
          retain: retain && options.retainAsPublished,
          ids: options.subscriptionId === 0 ? [] : [options.subscriptionId],
        }
        choices.set(filter, [...(choices.get(filter) ?? []), copy])
      }
    }
    return choices
  }

  /** Publishes and compares. */
  check(name: string, qos: QoS, retain: boolean, publisher: Session | undefined): void {
    const left = this.publish(name, qos, retain, publisher).map((written) => JSON.stringify(this.copyOf(written)))
    for (const copy of this.expected(name, qos, retain, publisher)) take(left, copy, `${name}: an ordinary copy`)
    // Groups with fewer members first: a copy both groups could have made is then left for the other.
    const choices = [...this.sharedChoices(name, qos, retain)].sort(([, a], [, b]) => a.length - b.length)
    assert.is(left.length, choices.length, `${name}: one copy for each shared group, left: ${left.join()}`)
    for (const [group, copies] of choices) if (copies.length === 1) take(left, copies[0]!, `${name}: ${group}`)
    const possible = new Set(choices.flatMap(([, copies]) => copies.map((copy) => JSON.stringify(copy))))
    for (const copy of left) assert.ok(possible.has(copy), `${name}: nobody is due ${copy}`)
  }
}

function bySession(a: Copy, b: Copy): number {
  return a.session < b.session ? -1 : 1
}

function take(left: string[], copy: Copy, what: string): void {
  const at = left.indexOf(JSON.stringify(copy))
  assert.ok(at >= 0, `${what}: ${JSON.stringify(copy)} is missing in ${left.join()}`)
  left.splice(at, 1)
}

const LEVELS = ['a', 'b', '', '$x']
const level = fc.constantFrom(...LEVELS)
const name = fc
  .array(level, { minLength: 1, maxLength: 3 })
  .map((levels) => levels.join('/'))
  .filter((text) => text !== '')
const ordinary = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([levels, hash]) => (hash ? [...levels.slice(1), '#'] : levels).join('/'))
  .filter((text) => text !== '')
const filter = fc.oneof(
  { weight: 5, arbitrary: ordinary },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('g', 'h'), ordinary).map(([group, f]) => `$share/${group}/${f}`) },
)
const qos = fc.constantFrom<QoS>(0, 1, 2)
const options = fc.record({
  qos,
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  subscriptionId: fc.integer({ min: 0, max: 3 }),
})
const maybePlain = fc.oneof(
  options,
  qos.map((each) => ({ ...PLAIN, qos: each })),
)
const version = fc.constantFrom<Version>(3, 4, 5)

type Step =
  | { do: 'subscribe'; who: number; filter: string; options: SubscriptionOptions }
  | { do: 'unsubscribe'; who: number; pick: number }
  | { do: 'publish'; who: number; name: string; qos: QoS; retain: boolean }

const who = fc.nat({ max: 7 })
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('subscribe' as const), who, filter, options: maybePlain }),
  fc.record({ do: fc.constant('unsubscribe' as const), who, pick: fc.nat({ max: 100 }) }),
  fc.record({ do: fc.constant('publish' as const), who, name, qos, retain: fc.boolean() }),
)

function run(harness: Harness, steps: readonly Step[]): void {
  const { sessions } = harness
  for (const each of steps) {
    const session = sessions[each.who % sessions.length]!
    if (each.do === 'subscribe') harness.subscribe(session, each.filter, { ...each.options })
    else if (each.do === 'unsubscribe') harness.unsubscribe(session, each.pick)
    else harness.check(each.name, each.qos, each.retain, each.who === 7 ? undefined : session)
  }
}

test('[MQTT-3.3.5-1] any sequence of subscriptions and publications reaches whom the naive matcher names, once each', () => {
  void fc.assert(
    fc.property(
      fc.array(version, { minLength: 1, maxLength: 8 }),
      fc.array(step, { maxLength: 120, size: 'max' }),
      (versions, steps) => run(new Harness(versions), steps),
    ),
    { numRuns: 600 },
  )
})

test('a topic that was not published for more changes than the ring holds is routed anew', () => {
  void fc.assert(
    fc.property(
      fc.array(version, { minLength: 2, maxLength: 6 }),
      fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }),
      fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }),
      fc.integer({ min: 1000, max: 1050 }),
      (versions, before, after, changes) => {
        const harness = new Harness(versions)
        run(harness, before)
        // Around the ring's 1,024: some routes can still be brought up to date, others must be matched anew.
        const [session] = harness.sessions
        for (let n = 0; n < changes; n++) harness.subscribe(session!, `filler/${n}`, { ...PLAIN })
        run(harness, after)
        for (const known of harness.topics.keys()) harness.check(known, 1, true, undefined)
      },
    ),
    { numRuns: 30 },
  )
})

test('many subscribers to one filter get it as one command, and each its own packet identifier', () => {
  const harness = new Harness(Array.from({ length: 300 }, (_, index) => (index % 2 === 0 ? 4 : 5)))
  for (const session of harness.sessions) harness.subscribe(session, 'a', { ...PLAIN, qos: 1 })
  for (let round = 1; round <= 3; round++) {
    const written = harness.publish('a', 1, false, undefined)
    assert.is(written.length, 300)
    assert.ok(written.every(({ by, packetId }) => by === 'forwardList' && packetId === round))
    assert.is(new Set(written.map(({ slot }) => slot)).size, 300)
  }
  assert.ok(harness.publish('a', 0, false, undefined).every(({ by }) => by === 'multicast'))
})

test('a bridge among many gets nothing back that it sent, and sees RETAIN as published', () => {
  const harness = new Harness([4, 4, 4, 4, 4, 4])
  const { router } = harness.rig.context
  const bridge = harness.sessions[2]!
  for (const session of harness.sessions) {
    const isBridge = session === bridge
    router.subscribe(session, 'a', { qos: 1, noLocal: isBridge, retainAsPublished: isBridge, subscriptionId: 0 })
  }
  const own = harness.publish('a', 1, true, bridge)
  assert.is(own.length, 5)
  assert.not.ok(own.some(({ slot }) => slot === bridge.connection!.slot))
  const others = harness.publish('a', 1, true, harness.sessions[0])
  assert.equal(
    others.filter(({ first }) => (first & 1) === 1).map(({ slot }) => slot),
    [bridge.connection!.slot],
  )
})

test('[MQTT-3.8.3-3] what a client sends itself comes by its subscriptions without No Local alone', () => {
  const harness = new Harness([5, 5])
  const [own, other] = harness.sessions
  harness.subscribe(own!, 'a/+', { qos: 2, noLocal: true, retainAsPublished: true, subscriptionId: 1 })
  harness.subscribe(own!, 'a/#', { qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 2 })
  const copies = (publisher: Session) => harness.publish('a/b', 2, true, publisher).map((each) => harness.copyOf(each))
  assert.equal(copies(own!), [{ session: 's0', qos: 1, retain: false, ids: [2] }])
  assert.equal(copies(other!), [{ session: 's0', qos: 2, retain: true, ids: [1, 2] }])
})

test('the counts of subscriptions follow, and nothing is left when all are gone', () => {
  const harness = new Harness([4, 5])
  const { router } = harness.rig.context
  for (const session of harness.sessions) {
    for (const each of ['a', 'a/#', '$share/g/a', '$share/h/a']) harness.subscribe(session, each, { ...PLAIN })
  }
  assert.is(router.subscriptionCount, 8)
  assert.is(router.sharedSubscriptionCount, 4)
  for (const session of harness.sessions) for (let n = 0; n < 4; n++) harness.unsubscribe(session, 0)
  assert.is(router.subscriptionCount, 0)
  assert.is(router.sharedSubscriptionCount, 0)
  assert.is(router.trie.size, 0)
  assert.is(harness.rig.reactor.groups.size, 0)
  assert.not(router.publish(harness.rig.reactor.turn(() => harness.rig.inbox('a', 'x'))))
})

test('[MQTT-4.8.2-1] each group gets one copy, its members in turn, those with a free window first', () => {
  const rig = new Rig({ settings: { maxInflightMessages: 1 } })
  const sessions = ['a', 'b', 'c'].map((clientId) => rig.connected(clientId))
  for (const session of sessions) session.subscribe('$share/g/t', { ...PLAIN, qos: 1 }, 0)
  const receivers = (times: number) => {
    for (let n = 0; n < times; n++) rig.publish('t', 'x', { qos: 1 })
    return rig.reactor
      .take()
      .written.map(({ slot }) => sessions.findIndex(({ connection }) => connection?.slot === slot))
  }
  assert.equal(receivers(3), [0, 1, 2])
  assert.ok(sessions[1]!.acknowledged(1))
  assert.equal(receivers(1), [1])
  // All windows are full: the first in turn queues it.
  assert.equal(receivers(1), [])
  assert.is(rig.counters.messagesQueued, 1)
  for (const session of sessions) session.detach()
  rig.publish('t', 'x', { qos: 1 })
  assert.is(rig.counters.messagesQueued, 2)
})

test.run()
