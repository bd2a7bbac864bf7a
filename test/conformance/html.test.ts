// The HTML report: one page that needs nothing from outside, what failed first, every trace in it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../conformance/cases/index.ts'
import { catalogue } from '../../conformance/catalogue/index.ts'
import { coverage } from '../../conformance/coverage.ts'
import { htmlReport } from '../../conformance/report/html.ts'
import type { RunResult } from '../../conformance/report/result.ts'
import type { Verdict } from '../../conformance/verdict.ts'
import { Chromium, withChromium } from '../support/chromium.ts'

const verdict = (id: string, more: Partial<Verdict> = {}): Verdict => ({
  id,
  title: `A case called ${id}`,
  area: id.split('/')[1] ?? '',
  version: '5',
  clauses: ['MQTT-3.12.4-1'],
  outcome: 'pass',
  remarks: [],
  duration: 1,
  trace: [{ at: 1, client: 'client 1', what: 'sent', text: `PINGREQ of ${id}`, hex: 'c0 00' }],
  ...more,
})

const EVIL = '<img src=x onerror=alert(1)>'

const result: RunResult = {
  target: 'mqtt://broker.example',
  broker: `a broker ${EVIL}`,
  startedAt: '2026-01-02T03:04:05.000Z',
  duration: 1234,
  versions: [{ version: '5', coverage: coverage('5', catalogue['5']) }],
  verdicts: [
    verdict('5/ping/answered'),
    verdict('5/ping/with-a-body', { outcome: 'fail', expected: 'a close', got: EVIL, reason: 'expected …' }),
    verdict('5/topics/match-exact', { remarks: ['late, and allowed'] }),
    verdict('5/websocket/text-frame', { outcome: 'skip', reason: 'no WebSocket address was given' }),
  ],
}
const page = htmlReport(result)

test('nothing is fetched from outside, and what a broker says is text', () => {
  assert.not.match(page, /(src|href)="?(https?:|\/\/)|@import|url\(/)
  assert.not.match(page, /<img/)
  assert.match(page, /a broker &lt;img/)
})

test('what failed stands first, with what was expected, what came, the clause and the bytes', () => {
  const [failed, areas, all] = ['id="failed"', 'id="areas"', 'id="cases"'].map((mark) => page.indexOf(mark))
  assert.ok(failed! > 0 && failed! < areas! && areas! < all!)
  const section = page.slice(failed, areas)
  assert.match(section, /with-a-body.*a close.*&lt;img.*MQTT-3\.12\.4-1.*PINGREQ of 5\/ping\/with-a-body.*c0 00/s)
  assert.not.match(section, /id="5\/ping\/answered"/)
})

test('the sum says how many failed, and what became of the statements', () => {
  assert.match(page, /<h1 class="fail">1 case of 3 failed/)
  assert.match(page, /In this run 3 were kept, <span class="fail">1 broken<\/span>/)
  assert.match(
    htmlReport({ ...result, verdicts: [verdict('5/ping/answered')] }),
    /<h1 class="pass">No deviation from MQTT 5/,
  )
  assert.match(htmlReport({ ...result, verdicts: [] }), /<h1 class="skip">Nothing could be judged/)
})

test('light and dark, narrow and on paper', () => {
  for (const wanted of ['prefers-color-scheme:dark', 'max-width:700px', '@media print'])
    assert.ok(page.includes(wanted))
})

test('the traces of what did not fail are in the page, compressed', () => {
  const packed = /id="traces">([^<]+)</.exec(page)?.[1] ?? ''
  const traces = JSON.parse(gunzipSync(Buffer.from(packed, 'base64')).toString()) as string[]
  assert.is(traces.length, 3)
  assert.match(traces.join(''), /PINGREQ of 5\/ping\/answered.*c0 00/)
})

withChromium(test)('a browser unpacks a trace when its case is opened, and hides what is not looked for', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  const browser = new Chromium()
  try {
    writeFileSync(join(folder, 'report.html'), page)
    const opened = await browser.open(`file://${folder}/report.html#5/ping/answered`)
    await opened.shows(/PINGREQ of 5\/ping\/answered/)
    const shown = `[...document.querySelectorAll('.v:not(.hidden)')].length`
    assert.is(await opened.evaluate(shown), 4)
    const type = `const s = document.querySelector('#search'); s.value = 'topics'; s.dispatchEvent(new Event('input'))`
    await opened.evaluate(`(() => { ${type} })()`)
    assert.is(await opened.evaluate(shown), 1)
  } finally {
    await browser.close()
    rmSync(folder, { recursive: true })
  }
})

test.run()
