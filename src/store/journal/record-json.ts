// Records as JSON lines, for people and their scripts: bytes are base64, Infinity is null, what is undefined is left out.

import type { JournalRecord } from '../journal-record.ts'

const BYTES = ['payload', 'properties'] as const
const ENDLESS = ['expiryInterval', 'expiresAt', 'delayInterval'] as const
const TYPES: ReadonlySet<string> = new Set<JournalRecord['type']>([
  'session-opened',
  'session-left',
  'session-removed',
  'subscription-set',
  'subscription-removed',
  'message-stored',
  'message-queued',
  'message-dropped',
  'message-sent',
  'message-received',
  'message-acknowledged',
  'inbound-added',
  'inbound-released',
  'retained-set',
  'retained-removed',
  'will-set',
  'will-removed',
])

/** One line, without its end. */
export function toJson(record: JournalRecord): string {
  return JSON.stringify(record, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
  )
}

/** @throws SyntaxError if the line is not a record. */
export function fromJson(line: string): JournalRecord {
  const fields: unknown = JSON.parse(line)
  if (!isObject(fields) || !TYPES.has(String(fields.type))) throw new SyntaxError('not a record')
  for (const name of BYTES)
    if (typeof fields[name] === 'string') fields[name] = Uint8Array.from(Buffer.from(fields[name], 'base64'))
  for (const name of ENDLESS) if (fields[name] === null) fields[name] = Infinity
  if (fields.type === 'will-set') {
    fields.at ??= undefined
    fields.username ??= undefined
  } else if (fields.type === 'message-sent') fields.group ??= undefined
  return fields as unknown as JournalRecord
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
