// Markdown, for a README, an issue or a pull request.

import { catalogue } from '../catalogue/index.ts'
import { coverageText, judgement, judgementText } from '../coverage.ts'
import { byArea, counts, type RunResult } from './result.ts'
import { traceLines } from './terminal.ts'

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

export function markdownReport(result: RunResult): string {
  const c = counts(result.verdicts)
  const lines = [
    `# MQTT conformance of ${result.target}`,
    '',
    `${c.pass} passed, ${c.fail + c.error} failed, ${c.skip} skipped; ${result.startedAt}, ${(result.duration / 1000).toFixed(1)} s.`,
  ]
  for (const { version, unsupported, coverage } of result.versions) {
    lines.push('', `## MQTT ${version}`, '')
    if (unsupported !== undefined) {
      lines.push(`Not run: ${unsupported}`)
      continue
    }
    const verdicts = result.verdicts.filter((v) => v.version === version)
    const judged = judgement(version, catalogue[version], verdicts)
    lines.push(
      `${coverageText(coverage)}; ${judgementText(judged)}.`,
      '',
      '| area | passed | failed | skipped |',
      '|---|---:|---:|---:|',
    )
    for (const [area, list] of byArea(verdicts)) {
      const a = counts(list)
      lines.push(`| ${area} | ${a.pass} | ${a.fail + a.error} | ${a.skip} |`)
    }
    const bad = verdicts.filter((v) => v.outcome === 'fail' || v.outcome === 'error')
    if (bad.length > 0) lines.push('', '### Failed')
    for (const v of bad) {
      lines.push('', `#### ${v.id}`, '', `${v.title} (${v.clauses.join(', ') || 'unnumbered text'})`, '')
      lines.push(`- expected: ${v.expected ?? 'the case carried out'}`, `- got: ${v.got ?? v.reason}`, '')
      lines.push('```', ...traceLines(v.trace), '```')
    }
    const skipped = verdicts.filter((v) => v.outcome === 'skip')
    if (skipped.length > 0) lines.push('', '### Skipped', '', '| case | reason |', '|---|---|')
    for (const v of skipped) lines.push(`| ${v.id} | ${cell(v.reason ?? '')} |`)
  }
  return `${lines.join('\n')}\n`
}
