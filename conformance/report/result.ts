// What a run yields, and the sums every report needs.

import { AREAS } from '../case.ts'
import type { Coverage } from '../coverage.ts'
import type { VersionName } from '../protocol.ts'
import type { Outcome, Verdict } from '../verdict.ts'

export interface RunResult {
  /** URL of the broker, without password. */
  target: string
  /** What the broker says it is, in $SYS/broker/version; absent if it says nothing there. */
  broker?: string
  /** ISO 8601. */
  startedAt: string
  /** Milliseconds. */
  duration: number
  /** Versions that were run; `unsupported` says why one was not. */
  versions: { version: VersionName; unsupported?: string; coverage: Coverage }[]
  verdicts: Verdict[]
}

export type Counts = Record<Outcome, number>

export function counts(verdicts: readonly Verdict[]): Counts {
  const sum: Counts = { pass: 0, fail: 0, skip: 0, error: 0 }
  for (const verdict of verdicts) sum[verdict.outcome]++
  return sum
}

/** Verdicts grouped by area, in the order areas are listed; areas without verdicts are left out. */
export function byArea(verdicts: readonly Verdict[]): [area: string, verdicts: Verdict[]][] {
  return AREAS.map((area): [string, Verdict[]] => [area, verdicts.filter((v) => v.area === area)]).filter(
    ([, list]) => list.length > 0,
  )
}
