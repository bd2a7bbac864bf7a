// Gives memory back to the system when a burst is over: what was freed in small pieces between others stays with the
// process until it is asked to let go. Looks once a second, asks the system only when something has moved, and trims only when
// the broker is quiet, for that takes milliseconds. Knows no reactor: it is given a function that trims.
import type { Counters } from '../../telemetry/counters.ts'
import type { Logger } from '../../telemetry/log.ts'

export interface MemoryReturnParts {
  readonly log: Logger
  readonly counters: Counters
  trim(): void
  /** Resident memory in bytes; undefined when the system does not say. */
  readonly resident?: () => number | undefined
}

const MiB = 1024 * 1024
/** Growth since the last time that is worth a trim: this much, and this share of what there was. */
const WORTH = 8 * MiB
const WORTH_SHARE = 1 / 16
/** Quiet: moves less than this share of the busiest second since the last trim, or very little at all (bytes a second). */
const QUIET_SHARE = 1 / 8
const QUIET_BYTES = 256 * 1024
/** So many quiet looks in a row: what comes in waves of a second is not over between two of them. */
const QUIET_LOOKS = 2
/** Between two trims, ms; and so many times what the last one took. */
const TRIM_EVERY = 4000
const TRIM_SPACING = 100

export class MemoryReturn {
  readonly #parts: MemoryReturnParts
  readonly #resident: () => number | undefined
  #moved = 0
  /** Bytes moved in the busiest second since the last trim. */
  #busiest = 0
  #quiet = 0
  #nextTrim = Number.NEGATIVE_INFINITY
  /** Resident memory after the last trim; the first look's before there was one. */
  #base: number | undefined
  /** Nothing has happened since the last decision. */
  #isSettled = false

  constructor(parts: MemoryReturnParts) {
    this.#parts = parts
    this.#resident = parts.resident ?? residentMemory
  }

  /** Once a second; `now` in ms, `bytesMoved`: read and written since the start. */
  look(now: number, bytesMoved: number): void {
    const moved = bytesMoved - this.#moved
    this.#moved = bytesMoved
    this.#base ??= this.#resident()
    if (moved > 0) this.#isSettled = false
    if (this.#isSettled) return
    this.#busiest = Math.max(this.#busiest, moved)
    const isQuiet = moved <= Math.max(QUIET_BYTES, this.#busiest * QUIET_SHARE)
    this.#quiet = isQuiet ? this.#quiet + 1 : 0
    if (this.#quiet < QUIET_LOOKS || now < this.#nextTrim) return
    const resident = this.#resident()
    if (resident === undefined || this.#base === undefined) return
    if (resident - this.#base < Math.max(WORTH, this.#base * WORTH_SHARE)) {
      this.#base = Math.min(this.#base, resident)
      this.#isSettled = moved === 0
      return
    }
    this.#trim(now, resident)
  }

  #trim(now: number, before: number): void {
    const start = performance.now()
    this.#parts.trim()
    const after = this.#resident() ?? before
    this.#base = after
    this.#busiest = 0
    this.#isSettled = true
    this.#parts.counters.memoryReturned += Math.max(0, before - after)
    const took = performance.now() - start
    this.#nextTrim = now + Math.max(TRIM_EVERY, took * TRIM_SPACING)
    const fields = { before, after, ms: Math.round(took * 10) / 10 }
    this.#parts.log.debug(fields, 'memory given back to the system')
  }
}

function residentMemory(): number | undefined {
  try {
    return process.memoryUsage.rss()
  } catch {
    return undefined // It takes a file descriptor, and there may be none: that is told where connections want one.
  }
}
