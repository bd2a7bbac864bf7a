// Deviations in the QoS of a message and in the exchanges of QoS 1 and 2.

import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { forwarding, isPublish, publishWith, withIdentifier } from './words.ts'

export const exchanges: readonly Deviation[] = [
  {
    does: 'raises QoS 0 to the QoS of the subscription',
    caught: [
      'qos/published-0-granted-0',
      'qos/published-1-granted-0',
      'qos/published-2-granted-0',
      'qos/published-0-granted-1',
      'qos/published-0-granted-2',
      'will/qos-0',
    ],
    down: forwarding((p) => (p.qos === 0 ? { qos: 1, packetId: 60_000 } : undefined)),
    up: (p) => (p.kind === 'puback' && p.packetId === 60_000 ? [] : undefined),
  },
  {
    does: 'lowers QoS 1 to 0',
    caught: ['qos/published-1-granted-1', 'qos/published-1-granted-2', 'qos/published-2-granted-1', 'will/qos-1'],
    down(p, link) {
      if (!isPublish(p) || p.qos !== 1) return undefined
      link.toBroker(wire.puback(p.packetId ?? 0))
      return [publishWith(p, link, { qos: 0, dup: false })]
    },
  },
  {
    does: 'delivers QoS 2 with QoS 1',
    caught: ['qos/published-2-granted-2', 'qos/sender-qos-2', 'will/qos-2'],
    down(p, link) {
      if (p.kind === 'pubrel') {
        link.toBroker(wire.pubcomp(p.packetId ?? 0))
        return []
      }
      return isPublish(p) && p.qos === 2 ? [publishWith(p, link, { qos: 1 })] : undefined
    },
    up: (p) => (p.kind === 'puback' ? [wire.pubrec(p.packetId ?? 0)] : undefined),
  },
  {
    does: 'sends PUBREL with the next identifier',
    caught: ['qos/sender-qos-2', 'session/pubrel-sent-again'],
    down: (p) => (p.kind === 'pubrel' ? [withIdentifier(p, (p.packetId ?? 0) + 1)] : undefined),
  },
  {
    does: 'sends PUBREL to the first of two PUBRECs last',
    caught: ['session/pubrel-order'],
    down(p, { notes }) {
      if (p.kind !== 'pubrel' || notes.has('done')) return undefined
      const held = notes.get('held') as Buffer | undefined
      if (held === undefined) {
        notes.set('held', p.bytes)
        return []
      }
      notes.set('done', true)
      return [p.bytes, held]
    },
  },
  {
    does: 'goes on with PUBREL after a PUBREC that refuses',
    caught: ['qos/pubrec-refusal-ends-the-exchange'],
    up(p, link) {
      if (p.kind === 'pubrec' && (p.code ?? 0) >= 0x80) link.toClient(wire.pubrel(p.packetId ?? 0))
      return undefined
    },
  },
  {
    does: 'does not see the reason code of PUBACK and PUBREC and sends the message again on resuming',
    caught: ['qos/puback-refusal-ends-the-exchange'],
    up: (p) => (p.kind === 'puback' && (p.code ?? 0) >= 0x80 ? [] : undefined),
  },
  {
    does: 'sends what was acknowledged again on resuming',
    caught: ['session/acknowledged-is-not-sent-again'],
    up: (p) => (p.kind === 'puback' ? [] : undefined),
  },
  {
    does: 'sends the PUBLISH again where PUBREL is due',
    caught: ['session/pubrel-sent-again'],
    up(p, link) {
      if (p.kind !== 'pubrec') return undefined
      link.toClient(wire.pubrel(p.packetId ?? 0))
      return []
    },
  },
  {
    does: 'delivers a QoS 2 message again when it is repeated before PUBREL',
    caught: ['qos/qos-2-repeated-before-pubrel', 'session/inbound-qos-2-remembered'],
    up: (p, { world }) => {
      if (isPublish(p) && p.qos === 2 && p.dup === true) {
        world.publish({ topic: p.topic ?? '', payload: p.payload ?? '', qos: 0 })
      }
      return undefined
    },
  },
  {
    does: 'leaves a repeated QoS 2 PUBLISH unanswered',
    caught: ['qos/qos-2-repeated-before-pubrel', 'qos/qos-2-repeated-often', 'session/inbound-qos-2-remembered'],
    up: (p) => (isPublish(p) && p.qos === 2 && p.dup === true ? [] : undefined),
  },
  {
    does: 'takes an identifier that was used before for a repetition',
    caught: ['qos/identifier-reused-after-puback', 'qos/identifier-reused-after-pubcomp'],
    up(p, link) {
      const { notes } = link
      if (!isPublish(p) || (p.qos ?? 0) === 0) return undefined
      const seen = notes.has(p.packetId ?? 0)
      notes.set(p.packetId ?? 0, true)
      // Acknowledged as usual, and delivered to nobody.
      return seen && p.dup !== true ? [publishWith(p, link, { topic: 'nobody/listens' })] : undefined
    },
  },
  {
    does: 'takes an identifier it refused with PUBREC for one in use',
    caught: ['qos/identifier-reused-after-refusal'],
    versions: [5],
    down(p, { notes }) {
      if (p.kind === 'pubrec' && (p.code ?? 0) >= 0x80) notes.set(p.packetId ?? 0, true)
      return undefined
    },
    up(p, link) {
      if (!isPublish(p) || p.qos !== 2 || !link.notes.has(p.packetId ?? 0)) return undefined
      link.toClient(wire.pubrec(p.packetId ?? 0))
      return []
    },
  },
  {
    does: 'does not understand a PUBACK with a reason code',
    caught: ['properties/puback-long-form', 'properties/puback-code-only-form'],
    versions: [5],
    up: (p) => (p.kind === 'puback' && p.bytes.length > 4 ? [] : undefined),
  },
  {
    does: 'gives up a message it has sent once it has expired',
    caught: ['expiry/never-once-begun-qos-2'],
    versions: [5],
    down: (p) => (isPublish(p) && p.dup === true ? [] : undefined),
  },
  {
    does: 'sends what it has sent again under another identifier once it has expired',
    caught: ['expiry/never-once-begun-qos-1'],
    versions: [5],
    down: forwarding((p) => (p.dup === true ? { packetId: 999 } : undefined)),
  },
  {
    does: 'does not complete the exchange of a message with an expiry',
    caught: ['expiry/exchange-goes-on'],
    versions: [5],
    up(p, { notes }) {
      if (isPublish(p) && p.properties?.some((q) => q.name === 'messageExpiryInterval'))
        notes.set(p.packetId ?? 0, true)
      return p.kind === 'pubrel' && notes.has(p.packetId ?? 0) ? [] : undefined
    },
  },
  {
    does: 'answers a QoS 0 message with PUBACK',
    caught: ['publish/qos-0-is-not-answered', 'publish/answers-nothing-to-qos-0'],
    up(p, link) {
      if (isPublish(p) && p.qos === 0) link.toClient(wire.puback(1))
      return undefined
    },
  },
  {
    does: 'confuses its own identifiers with those of the client',
    caught: ['publish/same-identifier-both-ways'],
    up(p, { notes }) {
      if (isPublish(p) && p.qos === 2) notes.set(p.packetId ?? 0, true)
      return undefined
    },
    down: (p, { notes }) => (p.kind === 'pubrel' && notes.has(p.packetId ?? 0) ? [] : undefined),
  },
]
