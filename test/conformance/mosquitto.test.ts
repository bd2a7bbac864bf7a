// The runner against Debian's Mosquitto: its verdicts are a baseline. A verdict that changes is news about a case.
// Everyday runs take the quick areas; MARTLET_LONG=1 takes everything.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../conformance/cases/index.ts'
import { probe } from '../../conformance/probe.ts'
import { run } from '../../conformance/runner.ts'
import { parseTarget } from '../../conformance/target.ts'
import { freePort, listening } from './ports.ts'

const MOSQUITTO = '/usr/sbin/mosquitto'
const BASELINE = resolve(import.meta.dirname, '../../../conformance/baselines/mosquitto-2.0.11.json')
const QUICK = ['connect', 'connack', 'subscribe', 'unsubscribe', 'topics', 'publish', 'qos', 'shared', 'auth', 'alias']
const LONG = process.env.MARTLET_LONG === '1'

/** Runs the work with a Mosquitto of our own, if it is the version the baseline is for. */
async function withMosquitto(work: (url: string) => Promise<void>): Promise<void> {
  if (!existsSync(MOSQUITTO)) {
    console.log('skipped: the verdicts on Mosquitto\nbecause: it is not installed')
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  const port = await freePort()
  writeFileSync(join(folder, 'm.conf'), `listener ${port} 127.0.0.1\nallow_anonymous true\n`)
  const child = spawn(MOSQUITTO, ['-c', join(folder, 'm.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (text) => {
    log = (log + String(text)).slice(-4096)
  })
  try {
    await listening(port)
    if (log.includes('version 2.0.11 ')) await work(`mqtt://127.0.0.1:${port}`)
    else console.log('skipped: the verdicts on Mosquitto\nbecause: the baseline is for another version')
  } finally {
    child.kill()
    await once(child, 'exit')
    rmSync(folder, { recursive: true })
  }
}

test("the verdicts on Debian's Mosquitto are those of the baseline", async () => {
  const wanted = JSON.parse(readFileSync(BASELINE, 'utf8')) as Record<string, string>
  await withMosquitto(async (url) => {
    const target = parseTarget(url, { rejectUnauthorized: true }, {})
    for (const version of [4, 5] as const) {
      const { features, unsupported } = await probe(target, undefined, version, `mbase${version}`, 3000)
      assert.is(unsupported, undefined)
      const verdicts = await run({
        target,
        version,
        features,
        areas: LONG ? undefined : QUICK,
        parallel: 16,
        patience: 3000,
        runId: 'mbase',
      })
      assert.ok(verdicts.length > 100)
      // Without --ws its cases are skipped, in the baseline they were not.
      const news = verdicts.filter((v) => v.area !== 'websocket' && v.outcome !== wanted[v.id])
      assert.equal(
        news.map((v) => `${v.id}: ${wanted[v.id]} → ${v.outcome}: ${v.reason ?? ''}`),
        [],
      )
    }
  })
})

test('docs/conformance.md tells of Mosquitto what the baseline says', () => {
  const outcomes = Object.values(JSON.parse(readFileSync(BASELINE, 'utf8')) as Record<string, string>)
  const count = (wanted: string) => outcomes.filter((outcome) => outcome === wanted).length
  const page = readFileSync(resolve(BASELINE, '../../../docs/conformance.md'), 'utf8')
  const told = /^(\d+) pass, (\d+) fail, (\d+) are skipped, .* as of the committed baseline\./m.exec(page)
  assert.equal(told?.slice(1).map(Number), ['pass', 'fail', 'skip'].map(count))
})

test.run()
