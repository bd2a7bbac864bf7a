// Repeated warnings, throttled and counted: the first of a key at once, then at most one an interval, which says how many
// it stands for (`repeated`). A thousand hostile clients make a line, not a full disk. Driven by `now`; owns no timer.

import type { LogFields, Logger } from './log.ts'

export interface ThrottledLogOptions {
  /** ms between two lines of one key. */
  readonly interval?: number
  /** Keys remembered at one time; those beyond share one. */
  readonly maxKeys?: number
}

interface Repetition {
  sayAgainAt: number
  /** Warnings kept back since the last line, and the latest of them. */
  repeated: number
  fields: LogFields
  message: string
}

/** What warnings are counted under while every key is taken. */
const OTHER = 'other'

export class ThrottledLog {
  readonly #log: Logger
  readonly #interval: number
  readonly #maxKeys: number
  readonly #repetitions = new Map<string, Repetition>()

  constructor(log: Logger, options: ThrottledLogOptions = {}) {
    this.#log = log
    this.#interval = options.interval ?? 10_000
    this.#maxKeys = options.maxKeys ?? 1024
  }

  /**
   * Warns, or counts. `key` names the kind of trouble (`malformed`, `overflow`), possibly with a client; `now` is in ms
   * of any clock that does not run backwards.
   */
  warn(key: string, now: number, fields: LogFields, message: string): void {
    const bounded = this.#keyFor(key, now)
    const known = this.#repetitions.get(bounded)
    if (known !== undefined && now < known.sayAgainAt) {
      known.repeated++
      known.fields = fields
      known.message = message
      return
    }
    this.#repetitions.set(bounded, { sayAgainAt: now + this.#interval, repeated: 0, fields, message })
    this.#log.warn(known === undefined || known.repeated === 0 ? fields : counted(fields, known.repeated), message)
  }

  /** Says what was kept back and is due, and forgets keys that have been quiet. To be called now and then. */
  flush(now: number): void {
    for (const [key, repetition] of this.#repetitions) {
      if (now < repetition.sayAgainAt) continue
      if (repetition.repeated === 0) {
        this.#repetitions.delete(key)
        continue
      }
      this.#log.warn(counted(repetition.fields, repetition.repeated), repetition.message)
      repetition.repeated = 0
      repetition.sayAgainAt = now + this.#interval
    }
  }

  /** Says what was kept back, due or not: the broker is closing. */
  close(): void {
    for (const { repeated, fields, message } of this.#repetitions.values()) {
      if (repeated > 0) this.#log.warn(counted(fields, repeated), message)
    }
    this.#repetitions.clear()
  }

  /** Keys remembered now. */
  get size(): number {
    return this.#repetitions.size
  }

  #keyFor(key: string, now: number): string {
    if (this.#repetitions.has(key) || this.#repetitions.size < this.#maxKeys) return key
    this.#forgetOne(now)
    return this.#repetitions.size < this.#maxKeys ? key : OTHER
  }

  // Oldest first, as Map keeps them; only the first is looked at, so that a flood of keys costs nothing per warning.
  #forgetOne(now: number): void {
    for (const [key, { repeated, sayAgainAt, fields, message }] of this.#repetitions) {
      if (now < sayAgainAt) return
      if (repeated > 0) this.#log.warn(counted(fields, repeated), message)
      this.#repetitions.delete(key)
      return
    }
  }
}

function counted(fields: LogFields, repeated: number): LogFields {
  return { ...fields, repeated }
}
