// Deviations in limits: Receive Maximum, Maximum Packet Size, Topic Aliases; and the broker that closes nothing.

import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { connectWith, isProperty, propertiesOf, publishWith } from './words.ts'

/** Understands the client to have announced something else; undefined for nothing. */
const announced =
  (name: string, value?: (was: number) => number): NonNullable<Deviation['up']> =>
  (p, link) =>
    connectWith(p, link, (c) => {
      const was = p.properties?.find((q) => q.name === name)?.value
      if (was === undefined) return
      c.properties = c.properties.filter((q) => !isProperty(q, name))
      if (value !== undefined) c.properties.push(wire.property(name, value(Number(was))))
    })

export const limits: readonly Deviation[] = [
  {
    does: 'does not know Receive Maximum',
    caught: [
      'flow-control/initial-quota-qos-1',
      'flow-control/initial-quota-qos-2',
      'flow-control/one-for-one-qos-1',
      'flow-control/one-for-one-qos-2',
      'flow-control/pubrec-does-not-free',
      'flow-control/window-is-of-the-connection',
      'flow-control/retained-messages-wait',
      'flow-control/receive-maximum-kept',
    ],
    versions: [5],
    up: announced('receiveMaximum'),
  },
  {
    does: 'exceeds the Receive Maximum by one',
    caught: [
      'flow-control/initial-quota-qos-1',
      'flow-control/initial-quota-qos-2',
      'flow-control/receive-maximum-kept',
      'flow-control/retained-messages-wait',
    ],
    versions: [5],
    up: announced('receiveMaximum', (was) => was + 1),
  },
  {
    does: 'has one message in flight, whatever the Receive Maximum',
    caught: ['flow-control/initial-quota-qos-1', 'flow-control/initial-quota-qos-2'],
    versions: [5],
    up: announced('receiveMaximum', () => 1),
  },
  {
    does: 'frees a place for a PUBREC that succeeds',
    caught: ['flow-control/pubrec-does-not-free'],
    versions: [5],
    up(p, link) {
      if (p.kind === 'connect') return announced('receiveMaximum', (was) => was + 1)(p, link)
      return undefined
    },
  },
  {
    does: 'does not free the place of a message refused with PUBREC',
    caught: ['flow-control/refusing-pubrec-frees'],
    versions: [5],
    up: (p) => (p.kind === 'pubrec' && (p.code ?? 0) >= 0x80 ? [] : undefined),
  },
  {
    does: 'answers nothing while the window is full',
    caught: ['flow-control/nothing-else-waits'],
    versions: [5],
    up(p, { notes }) {
      if (p.kind === 'puback') notes.set('free', true)
      return notes.has('full') && !notes.has('free') && p.kind !== 'puback' ? [] : undefined
    },
    down(p, { notes }) {
      if (p.kind === 'publish' && (p.qos ?? 0) > 0) notes.set('full', true)
      return undefined
    },
  },
  {
    does: 'accepts more than its own Receive Maximum',
    caught: ['flow-control/client-exceeds-it'],
    versions: [5],
    up(p, link) {
      if (p.kind !== 'publish' || p.qos !== 2) return undefined
      link.toClient(wire.pubrec(p.packetId ?? 0))
      return []
    },
  },
  {
    does: 'accepts one less than its own Receive Maximum',
    caught: ['flow-control/client-uses-it-fully'],
    versions: [5],
    up(p, link) {
      if (p.kind !== 'publish' || p.qos !== 2) return undefined
      const n = Number(link.notes.get('n') ?? 0) + 1
      link.notes.set('n', n)
      if (n < Math.min(Number(link.notes.get('most') ?? 65_535), 1000)) return undefined
      link.toClient(wire.disconnect(0x93))
      link.close()
      return []
    },
    down(p, link) {
      const most = p.properties?.find((q) => q.name === 'receiveMaximum')?.value
      if (p.kind === 'connack' && most !== undefined) link.notes.set('most', most)
      return undefined
    },
  },
  {
    does: 'does not know Maximum Packet Size',
    caught: [
      'packet-size/too-large-message-qos-0',
      'packet-size/too-large-message-qos-1',
      'packet-size/too-large-message-qos-2',
      'packet-size/large-retained-message',
      'packet-size/too-large-while-away',
      'packet-size/exact-size',
      'packet-size/publish-within-the-limit',
    ],
    versions: [5],
    up: announced('maximumPacketSize'),
  },
  {
    does: 'exceeds the Maximum Packet Size by one byte',
    caught: ['packet-size/exact-size'],
    versions: [5],
    up: announced('maximumPacketSize', (was) => was + 1),
  },
  {
    does: 'stays a byte below the Maximum Packet Size',
    caught: ['packet-size/exact-size'],
    versions: [5],
    up: announced('maximumPacketSize', (was) => was - 1),
  },
  {
    does: 'explains every answer, whatever the Maximum Packet Size',
    caught: ['packet-size/small-answers'],
    versions: [5],
    down: (p) =>
      p.kind === 'suback'
        ? [
            wire.packet(
              0x90,
              wire.u16(p.packetId ?? 0),
              wire.properties(wire.property('reasonString', 'x'.repeat(200))),
              p.codes ?? [],
            ),
          ]
        : undefined,
  },
  {
    does: 'passes the alias of the publisher on',
    caught: ['alias/not-forwarded', 'alias/server-keeps-to-the-maximum'],
    versions: [5],
    down: (p, link) =>
      p.kind === 'publish' && link.version === 5
        ? [publishWith(p, link, { properties: [...propertiesOf(p, ['topicAlias']), wire.property('topicAlias', 1)] })]
        : undefined,
  },
  {
    does: 'uses aliases above what the client allows',
    caught: ['alias/server-aliases', 'alias/server-keeps-to-the-maximum'],
    versions: [5],
    up: announced('topicAliasMaximum', (was) => was + 10),
    down: (p, link) =>
      p.kind === 'publish' && p.properties?.some((q) => q.name === 'topicAlias')
        ? [
            publishWith(p, link, {
              properties: [...propertiesOf(p, ['topicAlias']), wire.property('topicAlias', 60_000)],
            }),
          ]
        : undefined,
  },
  {
    does: 'uses an alias it has not set on this connection',
    caught: ['alias/server-sets-before-it-uses', 'alias/server-aliases', 'alias/server-aliases-after-reconnection'],
    versions: [5],
    down: (p, link) =>
      p.kind === 'publish' && p.properties?.some((q) => q.name === 'topicAlias')
        ? [publishWith(p, link, { topic: '' })]
        : undefined,
  },
  {
    does: 'ignores a PUBLISH with an alias that was never set or is too high',
    caught: ['alias/unknown', 'alias/above-the-maximum'],
    versions: [5],
    up: (p) => {
      const alias = Number(p.properties?.find((q) => q.name === 'topicAlias')?.value ?? 0)
      return p.kind === 'publish' && alias > 0 && (p.topic === '' || alias > 10) ? [] : undefined
    },
  },
  {
    does: 'remembers the aliases of a client beyond its connection',
    caught: ['alias/gone-with-the-connection'],
    versions: [5],
    up(p, link) {
      const alias = p.properties?.find((q) => q.name === 'topicAlias')?.value
      if (p.kind !== 'publish' || alias === undefined) return undefined
      const key = `${link.clientId} ${alias}`
      if (p.topic !== '') link.world.notes.set(key, p.topic)
      const topic = link.world.notes.get(key) as string | undefined
      return topic === undefined ? undefined : [publishWith(p, link, { topic })]
    },
  },
  {
    does: 'keeps the first topic of an alias',
    caught: ['alias/accepted'],
    versions: [5],
    up(p, link) {
      const alias = p.properties?.find((q) => q.name === 'topicAlias')?.value as number | undefined
      if (p.kind !== 'publish' || alias === undefined) return undefined
      if (p.topic !== '' && !link.notes.has(alias)) link.notes.set(alias, p.topic)
      const topic = link.notes.get(alias) as string | undefined
      return topic === undefined || p.topic !== '' ? undefined : [publishWith(p, link, { topic })]
    },
  },
]

/** A broker that never closes a connection and says nothing where it should have. */
export const closesNothing: Pick<Deviation, 'down' | 'closed'> = {
  down: (p) => (p.kind === 'disconnect' || (p.kind === 'connack' && p.code !== 0) ? [] : undefined),
  closed: () => true,
}
