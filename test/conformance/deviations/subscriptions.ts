// Deviations in subscriptions.

import type { Packet } from '../../../conformance/packet.ts'
import * as wire from '../../../conformance/wire.ts'
import type { Deviation, Link } from './proxy.ts'
import { deafTo, filtersOf, isShared, options, pretending, propertiesOf, publishWith, subscribeWith } from './words.ts'

/** Forwards with other Subscription Identifiers. */
const identified =
  (change: (ids: number[], packet: Packet, link: Link) => number[]): NonNullable<Deviation['down']> =>
  (p, link) => {
    if (p.kind !== 'publish' || link.version !== 5) return undefined
    const ids = (p.properties ?? []).filter((q) => q.name === 'subscriptionIdentifier').map((q) => Number(q.value))
    if (ids.length === 0) return undefined
    const list = change(ids, p, link).map((id) => wire.property('subscriptionIdentifier', id))
    return [publishWith(p, link, { properties: [...list, ...propertiesOf(p, ['subscriptionIdentifier'])] })]
  }

export const subscriptions: readonly Deviation[] = [
  {
    does: 'grants what was asked for and delivers with QoS 0',
    caught: [
      'qos/published-1-granted-1',
      'qos/published-2-granted-2',
      'subscribe/overlapping',
      'retain/stored-qos-1',
      'retain/stored-qos-2',
    ],
    ...pretending(() => 0),
  },
  {
    does: 'takes the QoS of the last of overlapping subscriptions',
    caught: ['subscribe/overlapping'],
    versions: [4],
    down(p, link) {
      if (link.filters.size <= 2) return undefined
      if (p.kind === 'pubrel') return []
      if (p.kind !== 'publish' || (p.qos ?? 0) === 0) return undefined
      link.toBroker(p.qos === 1 ? wire.puback(p.packetId ?? 0) : wire.pubrec(p.packetId ?? 0))
      return [publishWith(p, link, { qos: 0 })]
    },
  },
  {
    does: 'keeps the old subscription beside the new one',
    caught: ['subscribe/replaced'],
    up(p, link) {
      if (p.kind !== 'subscribe') return undefined
      for (const [filter] of filtersOf(p)) link.notes.set(filter, Number(link.notes.get(filter) ?? 0) + 1)
      return undefined
    },
    down: (p, link) =>
      p.kind === 'publish' && Number(link.notes.get(p.topic ?? '') ?? 0) > 1
        ? [publishWith(p, link, { qos: 0, dup: false }), p.bytes]
        : undefined,
  },
  {
    does: 'loses messages while a subscription is replaced',
    caught: ['subscribe/replaced-without-loss'],
    up(p, link) {
      if (p.kind === 'subscribe')
        for (const [filter] of filtersOf(p)) link.notes.set(filter, Number(link.notes.get(filter) ?? 0) + 1)
      return undefined
    },
    down(p, link) {
      if (p.kind !== 'publish' || Number(link.notes.get(p.topic ?? '') ?? 0) < 2 || link.notes.has('lost'))
        return undefined
      link.notes.set('lost', true)
      return []
    },
  },
  {
    does: 'answers UNSUBSCRIBE and goes on',
    caught: [
      'unsubscribe/ends-delivery-qos-0',
      'unsubscribe/ends-delivery-qos-1',
      'unsubscribe/several-filters',
      'session/unsubscribed-stays-unsubscribed',
      'shared/unsubscribe',
      'shared/subscribed-twice',
    ],
    up: deafTo(() => true),
  },
  {
    does: 'removes every filter that begins like the one unsubscribed',
    caught: ['unsubscribe/exact-comparison'],
    up(p, link) {
      if (p.kind !== 'unsubscribe' || p.problems.length > 0) return undefined
      const first = filtersOf(p).map(([filter]) => filter)
      const more = [...link.filters].filter(
        (filter) =>
          !first.includes(filter) && first.some((f) => filter.toLowerCase().startsWith(f.toLowerCase().slice(0, -1))),
      )
      if (more.length > 0) link.toBroker(wire.unsubscribe(link.version, 60_002, more))
      return undefined
    },
    down: (p) => (p.kind === 'unsuback' && p.packetId === 60_002 ? [] : undefined),
  },
  {
    does: 'removes only the first filter of an UNSUBSCRIBE',
    caught: ['unsubscribe/several-filters'],
    up: (p, link) =>
      p.kind === 'unsubscribe' && p.problems.length === 0
        ? [wire.unsubscribe(link.version, p.packetId ?? 0, [filtersOf(p)[0]?.[0] ?? ''])]
        : undefined,
  },
  {
    does: 'drops deliveries under way with the subscription',
    caught: ['unsubscribe/begun-delivery-completes-qos-2'],
    down: (p, link) => (p.kind === 'pubrel' && link.notes.has('gone') ? [] : undefined),
    up(p, link) {
      if (p.kind === 'unsubscribe') link.notes.set('gone', true)
      return undefined
    },
  },
  {
    does: 'takes UNSUBSCRIBE for the acknowledgement of what is under way',
    caught: ['unsubscribe/begun-delivery-completes-qos-1'],
    down(p, { notes }) {
      if (p.kind === 'publish' && p.qos === 1) notes.set('sent', p.packetId ?? 0)
      return undefined
    },
    up(p, { notes }) {
      const sent = notes.get('sent') as number | undefined
      return p.kind === 'unsubscribe' && sent !== undefined ? [wire.puback(sent), p.bytes] : undefined
    },
  },
  {
    does: 'carries out only the first filter of a SUBSCRIBE',
    caught: ['subscribe/several-filters'],
    up: (p, link) => {
      if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
      let n = 0
      return [subscribeWith(p, link, (filter, value) => [n++ === 0 ? filter : `nobody/publishes/${n}`, value])]
    },
  },
  {
    does: 'delivers everything to everybody',
    caught: [
      'publish/only-matching-topics',
      'topics/match-exact',
      'topics/match-plus-middle',
      'topics/match-plus-first',
    ],
    up: (p, link) => {
      if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
      return [subscribeWith(p, link, (filter, value) => [isShared(filter) ? filter : '#', value])]
    },
  },
  {
    does: 'takes wildcards for ordinary characters',
    caught: [
      'topics/match-hash',
      'topics/match-hash-of-everything',
      'topics/match-plus-last',
      'topics/match-plus-first',
      'topics/match-plus-middle',
      'topics/match-plus-twice',
      'topics/match-slash-plus',
      'topics/match-plus-and-hash',
      'topics/match-dollar-inside-wildcard',
      'retain/wildcard-subscription',
    ],
    up: (p, link) => {
      if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
      return [subscribeWith(p, link, (filter, value) => [filter.replaceAll(/[+#]/g, '?'), value])]
    },
  },
  {
    does: 'takes $ inside of a topic for something special',
    caught: ['topics/match-dollar-inside', 'topics/match-dollar-inside-wildcard'],
    up: (p, link) =>
      p.kind === 'publish' && /.\$/.test(p.topic ?? '') ? [publishWith(p, link, { topic: `$${p.topic}` })] : undefined,
  },
  {
    does: 'cuts topics after a thousand bytes',
    caught: ['topics/long-topic'],
    up: (p, link) =>
      p.kind === 'publish' && p.problems.length === 0
        ? [publishWith(p, link, { topic: p.topic?.slice(0, 1000) ?? '' })]
        : undefined,
  },
  { does: 'does not know No Local', caught: ['subscribe/no-local'], versions: [5], up: options((value) => value & ~4) },
  {
    does: 'keeps messages back from their publisher always',
    caught: ['subscribe/several-filters', 'subscribe/replaced'],
    versions: [5],
    up: options((value, filter) => (isShared(filter) ? value : value | 4)),
  },
  {
    does: 'does not know Retain As Published',
    caught: ['retain/retain-as-published', 'shared/retain-as-published'],
    versions: [5],
    up: options((value) => value & ~8),
  },
  {
    does: 'knows nothing but Retain As Published',
    caught: ['retain/live-messages-have-retain-0', 'shared/retain-as-published'],
    versions: [5],
    up: options((value) => value | 8),
  },
  {
    does: 'takes Retain Handling 1 and 2 for 0',
    caught: ['retain/handling-1', 'retain/handling-2'],
    versions: [5],
    up: options((value) => value & ~0x30),
  },
  {
    does: 'takes Retain Handling 0 for 1',
    caught: ['retain/handling-0', 'retain/again-for-a-repeated-subscription'],
    versions: [5],
    up: options((value) => ((value & 0x30) === 0 ? value | 0x10 : value)),
  },
  {
    does: 'takes Retain Handling 1 for 2',
    caught: ['retain/handling-1'],
    versions: [5],
    up: options((value) => ((value & 0x30) === 0x10 ? (value & ~0x30) | 0x20 : value)),
  },
  {
    does: 'sends no Subscription Identifiers',
    caught: [
      'subscribe/identifier-1',
      'subscribe/identifier-127',
      'subscribe/identifier-128',
      'subscribe/identifier-268435455',
      'shared/subscription-identifier',
    ],
    down: identified(() => []),
  },
  {
    does: 'sends the smallest of several Subscription Identifiers',
    caught: ['subscribe/identifiers-of-overlapping-subscriptions'],
    down: identified((ids) => [Math.min(...ids)]),
  },
  {
    does: 'keeps seven bits of a Subscription Identifier',
    caught: ['subscribe/identifier-128', 'subscribe/identifier-268435455'],
    down: identified((ids) => ids.map((id) => id & 127 || 1)),
  },
  {
    does: 'sends no Subscription Identifier with retained messages',
    caught: ['subscribe/identifier-with-retained'],
    down: identified((ids, p) => (p.retain === true ? [] : ids)),
  },
  {
    does: 'keeps the first Subscription Identifier of a filter',
    caught: ['subscribe/identifier-replaced'],
    down: identified((ids, _, link) => {
      const first = (link.notes.get('first') as number[] | undefined) ?? ids
      link.notes.set('first', first)
      return first
    }),
  },
  {
    does: 'forgets Subscription Identifiers when the connection ends',
    caught: ['subscribe/identifier-of-a-resumed-session'],
    down: identified((ids, _, link) => (link.filters.size === 0 ? [] : ids)),
  },
]
