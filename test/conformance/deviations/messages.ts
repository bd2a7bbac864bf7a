// Deviations in how messages are forwarded: flags, identifiers, order, payload.

import type { Deviation } from './proxy.ts'
import { forwarding, isPublish, textOf, withByte } from './words.ts'

export const messages: readonly Deviation[] = [
  {
    does: 'passes on the DUP flag of the publisher',
    caught: ['publish/dup-is-not-propagated-qos-1', 'publish/dup-is-not-propagated-qos-2'],
    up(p, { world }) {
      if (isPublish(p) && p.dup === true) world.notes.set(textOf(p), true)
      return undefined
    },
    down: forwarding((p, { world }) => ({ dup: (p.qos ?? 0) > 0 && world.notes.has(textOf(p)) })),
  },
  {
    does: 'forwards QoS 0 with DUP',
    caught: ['publish/qos-0-without-dup'],
    down: forwarding((p) => (p.qos === 0 ? { dup: true } : undefined)),
  },
  {
    does: 'forwards with the RETAIN flag the message came with',
    caught: ['retain/live-messages-have-retain-0'],
    up(p, { world }) {
      if (isPublish(p) && p.retain === true) world.notes.set(textOf(p), true)
      return undefined
    },
    down: forwarding((p, { world }) => (world.notes.has(textOf(p)) ? { retain: true } : undefined)),
  },
  {
    does: 'forwards without RETAIN',
    caught: [
      'retain/stored-qos-0',
      'retain/stored-qos-1',
      'retain/stored-qos-2',
      'retain/retain-as-published',
      'retain/retained-with-rap-0',
      'shared/retain-as-published',
      'will/retained',
    ],
    down: forwarding(() => ({ retain: false })),
  },
  {
    does: 'sends again without DUP',
    caught: ['session/qos-1-sent-again', 'session/qos-2-sent-again', 'session/takeover-resumes'],
    down: forwarding((p) => (p.dup === true ? { dup: false } : undefined)),
  },
  {
    does: 'sends QoS 1 and 2 with Packet Identifier 0',
    caught: ['qos/server-packet-identifiers', 'qos/sender-qos-1'],
    down: forwarding((p) => ((p.qos ?? 0) > 0 ? { packetId: 0 } : undefined)),
  },
  {
    does: 'uses one identifier for everything',
    caught: ['qos/server-packet-identifiers'],
    versions: [5],
    down: forwarding((p) => ((p.qos ?? 0) > 0 ? { packetId: 1 } : undefined)),
  },
  {
    does: 'delivers everything twice',
    caught: [
      'will/after-fin',
      'will/after-close',
      'will/after-reset',
      'subscribe/replaced',
      'publish/only-matching-topics',
      'shared/exactly-one-member-qos-0',
      'retain/wildcard-subscription',
      'qos/order-qos-0',
      'will/delay-ends-with-clean-start',
      'unsubscribe/exact-comparison',
    ],
    down: (p) => (isPublish(p) && p.qos === 0 ? [p.bytes, p.bytes] : undefined),
  },
  {
    does: 'sends a message a second time on the same connection',
    caught: ['qos/no-resend-while-connected'],
    down: (p) => (isPublish(p) && p.qos === 1 ? [p.bytes, withByte(p, 0, (p.bytes[0] ?? 0) | 8)] : undefined),
  },
  {
    does: 'lets every message overtake the one before it',
    caught: [
      'qos/order-qos-0',
      'qos/order-qos-1',
      'qos/order-qos-2',
      'qos/order-to-many',
      'format/many-packets-in-one-write',
      'session/qos-1-stored-while-away',
      'session/sixty-stored-qos-1',
      'expiry/order-behind-an-expired-message',
    ],
    down(p, link) {
      const held = link.notes.get('held') as Buffer | undefined
      link.notes.delete('held')
      if (isPublish(p) && held === undefined) {
        link.notes.set('held', p.bytes)
        return []
      }
      return held === undefined ? undefined : [p.bytes, held]
    },
  },
  {
    does: 'loses the eighth message of each connection',
    caught: ['qos/order-qos-0', 'session/sixty-stored-qos-1', 'session/sixty-stored-qos-2', 'qos/order-to-many'],
    down(p, { notes }) {
      if (!isPublish(p)) return undefined
      const n = Number(notes.get('n') ?? 0) + 1
      notes.set('n', n)
      return n === 8 ? [] : undefined
    },
  },
  {
    does: 'cuts payloads of more than a hundred bytes',
    caught: ['publish/payload-of-127', 'publish/payload-of-16384'],
    down: forwarding((p) =>
      (p.payload?.length ?? 0) > 100 ? { payload: p.payload?.subarray(0, -1) ?? '' } : undefined,
    ),
  },
  {
    does: 'adds a zero byte to short payloads',
    caught: ['publish/payload-of-0', 'publish/payload-of-1', 'will/empty-payload'],
    down: forwarding((p) =>
      (p.payload?.length ?? 0) < 2 ? { payload: Buffer.concat([p.payload!, Buffer.of(0)]) } : undefined,
    ),
  },
  {
    does: 'reads payloads as text',
    caught: ['publish/binary-payload'],
    down: forwarding((p) => ({ payload: p.payload?.toString('utf8') ?? '' })),
  },
  {
    does: 'puts wildcards into Topic Names',
    caught: ['topics/server-topic-names'],
    down: forwarding((p) => ({ topic: `${p.topic}/+` })),
  },
  {
    does: 'sends QoS 3',
    caught: ['publish/server-qos-is-not-3'],
    down: (p) => (isPublish(p) && p.qos === 2 ? [withByte(p, 0, 0x36)] : undefined),
  },
]
