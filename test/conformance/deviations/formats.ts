// Deviations in what the broker's own packets look like and in what it answers: formats, codes, identifiers.

import type { Packet } from '../../../conformance/packet.ts'
import type { PacketKind } from '../../../conformance/protocol.ts'
import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { bodyOf, propertiesOf, withByte, withIdentifier } from './words.ts'

/** Changes every packet of one kind that the broker sends. */
const each =
  (
    kind: PacketKind,
    change: (packet: Packet, version: 4 | 5) => readonly Buffer[] | undefined,
  ): NonNullable<Deviation['down']> =>
  (p, link) =>
    p.kind === kind ? change(p, link.version) : undefined

const next = (p: Packet): Buffer[] => [withIdentifier(p, (p.packetId ?? 0) + 1)]
const none = (): Buffer[] => []

/** The packet with a property more; only CONNACK, SUBACK, UNSUBACK and the acknowledgements. */
function plus(p: Packet, ...more: Buffer[]): Buffer[] {
  const at = bodyOf(p.bytes)
  const list = wire.properties(...propertiesOf(p), ...more)
  const first = p.bytes[0] ?? 0
  switch (p.kind) {
    case 'connack':
      return [wire.packet(first, p.bytes.subarray(at, at + 2), list)]
    case 'suback':
    case 'unsuback':
      return [wire.packet(first, p.bytes.subarray(at, at + 2), list, p.codes ?? [])]
    case 'disconnect':
      return [wire.packet(first, p.code ?? 0, list)]
    default:
      return [wire.packet(first, p.bytes.subarray(at, at + 2), p.code ?? 0, list)]
  }
}

/** The acknowledgement with another reason code. */
const coded = (p: Packet, code: number): Buffer[] => [
  wire.packet(p.bytes[0] ?? 0, wire.u16(p.packetId ?? 0), code, wire.properties(...propertiesOf(p))),
]

