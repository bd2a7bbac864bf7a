import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheck, readUvu } from './runner-report.ts'

const clean = { code: 0, signal: null }
const summary = (total: number, passed: number, skipped: number): string =>
  `• •   (${passed} / ${total})\n\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1.00ms\n\n`

test('the counts of a clean run are read, colours or not', () => {
  const coloured = '\n  Total:     3\u001b[32m\n  Passed:    3\u001b[39m\n  Skipped:   1\n'
  assert.equal(readUvu(coloured, clean), { passed: 3, failed: 0, skipped: 1, reasons: [] })
})

test('failed tests are counted, without a further complaint', () => {
  assert.equal(readUvu(summary(5, 3, 0), { code: 1, signal: null }), { passed: 3, failed: 2, skipped: 0, reasons: [] })
})

test('a file that ran no tests fails, although it exits with 0', () => {
  assert.is(readUvu(summary(0, 0, 0), clean).failed, 1)
})

test('a forgotten test.run() fails', () => {
  const report = readUvu('', clean)
  assert.is(report.failed, 1)
  assert.match(report.problem ?? '', /test\.run/)
})

test('a before hook that threw fails, although uvu exits with 0', () => {
  const report = readUvu(summary(4, 0, 0), clean)
  assert.is(report.failed, 4)
  assert.match(report.problem ?? '', /hook/)
})

test('a crash after the summary fails', () => {
  assert.is(readUvu(summary(2, 2, 0), { code: 134, signal: null }).failed, 1)
  assert.is(readUvu(summary(2, 2, 0), { code: null, signal: 'SIGSEGV' }).problem, 'it was ended by SIGSEGV')
})

test('a hang fails and says how long it was waited for', () => {
  const report = readUvu(summary(2, 2, 0), { code: null, signal: 'SIGKILL', deadline: 120_000 })
  assert.is(report.failed, 1)
  assert.match(report.problem ?? '', /120 s/)
})

test('skipped tests keep their reasons', () => {
  const report = readUvu(`skipped: pub\n         because: mosquitto_pub is not installed\n${summary(1, 1, 1)}`, clean)
  assert.equal(report.reasons, ['pub: mosquitto_pub is not installed'])
})

test('a check is one pass or one failure by its exit code', () => {
  assert.is(readCheck('all fine', clean).passed, 1)
  assert.is(readCheck('not fine', { code: 1, signal: null }).failed, 1)
})

test('a check with a summary line of its own counts as many', () => {
  assert.equal(readCheck('1 passed, 0 failed\n7 passed, 0 failed\n', clean), {
    passed: 7,
    failed: 0,
    skipped: 0,
    reasons: [],
  })
  assert.is(readCheck('7 passed, 0 failed\n', { code: 2, signal: null }).failed, 1)
})

test.run()
