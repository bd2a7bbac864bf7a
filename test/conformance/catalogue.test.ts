import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AREAS, cases, invariants } from '../../conformance/case.ts'
import '../../conformance/cases/index.ts'
import { catalogue } from '../../conformance/catalogue/index.ts'
import { type Coverage, coverage, coverageText } from '../../conformance/coverage.ts'
import { listReport } from '../../conformance/report/list.ts'

const VERSIONS = ['3.1.1', '5'] as const
const unseen = (c: Coverage): number => c.server - c.observable

for (const version of VERSIONS) {
  test(`every statement of ${version} has an id of its own, a sentence, and a reason if it cannot be seen`, () => {
    const ids = catalogue[version].map((s) => s.id)
    assert.equal(ids.length, new Set(ids).size)
    for (const statement of catalogue[version]) {
      assert.match(statement.id, /^MQTT-\d+(\.\d+)+-\d+$/)
      assert.match(statement.text, /^[^a-z].*\.$/, statement.id)
      if (statement.notObservable !== undefined) assert.ok(statement.notObservable.length > 10, statement.id)
    }
  })

  test(`the catalogue of ${version} has no gaps: the numbers of each section count up from 1`, () => {
    const sections = new Map<string, number[]>()
    for (const { id } of catalogue[version]) {
      const at = id.lastIndexOf('-')
      const section = id.slice(0, at)
      sections.set(section, [...(sections.get(section) ?? []), Number(id.slice(at + 1))])
    }
    for (const [section, numbers] of sections) {
      // MQTT-2.2.1-1 was withdrawn before 5.0 became a standard.
      const first = version === '5' && section === 'MQTT-2.2.1' ? 2 : 1
      const wanted = numbers.map((_, index) => index + first)
      assert.equal(numbers, wanted, section)
    }
  })

  test(`every observable statement of ${version} that binds a server has a case`, () => {
    const c = coverage(version, catalogue[version])
    assert.equal(c.uncovered, [])
    assert.is(c.covered, c.observable)
    assert.match(coverageText(c), /\(100\.0 %\)/)
  })

  test(`every clause a case of ${version} names is in the catalogue, observable and binding for servers`, () => {
    const known = new Map(catalogue[version].map((s) => [s.id, s]))
    for (const one of [...cases, ...invariants]) {
      for (const clause of one.clauses[version] ?? []) {
        if (clause.startsWith('§')) continue
        const statement = known.get(clause)
        assert.ok(statement, `${one.area}/${one.id}: ${clause}`)
        assert.is(statement?.notObservable, undefined, `${one.area}/${one.id}: ${clause}`)
        assert.is.not(statement?.binds, 'client', `${one.area}/${one.id}: ${clause}`)
      }
    }
  })

  test(`--list shows every statement of ${version}`, () => {
    const text = listReport([version])
    for (const { id } of catalogue[version]) assert.ok(text.includes(`\n${id} `), id)
  })
}

test('the catalogues have the size of the specifications', () => {
  assert.equal([catalogue['3.1.1'].length, catalogue['5'].length], [141, 251])
})

test('docs/conformance.md counts what the catalogue has', () => {
  const page = readFileSync(resolve(import.meta.dirname, '../../../docs/conformance.md'), 'utf8')
  const told =
    /all (\d+) numbered statements of 3\.1\.1 and all (\d+) of 5\.0\. Of those, (\d+) and (\d+) bind a server;\s+(\d+) and (\d+) of them/
  const counts = VERSIONS.map((version) => coverage(version, catalogue[version]))
  const columns = [(c: Coverage) => c.all, (c: Coverage) => c.server, unseen].map((of) => counts.map(of))
  assert.equal(told.exec(page)?.slice(1).map(Number), columns.flat())
})

test('cases have kebab-case ids, sentences for titles, and areas that exist', () => {
  const names = [...cases, ...invariants].map((one) => `${one.area}/${one.id}`)
  assert.equal(names.length, new Set(names).size)
  for (const one of [...cases, ...invariants]) {
    assert.match(one.id, /^[a-z0-9][a-z0-9.-]*$/)
    assert.ok(AREAS.includes(one.area), one.id)
    assert.ok(one.title.length > 15 && !one.title.endsWith('.'), one.title)
    assert.ok(Object.keys(one.clauses).length > 0, one.id)
  }
})

test.run()
