// What a DurableStore stores: one record for each change of something that outlives its connection. Plain values only, so
// that a record can be written as it is. Times are wall-clock milliseconds: a monotonic time means nothing after a restart.
//
// A payload is stored once, as `message-stored`, under a number the broker never gives out twice; sessions and retained
// topics refer to that number. Numbers ascend in the journal. A message nobody refers to any more needs no record of its own:
// a store that compacts its journal counts the references the other records make and take back, and forgets the message at
// the end of the batch that took back the last one. Whoever needs it after that stores it again, under a new number.

export type JournalRecord =
  | SessionOpened
  | SessionLeft
  | SessionRemoved
  | SubscriptionSet
  | SubscriptionRemoved
  | MessageStored
  | MessageQueued
  | MessageDropped
  | MessageSent
  | MessageReceived
  | MessageAcknowledged
  | InboundAdded
  | InboundReleased
  | RetainedSet
  | RetainedRemoved
  | WillSet
  | WillRemoved

/** A persistent session was created, or its client came back; it does not expire while connected. */
export interface SessionOpened {
  readonly type: 'session-opened'
  readonly clientId: string
  /** 3: MQTT 3.1, 4: 3.1.1, 5: 5.0. */
  readonly protocolVersion: 3 | 4 | 5
  /** Seconds after the connection ended; Infinity: never (3.x without Clean Session). */
  readonly expiryInterval: number
}

/** The session's connection ended: it expires `expiryInterval` seconds after `at`. */
export interface SessionLeft {
  readonly type: 'session-left'
  readonly clientId: string
  readonly at: number
  /** Stated again: DISCONNECT of MQTT 5 may change it. */
  readonly expiryInterval: number
}

/** The session ended, with its subscriptions, queue, in-flight messages and identifiers; its will has a record of its own. */
export interface SessionRemoved {
  readonly type: 'session-removed'
  readonly clientId: string
}

/** A subscription was made, or replaced [MQTT-3.8.4-3]. */
export interface SubscriptionSet {
  readonly type: 'subscription-set'
  readonly clientId: string
  /** As subscribed, with `$share/group/` if there was one. */
  readonly topicFilter: string
  readonly qos: 0 | 1 | 2
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  /** 0: none. */
  readonly subscriptionIdentifier: number
}

export interface SubscriptionRemoved {
  readonly type: 'subscription-removed'
  readonly clientId: string
  readonly topicFilter: string
}

/** An Application Message, once, before the first record that refers to it. */
export interface MessageStored {
  readonly type: 'message-stored'
  readonly message: number
  readonly topicName: string
  readonly payload: Uint8Array
  /** As published; a queue entry says what its receiver gets. */
  readonly qos: 0 | 1 | 2
  /** Wall time at which it came. */
  readonly at: number
  /** Wall time after which it must not be sent [MQTT-3.3.2-5]; Infinity: never. */
  readonly expiresAt: number
  /** MQTT 5 properties that travel with it, encoded as on the wire, without their length; empty for 3.x. */
  readonly properties: Uint8Array
}

/** Appended to the session's queue. */
export interface MessageQueued {
  readonly type: 'message-queued'
  readonly clientId: string
  readonly message: number
  /** The lower of published and granted QoS. */
  readonly qos: 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
}

/** Left the queue unsent: expired, or the queue was full. */
export interface MessageDropped {
  readonly type: 'message-dropped'
  readonly clientId: string
  readonly message: number
}

/** Sent under a packet identifier: from the queue if it stood there (the oldest entry of that message), else directly. */
export interface MessageSent {
  readonly type: 'message-sent'
  readonly clientId: string
  readonly message: number
  readonly packetId: number
  readonly qos: 1 | 2
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
  /** The shared group it came from, named as its own session is; with QoS 1 it goes back there if it is not acknowledged. */
  readonly group: string | undefined
}

/**
 * PUBREC came: the message is the receiver's, the identifier is in use until `message-acknowledged`. A compacted journal
 * leaves out the `message-sent` before it: an identifier met first here is in use, and PUBREL is due.
 */
export interface MessageReceived {
  readonly type: 'message-received'
  readonly clientId: string
  readonly packetId: number
}

/** PUBACK, PUBCOMP, or a PUBREC that refused: the packet identifier is free again. */
export interface MessageAcknowledged {
  readonly type: 'message-acknowledged'
  readonly clientId: string
  readonly packetId: number
}

/** A QoS 2 PUBLISH of the client was taken; its identifier is known from now on [MQTT-4.3.3-10]. */
export interface InboundAdded {
  readonly type: 'inbound-added'
  readonly clientId: string
  readonly packetId: number
}

/** PUBREL of the client. */
export interface InboundReleased {
  readonly type: 'inbound-released'
  readonly clientId: string
  readonly packetId: number
}

/** The topic's retained message is this one, whatever it was before [MQTT-3.3.1-5]. */
export interface RetainedSet {
  readonly type: 'retained-set'
  readonly topicName: string
  readonly message: number
}

export interface RetainedRemoved {
  readonly type: 'retained-removed'
  readonly topicName: string
}

/**
 * A client with a will connected, or its connection ended and the will is delayed (`at` says which). Every will is stored:
 * after a crash the wills of all who were connected are due.
 */
export interface WillSet {
  readonly type: 'will-set'
  readonly clientId: string
  readonly topicName: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Will Delay Interval, seconds. */
  readonly delayInterval: number
  /** Message Expiry Interval, seconds; Infinity: none. */
  readonly expiryInterval: number
  /** As in MessageStored. */
  readonly properties: Uint8Array
  /** The client's User Name: whether it may publish is decided when the will is due. */
  readonly username: string | undefined
  /** Wall time at which the connection ended; undefined while it is open. */
  readonly at: number | undefined
}

/** Published, or not to be: DISCONNECT, or the client came back in time. */
export interface WillRemoved {
  readonly type: 'will-removed'
  readonly clientId: string
}
