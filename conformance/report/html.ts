// The HTML report: one self-contained page, from the sum of it down to every byte of every case.

import { catalogue } from '../catalogue/index.ts'
import type { Statement } from '../catalogue/statement.ts'
import { casesByClause } from '../coverage.ts'
import type { VersionName } from '../protocol.ts'
import type { TraceEvent } from '../trace.ts'
import type { Outcome, Verdict } from '../verdict.ts'
import { SCRIPT, STYLE } from './html-style.ts'
import { byArea, counts, type RunResult } from './result.ts'

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const esc = (text: string): string => text.replace(/[&<>"']/g, (c) => ENTITIES[c] as string)

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

function clause(id: string, statements: ReadonlyMap<string, Statement>): string {
  const text = statements.get(id)?.text
  return `<code>${esc(id)}</code>${text === undefined ? '' : ` ${esc(text)}`}`
}

function details(verdict: Verdict, statements: ReadonlyMap<string, Statement>): string {
  const rows: [string, string][] = []
  if (verdict.expected !== undefined) rows.push(['expected', esc(verdict.expected)], ['got', esc(verdict.got ?? '')])
  else if (verdict.reason !== undefined) rows.push(['reason', esc(verdict.reason)])
  for (const remark of verdict.remarks) rows.push(['remark', esc(remark)])
  for (const id of verdict.clauses) rows.push(['clause', clause(id, statements)])
  const trace = verdict.trace.length === 0 ? '' : `<div class="trace">${verdict.trace.map(event).join('')}</div>`
  const list = rows.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join('')
  const searched = `${verdict.id} ${verdict.title} ${verdict.clauses.join(' ')}`.toLowerCase()
  return `<details class="v" id="${esc(verdict.id)}" data-outcome="${verdict.outcome}" data-text="${esc(searched)}"${
    verdict.outcome === 'fail' || verdict.outcome === 'error' ? ' open' : ''
  }><summary><span class="o ${verdict.outcome}">${verdict.outcome}</span><span class="t">${esc(verdict.title)}</span><code>${esc(verdict.id)}</code></summary><div class="in"><dl>${list}</dl>${trace}</div></details>`
}

function bar(verdicts: readonly Verdict[]): string {
  const c = counts(verdicts)
  const part = (name: string, n: number) => (n === 0 ? '' : `<i class="${name}" style="flex:${n}"></i>`)
  return `<div class="bar" role="img" aria-label="${c.pass} passed, ${c.fail + c.error} failed, ${c.skip} skipped">${part('p', c.pass)}${part('f', c.fail + c.error)}${part('s', c.skip)}</div>`
}

function areaTable(version: VersionName, verdicts: readonly Verdict[]): string {
  const rows = byArea(verdicts).map(([area, list]) => {
    const c = counts(list)
    const bad = c.fail + c.error
    return `<tr><td><a href="#${version}/${area}">${area}</a></td><td>${bar(list)}</td><td class="n pass">${c.pass}</td><td class="n ${bad > 0 ? 'fail' : 'soft'}">${bad}</td><td class="n soft">${c.skip}</td></tr>`
  })
  return `<table><thead><tr><th>Area</th><th></th><th class="n">passed</th><th class="n">failed</th><th class="n">skipped</th></tr></thead><tbody>${rows.join('')}</tbody></table>`
}

/** Outcome of a statement: the worst of its cases; a skip only if nothing else was seen. */
function outcomeOf(ids: readonly string[], verdicts: ReadonlyMap<string, Verdict>): Outcome | 'none' {
  const found = new Set(ids.map((id) => verdicts.get(id)?.outcome))
  for (const outcome of ['fail', 'error', 'pass', 'skip'] as const) if (found.has(outcome)) return outcome
  return 'none'
}

function statementTable(version: VersionName, verdicts: readonly Verdict[]): string {
  const linked = casesByClause(version)
  const byId = new Map(verdicts.map((v) => [v.id, v]))
  const rows = catalogue[version].map((statement) => {
    const ids = linked.get(statement.id) ?? []
    const outcome = outcomeOf(ids, byId)
    const links = ids
      .filter((id) => byId.has(id))
      .map((id) => `<a href="#${esc(id)}">${esc(id.slice(version.length + 1))}</a>`)
      .join(', ')
    const note =
      statement.notObservable !== undefined
        ? `<span class="soft">not observable: ${esc(statement.notObservable)}</span>`
        : statement.binds === 'client'
          ? '<span class="soft">binds clients only</span>'
          : links
    const mark = statement.binds === 'client' || outcome === 'none' ? '' : `<span class="${outcome}">${outcome}</span>`
    return `<tr><td><code>${statement.id}</code></td><td>${esc(statement.text)}<br><small>${note}</small></td><td>${mark}</td></tr>`
  })
  return `<details><summary><span class="t">All ${catalogue[version].length} statements of MQTT ${version}, in our own words, with their cases</span></summary><div class="in"><table><tbody>${rows.join('')}</tbody></table></div></details>`
}

function versionPart(result: RunResult, { version, unsupported, coverage: c }: RunResult['versions'][number]): string {
  const title = `<h2 id="${version}">MQTT ${version}</h2>`
  if (unsupported !== undefined) return `${title}<p>Not run: ${esc(unsupported)}</p>`
  const verdicts = result.verdicts.filter((v) => v.version === version)
  const statements = new Map(catalogue[version].map((s) => [s.id, s]))
  const share = c.observable === 0 ? 100 : (100 * c.covered) / c.observable
  const text = `<p class="soft">${c.covered} of ${c.observable} observable statements that bind a server have cases (${share.toFixed(1)} %); ${c.server} bind a server, ${c.all} are in the specification.</p>`
  const areas = byArea(verdicts).map(
    ([area, list]) =>
      `<section class="area"><h3 id="${version}/${area}">${version} · ${area}</h3>${list.map((v) => details(v, statements)).join('')}</section>`,
  )
  return title + text + areaTable(version, verdicts) + statementTable(version, verdicts) + areas.join('')
}

function cards(result: RunResult): string {
  const c = counts(result.verdicts)
  const bad = c.fail + c.error
  const one = (value: string, label: string, kind = '') =>
    `<div class="card"><b class="${kind}">${value}</b><span>${label}</span></div>`
  const judged = c.pass + bad
  const share = judged === 0 ? '–' : `${((100 * c.pass) / judged).toFixed(1)} %`
  return `<div class="cards">${one(share, 'of the cases judged passed', bad === 0 ? 'pass' : '')}${one(`${c.pass}`, 'passed', 'pass')}${one(`${bad}`, 'failed', bad > 0 ? 'fail' : '')}${one(`${c.skip}`, 'skipped: not offered, and need not be', 'skip')}${result.versions
    .map(({ version, coverage: v }) => one(`${v.covered}/${v.observable}`, `statements covered, MQTT ${version}`))
    .join('')}</div>`
}

const filters = (): string =>
  `<div class="tools"><input id="search" type="search" placeholder="Search title, case or clause" aria-label="Search">${[
    ['fail', 'failed'],
    ['error', 'errors'],
    ['pass', 'passed'],
    ['skip', 'skipped'],
  ]
    .map(([value, label]) => `<label><input type="checkbox" value="${value}" checked> ${label}</label>`)
    .join('')}</div>`

/** The page; needs nothing from outside. */
export function htmlReport(result: RunResult): string {
  const when = new Date(result.startedAt).toUTCString()
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>MQTT conformance of ${esc(result.target)}</title><style>${STYLE}</style></head><body><main><h1>MQTT conformance</h1><p class="soft">${esc(result.target)} · ${esc(when)} · ${(result.duration / 1000).toFixed(1)} s</p>${cards(result)}${filters()}${result.versions.map((v) => versionPart(result, v)).join('')}</main><script>${SCRIPT}</script></body></html>
`
}
