// What the broker may be told. Durations are milliseconds, sizes bytes, unless the name says otherwise. Where each value
// comes from (file, environment, argument) and its default is src/config's business, not the broker's.

import type { QoS } from '../mqtt/qos.ts'
import type { OverloadSettings } from './overload/settings.ts'

export interface BrokerSettings {
  /** Largest Control Packet taken from a client. */
  maxPacketSize: number
  /** QoS 1 and 2 messages on their way to one client; also announced as Receive Maximum. */
  maxInflightMessages: number
  /** Messages waiting for one session; 0 = no limit on their number. */
  maxQueuedMessages: number
  /** Bytes waiting for one session; 0 = no limit. */
  maxQueuedBytes: number
  /** Bytes of a long queue that stay in memory at its front; the rest is on disk, if the store reads back. */
  queueWindow: number
  queueQos0Messages: boolean
  /** Longest keep alive in seconds; 0 = any. */
  maxKeepalive: number
  connectTimeout: number
  writeTimeout: number
  lingerTimeout: number
  /** Resend to connected 3.x clients after this long without an acknowledgement; 0 = never. */
  retryInterval: number
  /** Bytes queued for a connection above which QoS 0 messages are left out. */
  outputLimit: number
  outputHighWater: number
  maxTopicLevels: number
  maxSubscriptionsPerClient: number
  maxSessions: number
  /** Seconds a session outlives its connection at most; Infinity = for ever. */
  sessionExpiry: number
  /** The same for MQTT 5 clients, whose sessions not every store can hold; at most `sessionExpiry`. */
  mqtt5SessionExpiry: number
  /** Bytes that may wait for the store before publishers do. */
  maxUnstoredBytes: number
  /** After a crash: how long clients that were connected have to come back before their wills are sent. */
  willGracePeriod: number
  /** ms that a hook's promise may take; then it refuses. */
  hookTimeout: number
  maxRetainedMessages: number
  maxRetainedBytes: number
  retainAvailable: boolean
  maxQos: QoS
  /** Topic aliases a client may set. */
  maxTopicAlias: number
  /** Topic aliases the broker sets for a client. */
  maxTopicAliasBroker: number
  validatePayloadFormat: boolean
  wildcardSubscriptions: boolean
  sharedSubscriptions: boolean
  subscriptionIdentifiers: boolean
  /** Told to MQTT 5 clients that ask; '' = nothing. */
  responseInformation: string
  /** Where MQTT 5 clients are sent when the broker shuts down; '' = nowhere. */
  serverReference: string
  allowAnonymous: boolean
  allowZeroLengthClientId: boolean
  autoIdPrefix: string
  /** Log a line for each connect and disconnect. */
  connectionMessages: boolean
  /** Messages of one client in a row, before what follows takes a shortcut; 0 = it never does. See shortcuts.ts. */
  shortcutAfter: number
  overload: OverloadSettings
}
