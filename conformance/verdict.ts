// The ways a case ends, and the two exceptions that end it early.

import type { VersionName } from './protocol.ts'
import type { TraceEvent } from './trace.ts'

/**
 * pass: everything observed is allowed. fail: the broker did what the clause forbids, or did not do what it demands.
 * skip: the broker does not offer what the case needs, and need not. error: the case could not be carried out.
 */
export type Outcome = 'pass' | 'fail' | 'skip' | 'error'

export interface Verdict {
  /** `3.1.1/connect/reserved-flag`. */
  id: string
  title: string
  area: string
  version: VersionName
  clauses: readonly string[]
  outcome: Outcome
  /** Why, for everything but pass. */
  reason?: string
  expected?: string
  got?: string
  /** Things allowed but worth knowing, a SHOULD that was not followed for instance. */
  remarks: string[]
  /** Milliseconds. */
  duration: number
  trace: readonly TraceEvent[]
}

/** The broker broke the clause. */
export class Failed extends Error {
  readonly expected: string
  readonly got: string

  constructor(expected: string, got: string) {
    super(`expected ${expected}; got ${got}`)
    this.expected = expected
    this.got = got
  }
}

/** The case does not apply to this broker. */
export class Skipped extends Error {}
