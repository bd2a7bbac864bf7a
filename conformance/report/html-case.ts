// One case in the HTML report: its verdict, the clauses, what was expected and what came, and the bytes.

import { catalogue } from '../catalogue/index.ts'
import type { Statement } from '../catalogue/statement.ts'
import type { VersionName } from '../protocol.ts'
import type { TraceEvent } from '../trace.ts'
import type { Verdict } from '../verdict.ts'

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text for HTML, attributes included. */
export const esc = (text: string): string => text.replace(/[&<>"']/g, (c) => ENTITIES[c] as string)

export const bad = (verdict: Verdict): boolean => verdict.outcome === 'fail' || verdict.outcome === 'error'

const MARKS: Record<TraceEvent['what'], string> = {
  open: '○',
  sent: '→',
  received: '←',
  closed: '×',
  expected: '✓',
  failed: '✗',
  note: '·',
}

function event(e: TraceEvent): string {
  const who = e.client === undefined ? '' : `<span class="who">${esc(e.client)}</span> `
  const bytes = e.hex === undefined ? '' : `<span class="hex">${e.hex}</span>`
  return `<div class="ev ${e.what}"><span class="at">${e.at.toFixed(1)}</span><span class="x">${MARKS[e.what]}</span><span>${who}${esc(e.text)}${bytes}</span></div>`
}

/** What happened, line by line; empty if nothing did. */
export const traceHtml = (verdict: Verdict): string => verdict.trace.map(event).join('')

const statements: Record<VersionName, ReadonlyMap<string, Statement>> = {
  '3.1.1': new Map(catalogue['3.1.1'].map((s) => [s.id, s])),
  '5': new Map(catalogue['5'].map((s) => [s.id, s])),
}

function clause(id: string, version: VersionName): string {
  const text = statements[version].get(id)?.text
  return `<code>${esc(id)}</code>${text === undefined ? '' : ` ${esc(text)}`}`
}

function facts(verdict: Verdict): string {
  const rows: [string, string][] = []
  if (verdict.expected !== undefined) rows.push(['expected', esc(verdict.expected)], ['got', esc(verdict.got ?? '')])
  else if (verdict.reason !== undefined) rows.push(['reason', esc(verdict.reason)])
  for (const remark of verdict.remarks) rows.push(['remark', esc(remark)])
  for (const id of verdict.clauses) rows.push(['clause', clause(id, verdict.version)])
  return `<dl>${rows.map(([name, value]) => `<dt>${name}</dt><dd class="${name}">${value}</dd>`).join('')}</dl>`
}

/**
 * The case as a fold. A number is its place among the compressed traces; without one its trace stands in the page, and the
 * fold is open. `again` is only a pointer to where the case stands in full.
 */
export function caseDetails(verdict: Verdict, where?: number | 'again'): string {
  const searched = `${verdict.id} ${verdict.title} ${verdict.clauses.join(' ')}`.toLowerCase()
  const attributes = `data-outcome="${verdict.outcome}" data-text="${esc(searched)}"`
  const head = `<span class="o ${verdict.outcome}">${verdict.outcome}</span><span class="t">${esc(verdict.title)}</span><code>${esc(verdict.id)}</code>`
  if (where === 'again') return `<a class="v again" href="#${esc(verdict.id)}" ${attributes}>${head}</a>`
  if (where === undefined) {
    const trace = `<details class="bytes"><summary>What was sent and what came, ${verdict.trace.length} events</summary><div class="trace">${traceHtml(verdict)}</div></details>`
    return `<details class="case" id="${esc(verdict.id)}" open><summary>${head}</summary><div class="in">${facts(verdict)}${verdict.trace.length === 0 ? '' : trace}</div></details>`
  }
  const trace = verdict.trace.length === 0 ? '' : `<div class="trace" data-trace="${where}">…</div>`
  return `<details class="v case" id="${esc(verdict.id)}" ${attributes}><summary>${head}</summary><div class="in">${facts(verdict)}${trace}</div></details>`
}
