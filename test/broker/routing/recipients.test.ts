// The three views of a filter's subscribers (all members, singles, native groups) under any sequence of joining, leaving,
// connecting, disconnecting and changing options: a QoS 0 message reaches exactly who is online, once, and the groups
// that native code keeps, read from the commands, are the lists TypeScript believes in.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Subscription, type SubscriptionOptions } from '../../../src/broker/routing/subscription.ts'
import type { Session } from '../../../src/broker/sessions/session.ts'
import { Rig } from '../rig.ts'

const SESSIONS = 14

type Step =
  | { do: 'subscribe'; who: number; options: SubscriptionOptions }
  | { do: 'unsubscribe' | 'connect' | 'disconnect' | 'publish' | 'broker publishes'; who: number }
  | { do: 'change version'; who: number; version: 4 | 5 }

const who = fc.nat({ max: SESSIONS - 1 })
const flag = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.boolean() })
const options = fc.record({
  qos: fc.constant(0 as const),
  noLocal: flag,
  retainAsPublished: flag,
  subscriptionId: fc.constantFrom(0, 0, 0, 0, 7),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('subscribe' as const), who, options }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unsubscribe' as const), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('connect' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('disconnect' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('publish' as const, 'broker publishes' as const), who }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('change version' as const), who, version: fc.constantFrom<4 | 5>(4, 5) }),
  },
)

function act(rig: Rig, sessions: readonly Session[], each: Step): void {
  const session = sessions[each.who]!
  switch (each.do) {
    case 'subscribe': {
      const plain = { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
      session.subscribe('t', session.version === 5 ? each.options : plain, 0)
      break
    }
    case 'unsubscribe':
      session.unsubscribe('t')
      break
    case 'connect':
      if (session.connection === undefined) rig.attach(session)
      break
    case 'disconnect':
      session.detach()
      break
    case 'change version': {
      // A client comes back with another version: it left first, and its options are 5's no more.
      session.detach()
      session.unsubscribe('t')
      session.version = each.version
      break
    }
    default:
      checkPublish(rig, sessions, each.do === 'publish' ? session : undefined)
  }
}

function checkPublish(rig: Rig, sessions: readonly Session[], publisher: Session | undefined): void {
  rig.reactor.take()
  rig.publish('t', 'x', { publisher, retain: true })
  const told = rig.reactor.take().written
  const due = sessions.filter((session) => {
    const subscription = session.subscriptions?.get('t') as Subscription | undefined
    return (
      subscription !== undefined && session.connection !== undefined && !(subscription.noLocal && session === publisher)
    )
  })
  assert.equal(told.map(({ slot }) => slot).sort(), due.map((session) => session.connection!.slot).sort())
  for (const { slot, first, middle } of told) {
    const session = due.find(({ connection }) => connection!.slot === slot)!
    const subscription = session.subscriptions!.get('t') as Subscription
    assert.is(first, subscription.retainAsPublished ? 0x31 : 0x30)
    const ids = subscription.subscriptionIds === undefined ? [0] : [2, 0x0b, 7]
    assert.equal(middle, session.version === 5 ? ids : [])
  }
}

/** What native code keeps is what the subscriptions say of themselves. */
function checkViews(rig: Rig, sessions: readonly Session[]): void {
  rig.reactor.outbox.execute()
  const members = new Set<number>()
  for (const [, group] of rig.reactor.groups) for (const { slot } of group) members.add(slot)
  const held = [...rig.reactor.groups.values()].reduce((sum, group) => sum + group.length, 0)
  assert.is(held, members.size, 'nobody stands in a group twice')
  for (const session of sessions) {
    const subscription = session.subscriptions?.get('t')
    if (!(subscription instanceof Subscription)) continue
    const inGroup = session.connection !== undefined && members.delete(session.connection.slot)
    assert.is(subscription.place === 'group', inGroup)
    if (inGroup) assert.ok(subscription.isPlain)
    assert.is(subscription.place === 'none', session.connection === undefined)
    assert.is(subscription.recipients.members[subscription.position], subscription)
  }
  assert.is(members.size, 0, 'nobody stands in a group who is gone')
}

for (const [name, outbox] of [
  ['a roomy outbox', [4096, 4096]],
  ['an outbox that is full all the time', [40, 64]],
] as const) {
  test(`any sequence of joining, leaving, coming and going keeps the three views alike, with ${name}`, () => {
    void fc.assert(
      fc.property(
        fc.array(fc.constantFrom<4 | 5>(4, 5), { minLength: SESSIONS, maxLength: SESSIONS }),
        fc.array(step, { maxLength: 150, size: 'max' }),
        (versions, steps) => {
          const rig = new Rig({ outbox })
          const sessions = versions.map((version, n) => rig.session(`s${n}`, { version, expiry: 10 }))
          for (const each of steps) {
            act(rig, sessions, each)
            checkViews(rig, sessions)
          }
          checkPublish(rig, sessions, undefined)
          for (const session of sessions) rig.context.sessions.remove(session)
          rig.reactor.take()
          assert.is(rig.reactor.groups.size, 0)
          assert.is(rig.context.router.trie.size, 0)
        },
      ),
      { numRuns: 200 },
    )
  })
}

test('from four plain members on a message is one command, whatever their number', () => {
  const rig = new Rig()
  const plain = { qos: 0, noLocal: false, retainAsPublished: false, subscriptionId: 0 } as const
  for (let n = 1; n <= 10; n++) {
    rig.connected(`s${n}`).subscribe('t', plain, 0)
    rig.publish('t', 'x')
    const by = new Set(rig.reactor.take().written.map((each) => each.by))
    assert.equal([...by], [n < 4 ? 'forward' : 'multicast'])
  }
})

test.run()
