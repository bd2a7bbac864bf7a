// What we keep in a backend beside what its interface has a place for: which sessions there are, which of their identifiers
// are in use, and how far the newest batch came. The interface can list neither sessions nor identifiers, but it can
// list retained messages: these are some, under `$martlet/`, one level for a Client Identifier.

import type { AedesPacket } from '../aedes/aedes-packet.ts'

const PREFIX = '$martlet/'
/** Written behind everything a batch adds: what is newer than it was never acknowledged. */
export const COMMIT = `${PREFIX}commit`
export const SESSIONS = `${PREFIX}session/+`
export const PAGES = `${PREFIX}ids/+/+/+`
const ESCAPED = `${PREFIX}retained/`

/**
 * Every session has this subscription: a backend may throw a client's queue away with its last one (Redis does). Nothing is
 * published there.
 */
export const SESSION_FILTER = `${PREFIX}session`

/** Of format 1: what `$martlet/commit` holds. */
export interface CommitMark {
  readonly format: 1
  /** The newest message number. */
  readonly message: number
  /** Which broker process wrote it, and the how manieth of its batches that was. */
  readonly owner: string
  readonly batch: number
  /** The newest wall time in any record, ms; null: none. */
  readonly at: number | null
}

export interface SessionMark {
  readonly version: 3 | 4 | 5
  /** Seconds; null: never. */
  readonly expiry: number | null
  /** Wall time at which the client left, ms; null: it is connected. */
  readonly left: number | null
}

/** `inbound`: QoS 2 identifiers of the client's messages. `released`: those of ours that wait for PUBCOMP. */
export type IdKind = 'inbound' | 'released'

const NOTHING = Buffer.alloc(0)

export function sessionTopic(clientId: string): string {
  return `${PREFIX}session/${encodeURIComponent(clientId)}`
}

export function pageTopic(kind: IdKind, clientId: string, page: number): string {
  return `${PREFIX}ids/${kind}/${encodeURIComponent(clientId)}/${page}`
}

/** The Client Identifier a topic of ours is about. */
export function clientIdOf(topic: string, level: number): string {
  return decodeURIComponent(topic.split('/')[level]!)
}

export function isOurs(topic: string): boolean {
  return topic.startsWith(PREFIX)
}

/** The topic a retained message is stored under: a client that publishes to `$martlet/…` must not write in our books. */
export function storedTopic(topic: string): string {
  return isOurs(topic) ? ESCAPED + encodeURIComponent(topic) : topic
}

/** The topic of a stored retained message; undefined for our own books. */
export function publishedTopic(topic: string): string | undefined {
  if (!isOurs(topic)) return topic
  return topic.startsWith(ESCAPED) ? decodeURIComponent(topic.slice(ESCAPED.length)) : undefined
}

/** The packet that keeps `value` under `topic`; undefined: that removes it. */
export function markPacket(topic: string, value: unknown): AedesPacket {
  const payload = value === undefined ? NOTHING : Buffer.from(JSON.stringify(value))
  return { cmd: 'publish', topic, payload, qos: 0, retain: true, dup: false, brokerId: 'martlet', brokerCounter: 0 }
}

/** What `markPacket` kept. */
export function markOf<T>({ payload }: AedesPacket): T {
  return JSON.parse(payload.toString()) as T
}
