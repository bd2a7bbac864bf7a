// The report for people at a terminal: what failed and why, a table by area, the coverage.

import { catalogue } from '../catalogue/index.ts'
import { coverageText, judgement, judgementText } from '../coverage.ts'
import type { TraceEvent } from '../trace.ts'
import type { Verdict } from '../verdict.ts'
import { byArea, counts, type RunResult } from './result.ts'

export interface TerminalOptions {
  colour: boolean
  /** Show the trace of every failure. */
  traces: boolean
}

const CODES = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 } as const

type Paint = (colour: keyof typeof CODES, text: string) => string

const painter =
  (on: boolean): Paint =>
  (colour, text) =>
    on ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text

const MARKS: Record<TraceEvent['what'], string> = {
  open: 'o',
  sent: '>',
  received: '<',
  closed: 'x',
  expected: '=',
  failed: '!',
  note: '#',
}

/** Trace events as lines. */
export function traceLines(trace: readonly TraceEvent[]): string[] {
  return trace.map((event) => {
    const who = event.client === undefined ? '' : `[${event.client}] `
    const bytes = event.hex === undefined ? '' : `\n${' '.repeat(12)}${event.hex}`
    return `${event.at.toFixed(1).padStart(8)} ${MARKS[event.what]} ${who}${event.text}${bytes}`
  })
}

function problem(verdict: Verdict, paint: Paint, traces: boolean): string {
  const head = verdict.outcome === 'fail' ? paint('red', 'FAIL') : paint('red', 'ERROR')
  const lines = [`${head} ${paint('bold', verdict.id)}  ${verdict.clauses.join(' ')}`, `  ${verdict.title}`]
  if (verdict.expected !== undefined) {
    lines.push(`  expected: ${verdict.expected}`, `  got:      ${verdict.got}`)
  } else if (verdict.reason !== undefined) lines.push(`  ${verdict.reason}`)
  if (traces) lines.push(...traceLines(verdict.trace).map((line) => paint('dim', `  ${line}`)))
  return lines.join('\n')
}

function table(verdicts: readonly Verdict[], paint: Paint): string[] {
  const row = (name: string, list: readonly Verdict[]) => {
    const c = counts(list)
    const bad = c.fail + c.error
    const cells = [name.padEnd(16), String(c.pass).padStart(6), String(bad).padStart(6), String(c.skip).padStart(8)]
    return bad > 0 ? paint('red', cells.join('')) : cells.join('')
  }
  return [
    paint('dim', `${'area'.padEnd(16)}${'passed'.padStart(6)}${'failed'.padStart(7)}${'skipped'.padStart(8)}`),
    ...byArea(verdicts).map(([area, list]) => row(area, list)),
    row('all', verdicts),
  ]
}

/** The whole report as text. */
export function terminalReport(result: RunResult, options: TerminalOptions): string {
  const paint = painter(options.colour)
  const lines: string[] = []
  for (const { version, unsupported, coverage } of result.versions) {
    lines.push('', paint('bold', `MQTT ${version} at ${result.target}`))
    if (unsupported !== undefined) {
      lines.push(paint('yellow', `not run: ${unsupported}`))
      continue
    }
    const verdicts = result.verdicts.filter((v) => v.version === version)
    const bad = verdicts.filter((v) => v.outcome === 'fail' || v.outcome === 'error')
    for (const verdict of bad) lines.push('', problem(verdict, paint, options.traces))
    const remarks = verdicts.flatMap((v) => v.remarks.map((text) => `  ${v.id}: ${text}`))
    if (remarks.length > 0) lines.push('', paint('yellow', 'Allowed, but worth knowing:'), ...remarks)
    const skipped = verdicts.filter((v) => v.outcome === 'skip')
    if (skipped.length > 0) {
      lines.push('', paint('dim', 'Skipped:'), ...skipped.map((v) => paint('dim', `  ${v.id}: ${v.reason}`)))
    }
    const judged = judgement(version, catalogue[version], verdicts)
    lines.push('', ...table(verdicts, paint), '', coverageText(coverage), judgementText(judged))
  }
  const c = counts(result.verdicts)
  const verdict = c.fail + c.error === 0 ? paint('green', '0 failed') : paint('red', `${c.fail + c.error} failed`)
  lines.push('', `${c.pass} passed, ${verdict}, ${c.skip} skipped in ${(result.duration / 1000).toFixed(1)} s`, '')
  return lines.join('\n')
}
