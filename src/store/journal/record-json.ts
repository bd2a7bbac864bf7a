// Records as JSON lines, for people and their scripts: bytes are base64, Infinity is null, what is undefined is left out.

import type { JournalRecord } from '../journal-record.ts'

/** A field as JSON has it becomes what the record has; undefined: it is not what is wanted. */
interface Field {
  readonly wanted: string
  read(value: unknown): unknown
}

const when = (wanted: string, test: (value: unknown) => boolean): Field => ({
  wanted,
  read: (value) => (test(value) ? value : undefined),
})
const whole = (least: number, most: number, wanted: string): Field =>
  when(wanted, (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most)

const text = when('a text', (value) => typeof value === 'string')
const flag = when('true or false', (value) => typeof value === 'boolean')
const time = when('milliseconds since 1970', (value) => Number.isFinite(value))
const message = whole(1, Number.MAX_SAFE_INTEGER, 'the number of a message')
const packetId = whole(1, 0xffff, 'a number from 1 to 65535')
const anyQos = whole(0, 2, '0, 1 or 2')
const qos = whole(1, 2, '1 or 2')
const identifier = whole(0, 0xfff_ffff, 'a number up to 268435455')
const identifiers = when(
  'a list of numbers from 1 to 268435455',
  (value) => Array.isArray(value) && value.every((one) => one !== 0 && identifier.read(one) !== undefined),
)
const endless: Field = {
  wanted: 'a number, or null for never',
  read: (value) => (value === null ? Infinity : typeof value === 'number' && value >= 0 ? value : undefined),
}
const bytes: Field = {
  wanted: 'bytes in base64',
  read: (value) =>
    typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value)
      ? Uint8Array.from(Buffer.from(value, 'base64'))
      : undefined,
}

const clientId = text
const queued = { clientId, message, qos, retain: flag, subscriptionIdentifiers: identifiers }
const content = { topicName: text, payload: bytes, qos: anyQos, properties: bytes }
const session = { clientId, expiryInterval: endless }

type Fields = Readonly<Record<string, Field>>

const RECORDS: Readonly<Record<JournalRecord['type'], Fields>> = {
  'session-opened': { ...session, protocolVersion: whole(3, 5, '3, 4 or 5') },
  'session-left': { ...session, at: time },
  'session-removed': { clientId },
  'subscription-set': {
    clientId,
    topicFilter: text,
    qos: anyQos,
    noLocal: flag,
    retainAsPublished: flag,
    retainHandling: anyQos,
    subscriptionIdentifier: identifier,
  },
  'subscription-removed': { clientId, topicFilter: text },
  'message-stored': { ...content, message, at: time, expiresAt: endless },
  'message-queued': queued,
  'message-dropped': { clientId, message },
  'message-sent': { ...queued, packetId },
  'message-received': { clientId, packetId },
  'message-acknowledged': { clientId, packetId },
  'inbound-added': { clientId, packetId },
  'inbound-released': { clientId, packetId },
  'retained-set': { topicName: text, message },
  'retained-removed': { topicName: text },
  'will-set': { ...content, clientId, retain: flag, delayInterval: endless, expiryInterval: endless },
  'will-removed': { clientId },
}

/** What may be left out, or null. */
const OPTIONAL: Partial<Record<JournalRecord['type'], Fields>> = {
  'message-sent': { group: text },
  'will-set': { at: time, username: text },
}

/** One line, without its end. */
export function toJson(record: JournalRecord): string {
  return JSON.stringify(record, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
  )
}

/** @throws SyntaxError if the line is not a record: what field is wrong, and what is wanted there. */
export function fromJson(line: string): JournalRecord {
  const given: unknown = JSON.parse(line)
  if (!isObject(given) || !Object.hasOwn(RECORDS, String(given.type))) throw new SyntaxError('not a record')
  const type = given.type as JournalRecord['type']
  const record: Record<string, unknown> = { type }
  for (const [name, field] of Object.entries(RECORDS[type])) record[name] = read(type, name, field, given[name])
  for (const [name, field] of Object.entries(OPTIONAL[type] ?? {}))
    record[name] = (given[name] ?? undefined) === undefined ? undefined : read(type, name, field, given[name])
  return record as unknown as JournalRecord
}

function read(type: string, name: string, field: Field, value: unknown): unknown {
  const known = field.read(value)
  if (known === undefined) throw new SyntaxError(`${type}: ${name} is not ${field.wanted}`)
  return known
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
