// Joins the catalogue of normative statements with the cases: what is covered, what could be, what cannot be seen.

import { caseId, cases, invariants } from './case.ts'
import type { Statement } from './catalogue/statement.ts'
import type { VersionName } from './protocol.ts'
import type { Outcome, Verdict } from './verdict.ts'

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

/** Outcome of a statement: the worst of its cases; a skip only if nothing else was seen, none without a verdict. */
export function statementOutcome(ids: readonly string[], verdicts: ReadonlyMap<string, Verdict>): Outcome | 'none' {
  const found = new Set(ids.map((id) => verdicts.get(id)?.outcome))
  for (const outcome of ['fail', 'error', 'pass', 'skip'] as const) if (found.has(outcome)) return outcome
  return 'none'
}

/** What one run says about the observable statements for servers. */
export interface Judgement {
  /** All cases that could be carried out passed, and at least one could. */
  kept: number
  /** Ids of statements with a failed case. */
  broken: string[]
  /** Ids of statements of which no case was carried out: skipped, not chosen, or an error. */
  open: string[]
}

export function judgement(
  version: VersionName,
  statements: readonly Statement[],
  verdicts: readonly Verdict[],
): Judgement {
  const linked = casesByClause(version)
  const byId = new Map(verdicts.map((v) => [v.id, v]))
  const result: Judgement = { kept: 0, broken: [], open: [] }
  for (const { id, binds, notObservable } of statements) {
    if (binds === 'client' || notObservable !== undefined) continue
    const outcome = statementOutcome(linked.get(id) ?? [], byId)
    if (outcome === 'pass') result.kept++
    else if (outcome === 'fail') result.broken.push(id)
    else result.open.push(id)
  }
  return result
}

/** `in this run: 212 kept, 3 broken (MQTT-3.3.4-9, …), 3 not judged`. */
export function judgementText(j: Judgement): string {
  const broken = j.broken.length === 0 ? '0 broken' : `${j.broken.length} broken (${j.broken.join(', ')})`
  return `in this run: ${j.kept} kept, ${broken}, ${j.open.length} not judged`
}
