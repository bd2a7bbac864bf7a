// Deviations in retained messages.

import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { filtersOf, isShared, publishWith } from './words.ts'

export const retained: readonly Deviation[] = [
  {
    does: 'retains nothing of a publisher that is gone',
    caught: ['retain/survives-its-publisher', 'will/retained'],
    up(p, link) {
      if (p.kind === 'publish' && p.retain === true && p.payload?.length !== 0)
        link.notes.set(`retained ${p.topic}`, true)
      return undefined
    },
    gone(link) {
      for (const key of link.notes.keys())
        if (typeof key === 'string' && key.startsWith('retained '))
          link.world.publish({ topic: key.slice(9), retain: true })
      return [wire.disconnect()]
    },
  },
  {
    does: 'keeps the first retained message of a topic',
    caught: ['retain/replaced', 'retain/replaced-by-qos-0'],
    up(p, link) {
      if (p.kind !== 'publish' || p.retain !== true || p.payload?.length === 0) return undefined
      const seen = link.world.notes.has(`r ${p.topic}`)
      link.world.notes.set(`r ${p.topic}`, true)
      return seen ? [publishWith(p, link, { retain: false })] : undefined
    },
  },
  {
    does: 'does not let QoS 0 displace a retained message',
    caught: ['retain/replaced-by-qos-0'],
    up: (p, link) =>
      p.kind === 'publish' &&
      p.retain === true &&
      p.qos === 0 &&
      p.payload?.length !== 0 &&
      !p.topic?.endsWith('/retained')
        ? [publishWith(p, link, { retain: false })]
        : undefined,
  },
  {
    does: 'does not remove a retained message for an empty one',
    caught: ['retain/removed-by-empty-payload'],
    up: (p, link) =>
      p.kind === 'publish' && p.retain === true && p.payload?.length === 0
        ? [publishWith(p, link, { retain: false })]
        : undefined,
  },
  {
    does: 'does not deliver the empty message that removes',
    caught: ['retain/removed-by-empty-payload'],
    down: (p) => (p.kind === 'publish' && p.payload?.length === 0 && p.qos === 0 ? [] : undefined),
  },
  {
    does: 'stores an empty message',
    caught: ['retain/empty-is-not-stored'],
    down: (p, link) => {
      if (p.kind !== 'suback') return undefined
      const topic = [...link.filters].find(
        (filter) => !/[+#]/.test(filter) && !isShared(filter) && link.world.notes.has(`empty ${filter}`),
      )
      return topic === undefined ? undefined : [p.bytes, wire.publish(link.version, { topic, retain: true })]
    },
    up(p, link) {
      if (p.kind === 'publish' && p.retain === true && p.payload?.length === 0)
        link.world.notes.set(`empty ${p.topic}`, true)
      return undefined
    },
  },
  {
    does: 'retains every message',
    caught: ['retain/without-flag-nothing-changes'],
    up: (p, link) =>
      p.kind === 'publish' && p.problems.length === 0 ? [publishWith(p, link, { retain: true })] : undefined,
  },
  {
    does: 'sends retained messages for the first subscription only',
    caught: ['retain/again-for-a-repeated-subscription'],
    versions: [4],
    up(p, link) {
      if (p.kind === 'subscribe')
        for (const [filter] of filtersOf(p))
          link.notes.set(`n ${filter}`, Number(link.notes.get(`n ${filter}`) ?? 0) + 1)
      return undefined
    },
    down: (p, link) =>
      p.kind === 'publish' && p.retain === true && Number(link.notes.get(`n ${p.topic}`)) > 1 ? [] : undefined,
  },
  {
    does: 'sends retained messages of $ topics to #',
    caught: ['topics/hash-gets-no-dollar-topics'],
    down: (p, link) =>
      p.kind === 'suback' && link.filters.has('#')
        ? [p.bytes, wire.publish(link.version, { topic: '$SYS/x', payload: 'x', retain: true })]
        : undefined,
  },
]
