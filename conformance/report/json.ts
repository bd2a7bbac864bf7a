// The report for programs, and the short form kept as a baseline.

import type { RunResult } from './result.ts'

export const jsonReport = (result: RunResult): string => `${JSON.stringify(result, undefined, 2)}\n`

/** Case id → outcome, sorted: small enough to commit and to compare. */
export function baseline(result: RunResult): Record<string, string> {
  const entries = result.verdicts.map((v): [string, string] => [v.id, v.outcome])
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}
