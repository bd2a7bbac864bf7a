// What the broker under test offers of the things it need not offer. Probed once per version before the cases run:
// MQTT 5.0 announces them in CONNACK, 3.1.1 has to be tried.

import type { Packet } from './packet.ts'
import { prop } from './packet.ts'

export interface Features {
  maximumQoS: number
  retain: boolean
  wildcards: boolean
  subscriptionIds: boolean
  shared: boolean
  /** Of the server: how many aliases a client may use towards it. */
  topicAliasMaximum: number
  /** Of the server: how many QoS 1 and 2 PUBLISH packets a client may have in flight. */
  receiveMaximum: number
  /** Of the server, bytes; Infinity if it announces none. */
  maximumPacketSize: number
  serverKeepAlive: number | undefined
  /** Sessions may outlive their connection. */
  sessions: boolean
  /** An empty ClientId is accepted. */
  emptyClientId: boolean
  websocket: boolean
}

export type Feature =
  | 'retain'
  | 'qos1'
  | 'qos2'
  | 'wildcards'
  | 'subscription-ids'
  | 'shared'
  | 'topic-alias'
  | 'sessions'
  | 'empty-client-id'
  | 'websocket'

export const ALL_FEATURES: Features = {
  maximumQoS: 2,
  retain: true,
  wildcards: true,
  subscriptionIds: true,
  shared: true,
  topicAliasMaximum: 0,
  receiveMaximum: 65_535,
  maximumPacketSize: Number.POSITIVE_INFINITY,
  serverKeepAlive: undefined,
  sessions: true,
  emptyClientId: true,
  websocket: false,
}

/** Reads the announcements of an MQTT 5.0 CONNACK; what is not announced has the specification's default. */
export function featuresOf(connack: Packet): Features {
  const number = (name: string, absent: number) => Number(prop(connack, name) ?? absent)
  const keepAlive = prop(connack, 'serverKeepAlive')
  return {
    ...ALL_FEATURES,
    maximumQoS: number('maximumQoS', 2),
    retain: number('retainAvailable', 1) === 1,
    wildcards: number('wildcardSubscriptionAvailable', 1) === 1,
    subscriptionIds: number('subscriptionIdentifierAvailable', 1) === 1,
    shared: number('sharedSubscriptionAvailable', 1) === 1,
    topicAliasMaximum: number('topicAliasMaximum', 0),
    receiveMaximum: number('receiveMaximum', 65_535),
    maximumPacketSize: number('maximumPacketSize', Number.POSITIVE_INFINITY),
    serverKeepAlive: keepAlive === undefined ? undefined : Number(keepAlive),
    sessions: prop(connack, 'sessionExpiryInterval') !== 0,
  }
}

const TESTS: Record<Feature, [offered: (f: Features) => boolean, reason: string]> = {
  retain: [(f) => f.retain, 'the server offers no retained messages'],
  qos1: [(f) => f.maximumQoS >= 1, 'the server offers QoS 0 only'],
  qos2: [(f) => f.maximumQoS >= 2, 'the server does not offer QoS 2'],
  wildcards: [(f) => f.wildcards, 'the server offers no wildcard subscriptions'],
  'subscription-ids': [(f) => f.subscriptionIds, 'the server offers no Subscription Identifiers'],
  shared: [(f) => f.shared, 'the server offers no Shared Subscriptions'],
  'topic-alias': [(f) => f.topicAliasMaximum > 0, 'the server accepts no Topic Aliases (Topic Alias Maximum is 0)'],
  sessions: [(f) => f.sessions, 'the server keeps no session beyond its connection'],
  'empty-client-id': [(f) => f.emptyClientId, 'the server accepts no empty ClientId'],
  websocket: [(f) => f.websocket, 'no WebSocket address was given (--ws)'],
}

/** Why the case cannot be run against this broker; undefined if it can. */
export function missing(needs: readonly Feature[], features: Features): string | undefined {
  for (const need of needs) {
    const [offered, reason] = TESTS[need]
    if (!offered(features)) return reason
  }
  return undefined
}
