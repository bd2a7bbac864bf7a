// Deviations in Will Messages.

import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { type ConnectFields, connectWith, isProperty, understanding } from './words.ts'

const without = (list: readonly Buffer[], name: string): Buffer[] => list.filter((p) => !isProperty(p, name))

const hasWill = (
  change: (will: NonNullable<ConnectFields['will']>, fields: ConnectFields) => void,
): NonNullable<Deviation['up']> =>
  understanding((c) => {
    if (c.will !== undefined) change(c.will, c)
  })

export const wills: readonly Deviation[] = [
  {
    does: 'forgets the will',
    caught: [
      'will/after-fin',
      'will/after-close',
      'will/after-reset',
      'will/after-protocol-error',
      'will/after-keep-alive',
      'will/after-takeover',
      'will/empty-payload',
      'will/will-for-a-session-that-is-away',
      'will/behind-what-came-before',
      'connect/field-order',
      'will/delay-passes',
      'will/delay-ends-with-session',
      'will/delay-ends-with-session-expiry',
      'will/after-invalid-disconnect',
    ],
    up: understanding((c) => {
      c.will = undefined
    }),
  },
  {
    does: 'publishes the will in spite of DISCONNECT',
    caught: ['will/not-after-disconnect', 'will/forgotten-after-disconnect', 'disconnect/reason-code-0-long-form'],
    up: (p, link) => {
      if (p.kind !== 'disconnect') return undefined
      link.close()
      return []
    },
  },
  {
    does: 'takes every DISCONNECT for a normal one',
    caught: [
      'will/disconnect-with-will',
      'will/after-disconnect-0x80',
      'will/after-disconnect-0x81',
      'will/after-disconnect-0x97',
    ],
    versions: [5],
    up: (p) => (p.kind === 'disconnect' && p.problems.length === 0 ? [wire.disconnect(0)] : undefined),
  },
  {
    does: 'takes the end of the stream for a DISCONNECT',
    caught: ['will/after-fin', 'will/after-close', 'will/after-reset', 'will/behind-what-came-before'],
    gone: () => [wire.disconnect()],
  },
  {
    does: 'publishes a will of its own where there was none',
    caught: ['will/none-without-will-flag', 'will/not-twice'],
    up(p, link) {
      for (const filter of p.filters ?? [])
        if (/\/will(\/#)?$/.test(filter)) link.world.notes.set(filter.replace('/#', ''), true)
      return connectWith(p, link, (c) => {
        const topic = [...link.world.notes.keys()].find((name) => c.clientId.startsWith(name.split('/')[1] ?? ''))
        if (c.will !== undefined || topic === undefined) return
        c.will = { properties: [], topic: Buffer.from(topic), payload: Buffer.from('x') }
        c.flags |= 4
      })
    },
  },
  {
    does: 'publishes wills with QoS 0',
    caught: ['will/qos-1', 'will/qos-2', 'will/will-for-a-session-that-is-away'],
    up: hasWill((_, c) => {
      c.flags &= ~0x18
    }),
  },
  {
    does: 'publishes wills with QoS 1',
    caught: ['will/qos-0', 'will/qos-2'],
    up: hasWill((_, c) => {
      c.flags = (c.flags & ~0x18) | 8
    }),
  },
  {
    does: 'retains every will',
    caught: ['will/not-retained'],
    up: hasWill((_, c) => {
      c.flags |= 0x20
    }),
  },
  {
    does: 'retains no will',
    caught: ['will/retained'],
    up: hasWill((_, c) => {
      c.flags &= ~0x20
    }),
  },
  {
    does: 'ignores the Will Delay',
    caught: ['will/delay-passes', 'will/delay-cut-short-by-return'],
    versions: [5],
    up: hasWill((w) => {
      w.properties = without(w.properties, 'willDelayInterval')
    }),
  },
  {
    does: 'delays a will beyond the end of its session',
    caught: ['will/delay-ends-with-session', 'will/delay-ends-with-session-expiry'],
    versions: [5],
    up: understanding((c) => {
      if (c.will === undefined) return
      c.properties = [...without(c.properties, 'sessionExpiryInterval'), wire.property('sessionExpiryInterval', 700)]
      c.clientId += 'x'
    }),
  },
  {
    does: 'publishes wills without their properties',
    caught: ['will/properties'],
    versions: [5],
    up: hasWill((w) => {
      w.properties = w.properties.filter((p) => isProperty(p, 'willDelayInterval'))
    }),
  },
  {
    does: 'turns the User Properties of a will around',
    caught: ['will/properties'],
    versions: [5],
    up: hasWill((w) => {
      w.properties.reverse()
    }),
  },
  {
    does: 'publishes no will without payload',
    caught: ['will/empty-payload'],
    up: understanding((c) => {
      if (c.will?.payload.length === 0) c.will = undefined
    }),
  },
  {
    does: 'publishes a will before the messages that came before it',
    caught: ['will/behind-what-came-before'],
    up(p, link) {
      const held = (link.notes.get('held') as Buffer[] | undefined) ?? []
      if (p.kind === 'publish' && link.notes.has('will')) {
        setTimeout(() => link.world.publish({ topic: p.topic ?? '', payload: p.payload ?? '', qos: 0 }), 100).unref()
        return held
      }
      if (p.kind === 'connect' && p.details?.includes(' will ')) link.notes.set('will', true)
      return undefined
    },
  },
]
