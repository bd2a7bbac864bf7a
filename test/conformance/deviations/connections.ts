// Deviations in connections and sessions.

import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { bodyOf, connectWith, isProperty, propertiesOf, understanding, withByte } from './words.ts'

const CLEAN = 0x02

const without = (list: readonly Buffer[], name: string): Buffer[] => list.filter((p) => !isProperty(p, name))

/** Says in CONNACK that there was a session, or that there was none. */
const sessionPresent =
  (value: 0 | 1): NonNullable<Deviation['down']> =>
  (p) =>
    p.kind === 'connack' && p.code === 0 ? [withByte(p, bodyOf(p.bytes), value)] : undefined

export const connections: readonly Deviation[] = [
  { does: 'always says Session Present 0', caught: ['session/session-present'], down: sessionPresent(0) },
  {
    does: 'always says Session Present 1',
    caught: ['session/session-present', 'session/clean-has-no-session', 'session/clean-ends-with-connection'],
    down: sessionPresent(1),
  },
  {
    does: 'makes every session clean',
    caught: [
      'session/subscriptions-survive',
      'session/qos-1-stored-while-away',
      'session/qos-2-stored-while-away',
      'session/qos-1-sent-again',
      'session/qos-2-sent-again',
      'session/pubrel-sent-again',
      'session/takeover-resumes',
      'session/inbound-qos-2-remembered',
      'session/granted-qos-while-away',
      'session/unsubscribed-stays-unsubscribed',
      'subscribe/identifier-of-a-resumed-session',
    ],
    up: understanding((c) => {
      c.flags |= CLEAN
    }),
  },
  {
    does: 'makes no session clean',
    caught: ['session/clean-discards', 'session/clean-has-no-session'],
    versions: [4],
    up: understanding((c) => {
      if (c.clientId !== '') c.flags &= ~CLEAN
    }),
  },
  {
    does: 'ignores Clean Start 1 where there is a session',
    caught: ['session/clean-discards'],
    versions: [5],
    up: understanding((c) => {
      c.flags &= ~CLEAN
    }),
  },
  {
    does: 'keeps sessions that ended with their connection',
    caught: ['session/clean-ends-with-connection', 'session/expiry-without-property-is-0'],
    versions: [5],
    up: understanding((c) => {
      if (!c.properties.some((p) => isProperty(p, 'sessionExpiryInterval')))
        c.properties.push(wire.property('sessionExpiryInterval', 600))
    }),
  },
  {
    does: 'forgets subscriptions while their connection is open',
    caught: ['session/state-while-connected'],
    up(p, link) {
      if (p.kind === 'subscribe') {
        const forget = (): void => link.toBroker(wire.unsubscribe(link.version, 60_001, [...link.filters]))
        setTimeout(forget, 200).unref()
      }
      return undefined
    },
    down: (p) => (p.kind === 'unsuback' && p.packetId === 60_001 ? [] : undefined),
  },
  {
    does: 'takes ClientIds for equal that differ in case',
    caught: ['session/client-ids-tell-sessions-apart'],
    up: understanding((c) => {
      c.clientId = c.clientId.toLowerCase()
    }),
  },
  {
    does: 'accepts ClientIds of 20 characters at most',
    caught: ['connect/client-ids-that-must-be-allowed'],
    down: (p, link) =>
      p.kind === 'connack' && link.clientId.length > 20
        ? [link.version === 5 ? wire.packet(0x20, 0, 0x85, 0) : wire.packet(0x20, 0, 2)]
        : undefined,
  },
  {
    does: 'keeps a session as long as it likes',
    caught: ['session/expiry-passes', 'will/delay-ends-with-session-expiry'],
    versions: [5],
    up: understanding((c) => {
      if (!c.properties.some((p) => isProperty(p, 'sessionExpiryInterval'))) return
      c.properties = [...without(c.properties, 'sessionExpiryInterval'), wire.property('sessionExpiryInterval', 600)]
    }),
  },
  {
    does: 'ends a session begun with Clean Start 1 with its connection',
    caught: ['session/clean-start-with-expiry'],
    versions: [5],
    up: understanding((c) => {
      if ((c.flags & CLEAN) !== 0) c.properties = without(c.properties, 'sessionExpiryInterval')
    }),
  },
  {
    does: 'does not read the Session Expiry Interval of DISCONNECT',
    caught: [
      'session/expiry-set-by-disconnect',
      'session/expiry-extended-by-disconnect',
      'session/expiry-raised-from-0',
    ],
    versions: [5],
    up: (p) => (p.kind === 'disconnect' ? [wire.disconnect(p.code ?? 0)] : undefined),
    closed: () => true,
  },
  {
    does: 'lets DISCONNECT raise a Session Expiry Interval of 0',
    caught: ['session/expiry-raised-from-0'],
    versions: [5],
    up: (p, link) =>
      p.kind === 'disconnect'
        ? [wire.disconnect(p.code ?? 0)]
        : connectWith(p, link, (c) => {
            if (!c.properties.some((q) => isProperty(q, 'sessionExpiryInterval')))
              c.properties.push(wire.property('sessionExpiryInterval', 600))
          }),
  },
  {
    does: 'leaves the first client connected when a second one comes with its ClientId',
    caught: ['connect/takeover', 'session/takeover-resumes', 'will/after-takeover'],
    up(p, link) {
      const key = `n ${link.clientId}`
      const n = Number(link.world.notes.get(key) ?? 0)
      if (p.kind === 'connect') link.world.notes.set(key, n + 1)
      return connectWith(p, link, (c) => {
        if (c.clientId !== '') c.clientId = `${c.clientId}x${n}`
      })
    },
  },
  {
    does: 'leaves a client it refused connected',
    caught: ['connect/refused-credentials'],
    up(p, { notes }) {
      if (p.kind === 'connect' && p.details?.includes(' user "')) notes.set('refused', true)
      return undefined
    },
    down: (p, link) =>
      p.kind === 'connack' && link.notes.has('refused')
        ? [link.version === 5 ? wire.packet(0x20, 0, 0x86, 0) : wire.packet(0x20, 0, 4)]
        : undefined,
  },
  {
    does: 'answers a second CONNECT',
    caught: ['connect/second-connect'],
    up(p, link) {
      if (p.kind !== 'connect' || link.connects < 2) return undefined
      link.toClient(wire.packet(0x20, 0, 0, link.version === 5 ? 0 : []))
      return []
    },
  },
  {
    does: 'handles what was sent before CONNECT once it comes',
    caught: ['connect/publish-before-connect', 'connect/subscribe-before-connect', 'connect/pingreq-before-connect'],
    up: (p, link) => (p.kind !== 'connect' && link.connects === 0 ? [] : undefined),
  },
  {
    does: 'answers PINGREQ before CONNECT, then closes',
    caught: ['connect/pingreq-before-connect'],
    up(p, link) {
      if (p.kind === 'pingreq' && link.connects === 0) link.toClient(wire.hex('d0 00'))
      return undefined
    },
  },
  {
    does: 'carries out what stands behind a CONNECT it refuses',
    caught: ['connect/nothing-after-a-rejected-connect'],
    up(p, { world }) {
      if (p.kind === 'publish' && p.topic?.startsWith('conformance/') === true && !world.notes.has(`ok ${p.topic}`)) {
        world.publish({ topic: p.topic, payload: p.payload ?? '' })
      }
      return undefined
    },
  },
  {
    does: 'does not handle what comes before it has sent CONNACK',
    caught: ['connect/packets-behind-connect'],
    up: (p, link) => (p.kind !== 'connect' && !link.notes.has('accepted') ? [] : undefined),
    down(p, link) {
      if (p.kind === 'connack') link.notes.set('accepted', true)
      return undefined
    },
  },
  {
    does: 'keeps the ClientID it assigned to itself',
    caught: ['connect/assigned-client-identifier'],
    versions: [5],
    down: (p) =>
      p.kind === 'connack' && p.code === 0
        ? [wire.packet(0x20, p.bytes.subarray(2, 4), wire.properties(...propertiesOf(p, ['assignedClientIdentifier'])))]
        : undefined,
  },
  {
    does: 'gives every client without a ClientId the same',
    caught: ['connect/empty-client-id'],
    up: understanding((c) => {
      if (c.clientId === '' && (c.flags & CLEAN) !== 0) c.clientId = 'nobody'
    }),
  },
  {
    does: 'accepts an empty ClientId with Clean Session 0',
    caught: ['connect/empty-client-id-with-clean-session-0'],
    versions: [4],
    up: understanding((c) => {
      if (c.clientId === '') c.flags |= CLEAN
    }),
  },
  {
    does: 'accepts any protocol name and level',
    caught: [
      'connect/protocol-name-mqtx',
      'connect/protocol-name-mqtt',
      'connect/protocol-name-mqtt-space',
      'connect/unknown-protocol-level',
    ],
    up(p, link) {
      if (p.kind === 'connect') link.toClient(wire.packet(0x20, 0, 0, link.version === 5 ? 0 : []))
      return undefined
    },
    down: (p) => (p.kind === 'connack' ? [] : undefined),
    closed: () => true,
  },
  {
    does: 'accepts an Authentication Method it does not know',
    caught: ['auth/unknown-method'],
    versions: [5],
    up: understanding((c) => {
      c.properties = without(without(c.properties, 'authenticationMethod'), 'authenticationData')
    }),
  },
  {
    does: 'does not know Keep Alive',
    caught: ['keep-alive/silence-closes', 'will/after-keep-alive'],
    up: understanding((c) => {
      c.keepAlive = 0
    }),
  },
  {
    does: 'takes a Keep Alive of 0 for one of a second',
    caught: ['keep-alive/zero-turns-it-off'],
    up: understanding((c) => {
      if (c.keepAlive === 0) c.keepAlive = 1
    }),
  },
  {
    does: 'counts PINGREQ alone for the Keep Alive',
    caught: ['keep-alive/other-packets-keep-alive'],
    up(p, link) {
      if (p.kind === 'connect') {
        const seconds = Number(/keep alive (\d+)/.exec(p.details ?? '')?.[1] ?? 0)
        if (seconds > 0 && seconds < 10) link.notes.set('timer', setTimeout(link.close, seconds * 1500).unref())
      }
      if (p.kind === 'pingreq') (link.notes.get('timer') as NodeJS.Timeout | undefined)?.refresh()
      return undefined
    },
  },
  {
    does: 'does not count PINGREQ for the Keep Alive',
    caught: ['keep-alive/pings-keep-alive'],
    up(p, link) {
      if (p.kind === 'connect') {
        const seconds = Number(/keep alive (\d+)/.exec(p.details ?? '')?.[1] ?? 0)
        if (seconds > 0 && seconds < 10) link.notes.set('timer', setTimeout(link.close, seconds * 1500).unref())
      }
      if (p.kind !== 'pingreq') (link.notes.get('timer') as NodeJS.Timeout | undefined)?.refresh()
      return undefined
    },
  },
  {
    does: 'throws away what stands right before DISCONNECT',
    caught: ['disconnect/nothing-processed-after-it'],
    up(p, { notes }) {
      const held = notes.get('held') as Buffer | undefined
      notes.delete('held')
      if (p.kind === 'publish') {
        notes.set('held', p.bytes)
        return held === undefined ? [] : [held]
      }
      return held === undefined || p.kind === 'disconnect' ? undefined : [held, p.bytes]
    },
  },
  {
    does: 'cannot put packets together that come in pieces',
    caught: ['format/byte-by-byte'],
    chunk: (bytes) => bytes.length > 1,
  },
  {
    does: 'goes on talking after the DISCONNECT of the client',
    caught: ['disconnect/ends-the-connection'],
    up(p, link) {
      if (p.kind === 'disconnect') link.toClient(wire.hex('d0 00'))
      return undefined
    },
  },
]
