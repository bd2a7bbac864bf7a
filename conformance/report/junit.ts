// JUnit XML, for continuous integration: a suite for each version and area.

import type { Verdict } from '../verdict.ts'
import { byArea, counts, type RunResult } from './result.ts'
import { traceLines } from './terminal.ts'

const XML: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

// biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 has no way to write them, not even escaped.
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g

const escaped = (text: string): string => text.replace(FORBIDDEN, '\ufffd').replace(/[&<>"]/g, (c) => XML[c] as string)

function testcase(verdict: Verdict): string {
  const name = `${verdict.id}: ${verdict.title} [${verdict.clauses.join(' ')}]`
  const open = `    <testcase classname="mqtt-${verdict.version}.${verdict.area}" name="${escaped(name)}" time="${verdict.duration / 1000}"`
  if (verdict.outcome === 'pass') return `${open}/>`
  const message = escaped(verdict.reason ?? '')
  if (verdict.outcome === 'skip') return `${open}><skipped message="${message}"/></testcase>`
  const tag = verdict.outcome === 'fail' ? 'failure' : 'error'
  return `${open}><${tag} message="${message}">${escaped(traceLines(verdict.trace).join('\n'))}</${tag}></testcase>`
}

export function junitReport(result: RunResult): string {
  const suites = result.versions.flatMap(({ version }) =>
    byArea(result.verdicts.filter((v) => v.version === version)).map(([area, list]) => {
      const c = counts(list)
      const time = list.reduce((sum, v) => sum + v.duration, 0) / 1000
      const head = `  <testsuite name="mqtt-${version}.${area}" tests="${list.length}" failures="${c.fail}" errors="${c.error}" skipped="${c.skip}" time="${time}">`
      return [head, ...list.map(testcase), '  </testsuite>'].join('\n')
    }),
  )
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites name="MQTT conformance">',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n')
}
