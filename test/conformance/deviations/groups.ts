// Deviations in Shared Subscriptions.

import type { Packet } from '../../../conformance/packet.ts'
import type { Deviation, Link } from './proxy.ts'
import { deafTo, filtersOf, isShared, options, pretending, publishWith, subscribeWith } from './words.ts'

const plain = (filter: string): string => filter.replace(/^\$share\/[^/]*\//, '')

/** Another member of the same group, if there is one. */
const otherMember = (link: Link): Link | undefined =>
  [...link.world.links].find(
    (other) => other !== link && [...other.filters].some((f) => isShared(f) && link.filters.has(f)),
  )

/** Gives what a member was sent to another member when `when` says so. */
const givesAway = (when: (p: Packet) => boolean): Pick<Deviation, 'up' | 'down'> => ({
  down(p, link) {
    if (p.kind === 'publish' && (p.qos ?? 0) > 0) link.notes.set(p.packetId ?? 0, p)
    return undefined
  },
  up(p, link) {
    const message = link.notes.get(p.packetId ?? 0) as Packet | undefined
    if (message === undefined || !when(p)) return undefined
    const other = otherMember(link)
    other?.toClient(publishWith(message, other, { qos: 0, dup: false }))
    return undefined
  },
})

export const groups: readonly Deviation[] = [
  {
    does: 'sends messages of a group to all members',
    caught: ['shared/exactly-one-member-qos-0', 'shared/exactly-one-member-qos-1', 'shared/exactly-one-member-qos-2'],
    versions: [5],
    up: (p, link) => {
      if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
      return [subscribeWith(p, link, (filter, value) => [isShared(filter) ? plain(filter) : filter, value])]
    },
  },
  {
    does: 'has one group for a filter, whatever its name',
    caught: ['shared/groups-are-independent'],
    versions: [5],
    up: (p, link) => {
      if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
      return [
        subscribeWith(p, link, (filter, value) => [isShared(filter) ? `$share/one/${plain(filter)}` : filter, value]),
      ]
    },
  },
  {
    does: 'takes what is behind the ShareName for a plain topic',
    caught: ['shared/filter-behind-the-name'],
    versions: [5],
    up: (p, link) => {
      if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
      return [
        subscribeWith(p, link, (filter, value) => [isShared(filter) ? filter.replace(/[+#]/g, '?') : filter, value]),
      ]
    },
  },
  {
    does: 'sends retained messages to new members',
    caught: ['shared/no-retained'],
    versions: [5],
    up(p, link) {
      if (p.kind === 'publish' && p.retain === true) link.world.notes.set(`kept ${p.topic}`, p)
      return undefined
    },
    down(p, link) {
      if (p.kind !== 'suback') return undefined
      for (const filter of link.filters) {
        const kept = isShared(filter)
          ? (link.world.notes.get(`kept ${plain(filter)}`) as Packet | undefined)
          : undefined
        if (kept !== undefined) return [p.bytes, publishWith(kept, link, { qos: 0 })]
      }
      return undefined
    },
  },
  {
    does: 'accepts No Local for a Shared Subscription',
    caught: ['shared/no-local-is-an-error'],
    versions: [5],
    up: options((value, filter) => (isShared(filter) ? value & ~4 : value)),
  },
  {
    does: 'delivers to groups with QoS 2, whatever was granted',
    caught: ['shared/granted-qos'],
    versions: [5],
    ...pretending((qos, filter) => (isShared(filter) ? 2 : qos)),
  },
  {
    does: 'keeps a member whose session is gone',
    caught: ['shared/member-that-left'],
    versions: [5],
    up(p, link) {
      if (p.kind === 'subscribe' && filtersOf(p).some(([f]) => isShared(f)))
        link.world.notes.set('members', Number(link.world.notes.get('members') ?? 0) + 1)
      return undefined
    },
    gone(link) {
      if ([...link.filters].some(isShared)) link.world.notes.set('left', true)
      return undefined
    },
    down(p, link) {
      if (p.kind !== 'publish' || !link.world.notes.has('left') || ![...link.filters].some(isShared)) return undefined
      const n = Number(link.notes.get('n') ?? 0)
      link.notes.set('n', n + 1)
      return n % 2 === 0 ? [] : undefined
    },
  },
  {
    does: 'gives a message that a member refused to another',
    caught: ['shared/refused-is-discarded-qos-1', 'shared/refused-is-discarded-qos-2'],
    versions: [5],
    ...givesAway((p) => (p.kind === 'puback' || p.kind === 'pubrec') && (p.code ?? 0) >= 0x80),
  },
  {
    does: 'gives a QoS 2 message begun with one member to another',
    caught: ['shared/qos-2-completed-by-its-member', 'shared/qos-2-dies-with-its-session'],
    versions: [5],
    down(p, link) {
      if (p.kind === 'publish' && p.qos === 2 && [...link.filters].some(isShared)) link.notes.set('message', p)
      return undefined
    },
    gone(link) {
      const message = link.notes.get('message') as Packet | undefined
      const other = otherMember(link)
      if (message !== undefined) other?.toClient(publishWith(message, other, { qos: 0, dup: false }))
      return undefined
    },
  },
  {
    does: 'counts a member that subscribes twice as two',
    caught: ['shared/subscribed-twice'],
    versions: [5],
    up(p, link) {
      if (p.kind === 'subscribe')
        for (const [filter] of filtersOf(p))
          link.notes.set(`s ${filter}`, Number(link.notes.get(`s ${filter}`) ?? 0) + 1)
      return deafTo((q) => filtersOf(q).some(([filter]) => Number(link.notes.get(`s ${filter}`)) > 1))(p, link)
    },
  },
  {
    does: 'grants more than was asked for',
    caught: ['qos/published-0-granted-0', 'subscribe/several-filters', 'shared/granted-qos'],
    up: options((value) => (value & ~3) | 2),
  },
]
