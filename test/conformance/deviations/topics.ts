// Deviations in what topics are taken for equal and what matches what.

import type { Deviation } from './proxy.ts'
import { isPublish, publishWith, subscribeWith } from './words.ts'

/** Changes the Topic Names of publishers and the filters of subscribers, as a broker that compares loosely would. */
const loosely =
  (change: (text: string) => string): NonNullable<Deviation['up']> =>
  (p, link) => {
    if (isPublish(p)) return [publishWith(p, link, { topic: change(p.topic ?? '') })]
    if (p.kind !== 'subscribe' || p.problems.length > 0) return undefined
    return [subscribeWith(p, link, (filter, options) => [change(filter), options])]
  }

export const topics: readonly Deviation[] = [
  {
    does: 'strips U+FEFF from topics',
    caught: ['utf8/u-feff-is-kept'],
    up: loosely((text) => text.replaceAll('\ufeff', '')),
  },
  { does: 'normalizes topics', caught: ['utf8/no-normalization'], up: loosely((text) => text.normalize('NFC')) },
  { does: 'compares topics without case', caught: ['topics/match-case'], up: loosely((text) => text.toLowerCase()) },
  { does: 'trims spaces in topics', caught: ['topics/match-space'], up: loosely((text) => text.replaceAll(' ', '')) },
  {
    does: 'ignores empty levels',
    caught: ['topics/match-empty-levels', 'topics/match-trailing-slash', 'topics/match-leading-slash'],
    up: loosely((text) => text.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1')),
  },
  {
    does: 'ignores a slash in front',
    caught: ['topics/slash-in-front'],
    up: loosely((text) => text.replace(/^\//, '')),
  },
  {
    does: 'takes characters beyond ASCII for one and the same',
    caught: ['topics/match-unicode'],
    up: loosely((text) => text.replace(/[^ -~]/gu, '?')),
  },
  {
    does: 'lets # at the end match only what is below',
    caught: ['topics/match-hash'],
    up: (p, link) =>
      p.kind === 'subscribe' && p.problems.length === 0
        ? [subscribeWith(p, link, (filter, options) => [filter.replace(/\/#$/, '/+/#'), options])]
        : undefined,
  },
  {
    does: 'takes + for # where it stands last',
    caught: ['topics/match-plus-last'],
    up: (p, link) =>
      p.kind === 'subscribe' && p.problems.length === 0
        ? [subscribeWith(p, link, (filter, options) => [filter.replace(/\/\+$/, '/#'), options])]
        : undefined,
  },
  {
    does: 'delivers topics that begin with $ to filters that begin with a wildcard',
    caught: ['topics/dollar-topics'],
    up(p, { world }) {
      if (!isPublish(p) || !p.topic?.startsWith('$')) return undefined
      for (const other of world.links) {
        const wild = [...other.filters].some((filter) => /^[+#]/.test(filter))
        if (wild) other.toClient(publishWith(p, other, { qos: 0, retain: false, dup: false, properties: [] }))
      }
      return undefined
    },
  },
]
