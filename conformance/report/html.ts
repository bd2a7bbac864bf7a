// The HTML report: one self-contained page, from the sum of it down to every byte of every case. What failed stands first.
// The traces of cases that passed are most of the bytes and read by few: they are in the page compressed.

import { gzipSync } from 'node:zlib'
import { catalogue } from '../catalogue/index.ts'
import { casesByClause, judgement, statementOutcome } from '../coverage.ts'
import type { VersionName } from '../protocol.ts'
import type { Verdict } from '../verdict.ts'
import { bad, caseDetails, esc, traceHtml } from './html-case.ts'
import { SCRIPT, STYLE } from './html-style.ts'
import { byArea, counts, type RunResult } from './result.ts'

const WORDS: [name: string, meaning: string][] = [
  ['pass', 'everything observed is allowed; where the specification leaves a choice, every allowed answer passes'],
  ['fail', 'the broker did what the clause forbids, or did not do what it demands'],
  ['skip', 'the broker does not offer what the case needs, and need not; the reason stands with the case'],
  ['error', 'the case could not be carried out'],
]

function bar(verdicts: readonly Verdict[]): string {
  const c = counts(verdicts)
  const part = (name: string, n: number) => (n === 0 ? '' : `<i class="${name}" style="flex:${n}"></i>`)
  const label = `${c.pass} passed, ${c.fail + c.error} failed, ${c.skip} skipped`
  return `<div class="bar" role="img" aria-label="${label}" title="${label}">${part('p', c.pass)}${part('f', c.fail + c.error)}${part('s', c.skip)}</div>`
}

