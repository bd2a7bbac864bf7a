// The log: one small interface for the whole broker, and the root logger that the command or the library opens.
// Lines are written asynchronously and never block a turn: what a stuck terminal or a full pipe does not take is bounded
// and counted, then dropped. Never on the path of a message (a JSON line costs some 9 µs).

import { openSync } from 'node:fs'
import { destination as openDestination, pino } from 'pino'
import { cut, escaped, textLine } from './text-line.ts'

/** What a line is about: `client`, `address`, `reason`, … Errors go under `err`. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  /** False lets a caller skip the making of fields nobody will see. */
  readonly debugging: boolean
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** What is opened is closed: the root logger owns its files and streams. */
export interface RootLogger extends Logger {
  /** Takes effect with the next line. */
  setLevel(level: LogLevel): void
  /** Opens log files again, after something has moved them away (SIGHUP). */
  reopen(): void
  /** Lines lost because a destination took none. */
  readonly dropped: number
  /** Writes what waits, for at most a second: a pipe that nobody reads takes nothing. Idempotent; later lines are lost. */
  close(): Promise<void>
}

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
  /** `stdout`, `stderr`, `none`, `file PATH`. */
  readonly destinations: readonly string[]
  /** Text lines begin with the time. */
  readonly timestamp?: boolean
}

/** Bytes that may wait for one destination. */
const MOST_WAITING = 1024 * 1024
/** ms that closing waits for a destination. */
const LONGEST_CLOSE = 1000
const RANK: Record<LogLevel, number> = { debug: 20, info: 30, warn: 40, error: 50, silent: Number.POSITIVE_INFINITY }

/** One open destination; `file` is undefined for stdout and stderr. */
interface LogDestination {
  readonly stream: ReturnType<typeof openDestination>
  readonly file: string | undefined
}

/** Opens the log. Throws an Error with `code` and `path` when a log file cannot be opened. */
export function openLog(options: LogOptions): RootLogger {
  const losses = { dropped: 0 }
  const destinations = options.destinations.filter((name) => name !== 'none').map((name) => open(name, losses))
  return options.format === 'json'
    ? new JsonLog(options, destinations, losses)
    : new TextLog(options, destinations, losses)
}

function open(name: string, losses: { dropped: number }): LogDestination {
  const file = name.startsWith('file ') ? name.slice('file '.length).trim() : undefined
  // Opened here and now: a wrong path is the operator's error at the start, not a log lost later.
  const dest = file !== undefined ? openSync(file, 'a', 0o640) : name === 'stdout' ? 1 : 2
  const stream = openDestination({ dest, sync: false, minLength: 0, maxLength: MOST_WAITING })
  if (file !== undefined) Object.assign(stream, { file }) // reopen() insists on a stream that knows its file
  stream.on('drop', () => losses.dropped++)
  // EPIPE, a full disk: the broker serves on without its log.
  stream.on('error', () => losses.dropped++)
  return { stream, file }
}

/** Everything about destinations that the two formats share. */
abstract class OpenedLog implements RootLogger {
  readonly #destinations: readonly LogDestination[]
  readonly #losses: { readonly dropped: number }
  #closed: Promise<void> | undefined

  constructor(destinations: readonly LogDestination[], losses: { readonly dropped: number }) {
    this.#destinations = destinations
    this.#losses = losses
  }

  abstract readonly debugging: boolean
  abstract debug(fields: LogFields, message: string): void
  abstract info(fields: LogFields, message: string): void
  abstract warn(fields: LogFields, message: string): void
  abstract error(fields: LogFields, message: string): void
  abstract setLevel(level: LogLevel): void

  get dropped(): number {
    return this.#losses.dropped
  }

  protected write(line: string): void {
    if (this.#closed !== undefined) return
    for (const { stream } of this.#destinations) stream.write(line)
  }

  reopen(): void {
    if (this.#closed !== undefined) return
    for (const { stream, file } of this.#destinations) if (file !== undefined) stream.reopen(file)
  }

  close(): Promise<void> {
    this.#closed ??= Promise.all(this.#destinations.map(({ stream }) => ended(stream))).then(() => {})
    return this.#closed
  }
}

// flushSync() would be shorter, but overtakes a write that is under way: the last lines would come before it, or alone.
function ended(stream: LogDestination['stream']): Promise<void> {
  return new Promise((settle) => {
    const giveUp = setTimeout(settle, LONGEST_CLOSE)
    const done = (): void => {
      clearTimeout(giveUp)
      settle()
    }
    stream.once('close', done)
    stream.once('error', done)
    stream.end()
  })
}

class TextLog extends OpenedLog {
  #rank: number
  readonly #timestamp: boolean

  constructor(options: LogOptions, destinations: readonly LogDestination[], losses: { readonly dropped: number }) {
    super(destinations, losses)
    this.#rank = RANK[options.level]
    this.#timestamp = options.timestamp ?? true
  }

  get debugging(): boolean {
    return this.#rank <= RANK.debug
  }

  debug(fields: LogFields, message: string): void {
    if (this.#rank <= RANK.debug) this.#line('debug', fields, message)
  }

  info(fields: LogFields, message: string): void {
    if (this.#rank <= RANK.info) this.#line('info', fields, message)
  }

  warn(fields: LogFields, message: string): void {
    if (this.#rank <= RANK.warn) this.#line('warn', fields, message)
  }

  error(fields: LogFields, message: string): void {
    if (this.#rank <= RANK.error) this.#line('error', fields, message)
  }

  setLevel(level: LogLevel): void {
    this.#rank = RANK[level]
  }

  #line(level: LogLevel, fields: LogFields, message: string): void {
    this.write(textLine(this.#timestamp ? new Date() : undefined, level, message, fields))
  }
}

/** A client's id may have 65,535 bytes, and every line about it has one. */
function bounded(fields: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(fields)
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value]))
}

class JsonLog extends OpenedLog {
  readonly #pino: ReturnType<typeof pino>

  constructor(options: LogOptions, destinations: readonly LogDestination[], losses: { readonly dropped: number }) {
    super(destinations, losses)
    this.#pino = pino(
      { level: options.level, base: { pid: process.pid }, formatters: { log: bounded } },
      { write: (line) => this.write(`${escaped(line.trimEnd())}\n`) },
    )
  }

  get debugging(): boolean {
    return this.#pino.isLevelEnabled('debug')
  }

  debug(fields: LogFields, message: string): void {
    this.#pino.debug(fields, message)
  }

  info(fields: LogFields, message: string): void {
    this.#pino.info(fields, message)
  }

  warn(fields: LogFields, message: string): void {
    this.#pino.warn(fields, message)
  }

  error(fields: LogFields, message: string): void {
    this.#pino.error(fields, message)
  }

  setLevel(level: LogLevel): void {
    this.#pino.level = level
  }
}

const nothing = (): void => {}

/** For embedding and tests: says nothing. */
export const silentLogger: Logger = { debugging: false, debug: nothing, info: nothing, warn: nothing, error: nothing }
