// Joins the catalogue of normative statements with the cases: what is covered, what could be, what cannot be seen.

import { caseId, cases, invariants } from './case.ts'
import type { Statement } from './catalogue/statement.ts'
import type { VersionName } from './protocol.ts'

export interface Coverage {
  version: VersionName
  /** Numbered statements of the specification, those for clients included. */
  all: number
  /** Those that bind a server. */
  server: number
  /** Of those, the ones that show on the wire. */
  observable: number
  covered: number
  /** Observable and without a case. */
  uncovered: string[]
}

/** Case ids for each clause of the version. */
export function casesByClause(version: VersionName): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const one of [...cases, ...invariants]) {
    for (const clause of one.clauses[version] ?? []) {
      found.set(clause, [...(found.get(clause) ?? []), caseId(version, one)])
    }
  }
  return found
}

export function coverage(version: VersionName, statements: readonly Statement[]): Coverage {
  const linked = casesByClause(version)
  const server = statements.filter((s) => s.binds !== 'client')
  const observable = server.filter((s) => s.notObservable === undefined)
  const uncovered = observable.filter((s) => !linked.has(s.id)).map((s) => s.id)
  return {
    version,
    all: statements.length,
    server: server.length,
    observable: observable.length,
    covered: observable.length - uncovered.length,
    uncovered,
  }
}

/** `MQTT 5: 200 of 201 observable server statements covered (99.5 %); …`. */
export function coverageText(c: Coverage): string {
  const share = c.observable === 0 ? 100 : (100 * c.covered) / c.observable
  const missing = c.uncovered.length === 0 ? '' : `; without a case: ${c.uncovered.join(', ')}`
  return (
    `MQTT ${c.version}: ${c.covered} of ${c.observable} observable server statements covered (${share.toFixed(1)} %); ` +
    `${c.server} bind a server, ${c.all} in all${missing}`
  )
}
