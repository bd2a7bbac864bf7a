// --list: the catalogue, each statement with the cases that judge it.

import { catalogue } from '../catalogue/index.ts'
import { casesByClause, coverage, coverageText } from '../coverage.ts'
import type { VersionName } from '../protocol.ts'

export function listReport(versions: readonly VersionName[]): string {
  const lines: string[] = []
  for (const version of versions) {
    const linked = casesByClause(version)
    lines.push(`MQTT ${version}`, '')
    for (const statement of catalogue[version]) {
      const binds = statement.binds === 'both' ? 'client and server' : statement.binds
      lines.push(`${statement.id}  (${binds})`, `    ${statement.text}`)
      if (statement.notObservable !== undefined) lines.push(`    not observable: ${statement.notObservable}`)
      for (const id of linked.get(statement.id) ?? []) lines.push(`    - ${id}`)
    }
    lines.push('', coverageText(coverage(version, catalogue[version])), '')
  }
  return lines.join('\n')
}