const share = (part: number, whole: number): string => (whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`)

function nav(result: RunResult): string {
  const links: [id: string, text: string, there: boolean][] = [
    ['failed', 'What failed', result.verdicts.some(bad)],
    ['areas', 'Areas', true],
    ['statements', 'Statements', true],
    ['remarks', 'Worth knowing', result.verdicts.some((v) => v.remarks.length > 0)],
    ['cases', 'All cases', true],
  ]
  return `<nav>${links.flatMap(([id, text, there]) => (there ? [`<a href="#${id}">${text}</a>`] : [])).join('')}</nav>`
}

function headline(result: RunResult): string {
  const c = counts(result.verdicts)
  const wrong = c.fail + c.error
  const names = result.versions.filter((v) => v.unsupported === undefined).map((v) => `MQTT ${v.version}`)
  const [kind, text] =
    result.verdicts.length === 0
      ? ['skip', 'Nothing could be judged']
      : wrong === 0
        ? ['pass', `No deviation from ${names.join(' and ')} found`]
        : ['fail', `${wrong} ${wrong === 1 ? 'case' : 'cases'} of ${c.pass + wrong} failed`]
  const when = new Date(result.startedAt).toUTCString()
  const broker = result.broker === undefined ? '' : `<b>${esc(result.broker)}</b> at `
  return `<header><p class="kicker">MQTT conformance report</p><h1 class="${kind}">${text}</h1><p class="soft">${broker}${esc(result.target)} · ${esc(when)} · ${result.verdicts.length} cases in ${(result.duration / 1000).toFixed(1)} s</p>${nav(result)}</header>`
}

function cards(result: RunResult): string {
  const c = counts(result.verdicts)
  const wrong = c.fail + c.error
  const one = (value: string, label: string, kind = '') =>
    `<div class="card"><b class="${kind}">${value}</b><span>${label}</span></div>`
  const statements = result.versions
    .filter((v) => v.unsupported === undefined)
    .map(({ version }) => {
      const verdicts = result.verdicts.filter((v) => v.version === version)
      const j = judgement(version, catalogue[version], verdicts)
      const judged = j.kept + j.broken.length
      return one(
        `${j.kept}/${judged}`,
        `statements judged are kept, MQTT ${version}`,
        j.broken.length === 0 ? 'pass' : '',
      )
    })
  return `<div class="cards">${one(share(c.pass, c.pass + wrong), 'of the cases judged passed', wrong === 0 ? 'pass' : '')}${one(`${c.pass}`, 'passed', 'pass')}${one(`${wrong}`, 'failed', wrong > 0 ? 'fail' : 'pass')}${one(`${c.skip}`, 'skipped: not offered, and need not be', 'skip')}${statements.join('')}</div>`
}

/** A row for each area, a group of columns for each version. */
function areaTable(result: RunResult): string {
  const versions = result.versions.filter((v) => v.unsupported === undefined).map((v) => v.version)
  const columns = versions.map(
    (version) =>
      `<th class="w">MQTT ${version}</th><th class="n">pass</th><th class="n">fail</th><th class="n">skip</th>`,
  )
  const rows = byArea(result.verdicts).map(([area, list]) => {
    const cells = versions.map((version) => {
      const own = list.filter((v) => v.version === version)
      if (own.length === 0)
        return '<td class="w"></td><td class="n soft">–</td><td class="n soft">–</td><td class="n soft">–</td>'
      const c = counts(own)
      const wrong = c.fail + c.error
      return `<td class="w">${bar(own)}</td><td class="n">${c.pass}</td><td class="n ${wrong > 0 ? 'fail' : 'soft'}">${wrong}</td><td class="n soft">${c.skip}</td>`
    })
    return `<tr><td><a href="#area/${area}">${area}</a></td>${cells.join('')}</tr>`
  })
  return `<h2 id="areas">Areas</h2><div class="wide"><table class="areas"><thead><tr><th>Area</th>${columns.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

function failures(result: RunResult): string {
  const list = result.verdicts.filter(bad)
  if (list.length === 0) return ''
  return `<h2 id="failed">What failed <span class="soft">${list.length}</span></h2>${list.map((v) => caseDetails(v)).join('')}`
}

function remarks(result: RunResult): string {
  const rows = result.verdicts.flatMap((v) =>
    v.remarks.map((text) => `<tr><td><a href="#${esc(v.id)}">${esc(v.id)}</a></td><td>${esc(text)}</td></tr>`),
  )
  if (rows.length === 0) return ''
  return `<h2 id="remarks">Allowed, but worth knowing <span class="soft">${rows.length}</span></h2><table><tbody>${rows.join('')}</tbody></table>`
}

function statementTable(version: VersionName, verdicts: readonly Verdict[]): string {
  const linked = casesByClause(version)
  const byId = new Map(verdicts.map((v) => [v.id, v]))
  const rows = catalogue[version].map((statement) => {
    const ids = linked.get(statement.id) ?? []
    const outcome = statementOutcome(ids, byId)
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
    const mark =
      statement.binds === 'client' || outcome === 'none' ? '' : `<span class="o ${outcome}">${outcome}</span>`
    return `<tr><td><code>${statement.id}</code></td><td>${esc(statement.text)}<br><small>${note}</small></td><td>${mark}</td></tr>`
  })
  return `<details class="list"><summary><span class="t">MQTT ${version}: all ${catalogue[version].length} statements, in our own words, each with its cases</span></summary><div class="in"><table><tbody>${rows.join('')}</tbody></table></div></details>`
}

function statementsPart(result: RunResult): string {
  const parts = result.versions.map(({ version, unsupported, coverage: c }) => {
    if (unsupported !== undefined) return `<p><b>MQTT ${version}</b> was not run: ${esc(unsupported)}</p>`
    const verdicts = result.verdicts.filter((v) => v.version === version)
    const j = judgement(version, catalogue[version], verdicts)
    const broken = j.broken.length === 0 ? '' : `, <span class="fail">${j.broken.length} broken</span>`
    const text = `<p><b>MQTT ${version}</b>: the specification has ${c.all} numbered statements; ${c.server} bind a server, ${c.observable} of them can be seen on the wire, ${c.covered} of these (${share(c.covered, c.observable)}) have cases. In this run ${j.kept} were kept${broken}, ${j.open.length} not judged.</p>`
    return text + statementTable(version, verdicts)
  })
  return `<h2 id="statements">Statements</h2>${parts.join('')}`
}

const TOOLS = `<div class="tools"><input id="search" type="search" placeholder="Search title, case or clause" aria-label="Search">${[
  ['fail', 'failed'],
  ['error', 'errors'],
  ['pass', 'passed'],
  ['skip', 'skipped'],
]
  .map(([value, label]) => `<label><input type="checkbox" value="${value}" checked> ${label}</label>`)
  .join('')}</div>`

/** All cases by area; what failed is shown above and only named here. */
function everything(result: RunResult, traces: string[]): string {
  const areas = byArea(result.verdicts).map(([area, list]) => {
    const items = list.map((v) => {
      if (bad(v)) return caseDetails(v, 'again')
      traces.push(traceHtml(v))
      return caseDetails(v, traces.length - 1)
    })
    return `<section class="area"><h3 id="area/${area}">${area}</h3>${items.join('')}</section>`
  })
  return `<h2 id="cases">All cases <span class="soft">${result.verdicts.length}</span></h2>${TOOLS}${areas.join('')}`
}

/** The page; needs nothing from outside. */
export function htmlReport(result: RunResult): string {
  const traces: string[] = []
  const body = [
    headline(result),
    cards(result),
    failures(result),
    areaTable(result),
    statementsPart(result),
    remarks(result),
    everything(result, traces),
    `<footer><dl>${WORDS.map(([name, meaning]) => `<dt class="o ${name}">${name}</dt><dd>${meaning}</dd>`).join('')}</dl><p class="soft">Made by <code>martlet conformance</code>. Times in traces are milliseconds since the case began; → is what was sent, ← what the broker sent.</p></footer>`,
  ].join('')
  const packed = gzipSync(JSON.stringify(traces), { level: 9 }).toString('base64')
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark"><title>MQTT conformance of ${esc(result.broker ?? result.target)}</title><style>${STYLE}</style></head><body><main>${body}</main><script type="application/gzip" id="traces">${packed}</script><script>${SCRIPT}</script></body></html>
`
}
