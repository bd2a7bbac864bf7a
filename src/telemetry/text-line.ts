// One readable log line: `2026-11-22T10:00:00.000Z WARN  message  client=c1 reason="not authorized"`.
// Pure. Everything a client chose (ids, topics) is quoted and escaped, so that no peer can forge a line or move a cursor.

import type { LogFields, LogLevel } from './log.ts'

const LONGEST_VALUE = 512
const NAMES: Record<LogLevel, string> = { debug: 'DEBUG', info: 'INFO ', warn: 'WARN ', error: 'ERROR', silent: '' }
const PLAIN = /^[\w.:/@[\]+-]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

export function textLine(time: Date | undefined, level: LogLevel, message: string, fields: LogFields): string {
  let line = time === undefined ? '' : `${time.toISOString()} `
  line += `${NAMES[level]} ${escaped(message)}`
  let stack = ''
  let separator = '  '
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    line += `${separator}${name}=${fieldValue(value)}`
    separator = ' '
    if (value instanceof Error && value.stack !== undefined) stack = indented(value.stack)
  }
  return `${line}\n${stack}`
}

function fieldValue(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  const text = value instanceof Error ? value.message : typeof value === 'string' ? value : plainOf(value)
  const short = cut(text)
  return PLAIN.test(short) ? short : `"${escaped(short.replace(/["\\]/g, '\\$&'))}"`
}

/** A value at a length that fits a line. */
export function cut(text: string): string {
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text
}

/** A list of words as words with commas, everything else as JSON. */
function plainOf(value: unknown): string {
  const isWords = Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')
  return isWords ? value.join(', ') : jsonOf(value)
}

function jsonOf(value: unknown): string {
  try {
    return (
      JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? String(value)
    )
  } catch {
    return '[circular]' // a log line must never be what brings a client down
  }
}

/** Without control characters and those that change the direction of text: as `\uXXXX`, which JSON reads back. */
export function escaped(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The lines of a stack below the first, which repeats the message. */
function indented(stack: string): string {
  const frames = stack.split('\n').slice(1)
  return frames.map((frame) => `    ${escaped(frame.trim())}\n`).join('')
}