export const formats: readonly Deviation[] = [
  { does: 'never answers PINGREQ', caught: ['ping/answered'], down: each('pingresp', none) },
  { does: 'answers PINGREQ twice', caught: ['ping/answered'], down: each('pingresp', (p) => [p.bytes, p.bytes]) },
  {
    does: 'never sends PUBACK',
    caught: ['publish/qos-1-is-acknowledged', 'publish/not-authorized'],
    down: each('puback', none),
  },
  { does: 'never sends PUBREC', caught: ['publish/qos-2-is-acknowledged'], down: each('pubrec', none) },
  {
    does: 'never sends PUBCOMP',
    caught: ['publish/qos-2-is-acknowledged', 'qos/pubrel-twice'],
    down: each('pubcomp', none),
  },
  { does: 'never sends SUBACK', caught: ['subscribe/acknowledged'], down: each('suback', none) },
  {
    does: 'never sends UNSUBACK',
    caught: ['unsubscribe/acknowledged', 'unsubscribe/nothing-to-delete'],
    down: each('unsuback', none),
  },
  {
    does: 'sends PUBACK with the next identifier',
    caught: ['publish/qos-1-is-acknowledged', 'publish/answers-nothing-to-qos-0'],
    down: each('puback', next),
  },
  {
    does: 'sends PUBREC with the next identifier',
    caught: ['publish/qos-2-is-acknowledged'],
    down: each('pubrec', next),
  },
  {
    does: 'sends PUBCOMP with the next identifier',
    caught: ['publish/qos-2-is-acknowledged'],
    down: each('pubcomp', next),
  },
  {
    does: 'sends SUBACK with the next identifier',
    caught: ['subscribe/acknowledged', 'subscribe/suback-and-unsuback-identifiers'],
    down: each('suback', next),
  },
  {
    does: 'sends UNSUBACK with the next identifier',
    caught: ['unsubscribe/acknowledged'],
    down: each('unsuback', next),
  },
  {
    does: 'answers one PUBREL of an identifier and no more',
    caught: ['qos/pubrel-twice', 'session/pubrel-repeated-after-reconnection'],
    up(p, { world, clientId }) {
      if (p.kind !== 'pubrel') return undefined
      const key = `${clientId} ${p.packetId}`
      const seen = world.notes.has(key)
      world.notes.set(key, true)
      return seen ? [] : undefined
    },
  },
  {
    does: 'sets reserved flags in its acknowledgements',
    caught: ['format/server-flags'],
    down: each('puback', (p) => [withByte(p, 0, 0x41)]),
  },
  {
    does: 'writes a Remaining Length of one byte in two',
    caught: ['format/server-packets-well-formed'],
    down: each('suback', (p) => [wire.cat(p.bytes[0] ?? 0, (p.bytes.length - 2) | 0x80, 0, p.bytes.subarray(2))]),
  },
  {
    does: 'leaves the Property Length of SUBACK out',
    caught: ['format/server-packets-well-formed', 'subscribe/acknowledged'],
    versions: [5],
    down: each('suback', (p) => [wire.packet(0x90, wire.u16(p.packetId ?? 0), p.codes ?? [])]),
  },
  {
    does: 'sends a property twice that may stand once',
    caught: ['format/server-packets-well-formed'],
    versions: [5],
    down: each('connack', (p) =>
      p.code === 0 ? plus(p, wire.property('maximumQoS', 1), wire.property('maximumQoS', 1)) : undefined,
    ),
  },
  {
    does: 'sends PINGREQ',
    caught: ['format/server-direction'],
    down: each('pingresp', (p) => [p.bytes, wire.PINGREQ]),
  },
  {
    does: 'sends DISCONNECT to a 3.1.1 client',
    caught: ['format/no-disconnect-or-auth-in-3.1.1'],
    versions: [4],
    down: each('pingresp', (p) => [p.bytes, wire.disconnect()]),
  },
  {
    does: 'sets a reserved flag in CONNACK',
    caught: ['connack/reserved-acknowledge-flags'],
    down: each('connack', (p) => [withByte(p, bodyOf(p.bytes), (p.bytes[bodyOf(p.bytes)] ?? 0) | 2)]),
  },
  { does: 'sends CONNACK twice', caught: ['connack/only-one'], down: each('connack', (p) => [p.bytes, p.bytes]) },
  {
    does: 'sends something before CONNACK',
    caught: ['connack/first-packet'],
    down: each('connack', (p) => [wire.hex('d0 00'), p.bytes]),
  },
  {
    does: 'refuses with a code that does not exist',
    caught: ['connack/codes'],
    down: each('connack', (p) =>
      p.code === 0 ? undefined : [withByte(p, bodyOf(p.bytes) + 1, (p.code ?? 0) >= 0x80 ? 0xff : 6)],
    ),
  },
  {
    does: 'says Session Present 1 when it refuses',
    caught: ['connack/no-session-in-a-refusal'],
    down: each('connack', (p) => (p.code === 0 ? undefined : [withByte(p, bodyOf(p.bytes), 1)])),
  },
  {
    does: 'says more behind a CONNACK that refuses',
    caught: ['connack/nothing-after-a-refusal'],
    down: each('connack', (p) => (p.code === 0 ? undefined : [p.bytes, wire.hex('d0 00')])),
  },
  {
    does: 'returns Response Information unasked',
    caught: ['connack/response-information-only-if-asked'],
    versions: [5],
    down: each('connack', (p) => (p.code === 0 ? plus(p, wire.property('responseInformation', 'r')) : undefined)),
  },
  ...(
    [
      ['a Receive Maximum of 0', wire.property('receiveMaximum', 0)],
      ['a Maximum Packet Size of 0', wire.property('maximumPacketSize', 0)],
      ['a Maximum QoS of 2', wire.property('maximumQoS', 2)],
      ['a Retain Available of 2', wire.property('retainAvailable', 2)],
      ['a Wildcard Subscription Available of 2', wire.property('wildcardSubscriptionAvailable', 2)],
      ['a Shared Subscription Available of 2', wire.property('sharedSubscriptionAvailable', 2)],
      ['a Subscription Identifier Available of 2', wire.property('subscriptionIdentifierAvailable', 2)],
    ] as const
  ).map(
    ([what, property]): Deviation => ({
      does: `announces ${what}`,
      caught: ['connack/limits-make-sense'],
      versions: [5],
      down: each('connack', (p) =>
        p.code === 0
          ? [
              wire.packet(
                0x20,
                p.bytes.subarray(2, 4),
                wire.properties(...propertiesOf(p).filter((other) => other[0] !== property[0]), property),
              ),
            ]
          : undefined,
      ),
    }),
  ),
  {
    does: 'names an Authentication Method to a client without one',
    caught: ['auth/no-method-no-auth', 'auth/none-unless-asked'],
    versions: [5],
    down: each('connack', (p) => (p.code === 0 ? plus(p, wire.property('authenticationMethod', 'x')) : undefined)),
  },
  {
    does: 'announces that it has no QoS 2, and grants and takes it all the same',
    caught: ['connack/will-qos-above-maximum-qos'],
    versions: [5],
    down: each('connack', (p) => (p.code === 0 ? plus(p, wire.property('maximumQoS', 1)) : undefined)),
  },
  {
    does: 'announces that it retains nothing, and does',
    caught: ['connack/will-retain-unavailable'],
    versions: [5],
    down: each('connack', (p) => (p.code === 0 ? plus(p, wire.property('retainAvailable', 0)) : undefined)),
  },
  {
    does: 'refuses wildcards once and grants them later',
    caught: ['subscribe/wildcards-unsupported'],
    versions: [4],
    down: (p, { world, filters }) => {
      if (p.kind !== 'suback' || ![...filters].some((filter) => filter.endsWith('/+')) || world.notes.has('refused'))
        return undefined
      world.notes.set('refused', true)
      return [withByte(p, p.bytes.length - 1, 0x80)]
    },
  },
  {
    does: 'refuses QoS 2 subscriptions because it has no QoS 2',
    caught: ['connack/subscriptions-above-maximum-qos'],
    versions: [5],
    down: (p) => {
      if (p.kind === 'connack' && p.code === 0) return plus(p, wire.property('maximumQoS', 1))
      return p.kind === 'suback' && p.codes?.[0] === 2 ? [withByte(p, p.bytes.length - 1, 0x97)] : undefined
    },
  },
  {
    does: 'announces that it has no wildcards, and grants them',
    caught: ['subscribe/wildcards-unsupported'],
    versions: [5],
    down: each('connack', (p) =>
      p.code === 0 ? plus(p, wire.property('wildcardSubscriptionAvailable', 0)) : undefined,
    ),
  },
  {
    does: 'announces that it has no Shared Subscriptions, and grants them',
    caught: ['shared/not-supported-is-said'],
    versions: [5],
    down: each('connack', (p) => (p.code === 0 ? plus(p, wire.property('sharedSubscriptionAvailable', 0)) : undefined)),
  },
  {
    does: 'announces a small Maximum Packet Size and takes what is larger',
    caught: ['packet-size/client-exceeds-the-servers'],
    versions: [5],
    down: each('connack', (p) =>
      p.code === 0
        ? [
            wire.packet(
              0x20,
              p.bytes.subarray(2, 4),
              wire.properties(...propertiesOf(p, ['maximumPacketSize']), wire.property('maximumPacketSize', 2000)),
            ),
          ]
        : undefined,
    ),
  },
  {
    does: 'turns the codes of SUBACK around',
    caught: ['subscribe/several-filters'],
    down: each('suback', (p, version) => [
      wire.packet(0x90, wire.u16(p.packetId ?? 0), version === 5 ? 0 : [], (p.codes ?? []).toReversed()),
    ]),
  },
  {
    does: 'sends one code for any number of filters',
    caught: ['subscribe/suback-codes', 'subscribe/two-hundred-filters', 'subscribe/several-filters'],
    down: each('suback', (p, version) => [
      wire.packet(0x90, wire.u16(p.packetId ?? 0), version === 5 ? 0 : [], (p.codes ?? []).slice(0, 1)),
    ]),
  },
  {
    does: 'grants QoS 3',
    caught: ['subscribe/suback-codes'],
    down: each('suback', (p) => ((p.codes?.length ?? 0) > 0 ? [withByte(p, p.bytes.length - 1, 3)] : undefined)),
  },
  {
    does: 'says that it granted what it refused',
    caught: [
      'topics/invalid-plus-in-level',
      'topics/invalid-hash-not-last',
      'topics/invalid-empty',
      'shared/invalid-empty-name',
      'shared/invalid-no-filter',
    ],
    down: each('suback', (p, version) => [
      wire.packet(
        0x90,
        wire.u16(p.packetId ?? 0),
        version === 5 ? 0 : [],
        (p.codes ?? []).map((code) => (code >= 0x80 ? 0 : code)),
      ),
    ]),
    closed: () => true,
  },
  {
    does: 'sends UNSUBACK without codes',
    caught: ['unsubscribe/unsuback-codes', 'unsubscribe/several-filters'],
    versions: [5],
    down: each('unsuback', (p) => [wire.packet(0xb0, wire.u16(p.packetId ?? 0), 0)]),
  },
  {
    does: 'sends UNSUBACK with a code that does not exist',
    caught: ['unsubscribe/unsuback-codes'],
    versions: [5],
    down: each('unsuback', (p) => [withByte(p, p.bytes.length - 1, 0x42)]),
  },
  ...(
    [
      ['puback', 0x92],
      ['pubrec', 0x92],
      ['pubrel', 0x10],
      ['pubcomp', 0x10],
    ] as const
  ).map(
    ([kind, code]): Deviation => ({
      does: `sends ${kind.toUpperCase()} with a code of another packet`,
      caught: [`properties/${kind}-codes`],
      versions: [5],
      down: each(kind, (p) => coded(p, code)),
    }),
  ),
  {
    does: 'sends AUTH with a code of its own',
    caught: ['properties/auth-codes', 'auth/none-unless-asked'],
    versions: [5],
    down: each('pingresp', (p) => [p.bytes, wire.auth(0x55)]),
  },
  {
    does: 'sends DISCONNECT with a code of clients',
    caught: ['disconnect/server-codes'],
    versions: [5],
    down: each('disconnect', () => [wire.disconnect(0x04)]),
  },
  {
    does: 'closes for an error with DISCONNECT 0x00',
    caught: ['publish/qos-3', 'errors/publish-unknown-property', 'alias/unknown', 'connect/second-connect'],
    versions: [5],
    down: each('disconnect', () => [wire.disconnect(0)]),
  },
  {
    does: 'goes on after its DISCONNECT',
    caught: ['disconnect/last-packet'],
    versions: [5],
    down: each('disconnect', (p) => [p.bytes, wire.hex('d0 00')]),
  },
  {
    does: 'sends DISCONNECT instead of a CONNACK that refuses',
    caught: ['disconnect/only-after-connack'],
    versions: [5],
    down: each('connack', (p) => (p.code === 0 ? undefined : [wire.disconnect(p.code)])),
  },
  {
    does: 'leaves the connection open after its DISCONNECT',
    caught: ['disconnect/server-closes-after-it'],
    versions: [5],
    closed: () => true,
  },
  {
    does: 'explains itself to clients that declined to be told',
    caught: ['properties/no-problem-information-unless-asked', 'properties/request-problem-information-0'],
    versions: [5],
    down: (p) =>
      ['suback', 'unsuback', 'puback', 'pubrec'].includes(p.kind)
        ? plus(p, wire.property('reasonString', 'because'))
        : undefined,
  },
  ...(['connack', 'puback', 'pubrec', 'pubrel', 'pubcomp', 'suback', 'unsuback', 'disconnect'] as const).map(
    (kind): Deviation => ({
      does: `does not look at the Maximum Packet Size of the client when it sends ${kind.toUpperCase()}`,
      caught: [`packet-size/${kind}-within-the-limit`],
      versions: [5],
      down: each(kind, (p) => plus(p, wire.property('userProperty', ['why', 'x'.repeat(300)]))),
    }),
  ),
]
