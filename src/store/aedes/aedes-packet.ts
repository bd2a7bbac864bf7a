// Aedes' packets and what the journal keeps of them. Topic and payload go where a message has them; all the other fields
// (identity, properties, whatever an Aedes version adds) travel as JSON in the place of the properties.

import { createRequire } from 'node:module'
import type { MessageStored } from '../journal-record.ts'

export interface AedesPacket {
  cmd: string
  topic: string
  payload: Buffer | string
  qos: 0 | 1 | 2
  retain?: boolean
  dup?: boolean
  messageId?: number | undefined
  /** With `brokerCounter`, the identity of a message between brokers. */
  brokerId?: string
  brokerCounter?: number
  clientId?: string
  [field: string]: unknown
}

export interface AedesSubscription {
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly rh?: number
  readonly rap?: boolean
  readonly nl?: boolean
  readonly subscriptionIdentifier?: number
}

type PacketClass = new (original: object) => AedesPacket

/** Aedes' own packet class: a copy, with a Packet Identifier that is not yet given. */
export const Packet: PacketClass = createRequire(import.meta.url)('aedes-persistence').Packet

/** What a record cannot say by itself: the payload was text; a PUBREL has none of the fields of a message. */
interface Marks {
  $text?: true
  $bare?: true
}

/** The record that stores `packet` as message number `message`. */
export function toRecord(packet: AedesPacket, message: number): MessageStored {
  const { topic, payload, qos, ...others } = packet
  const marks: Marks = {}
  if (typeof payload === 'string') marks.$text = true
  if (topic === undefined && payload === undefined) marks.$bare = true
  return {
    type: 'message-stored',
    message,
    topicName: topic ?? '',
    payload: typeof payload === 'object' ? payload : Buffer.from(payload ?? ''),
    qos: qos ?? 0,
    at: Date.now(),
    expiresAt: Infinity,
    properties: Buffer.from(JSON.stringify({ ...others, ...marks })),
  }
}

/** The packet a record was made of. */
export function toPacket({ topicName, payload, qos, properties }: MessageStored): AedesPacket {
  const fields = JSON.parse(Buffer.from(properties).toString(), reviveBuffer) as Record<string, unknown> & Marks
  const { $text, $bare, ...others } = fields
  if ($bare === true) return others as AedesPacket
  const bytes = Buffer.from(payload)
  return { ...others, topic: topicName, payload: $text === true ? bytes.toString() : bytes, qos } as AedesPacket
}

/** JSON writes a Buffer as an object of two fields. */
function reviveBuffer(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { type, data } = value as { type?: unknown; data?: unknown }
  return type === 'Buffer' && Array.isArray(data) ? Buffer.from(data as number[]) : value
}
