// The runner against Debian's Mosquitto: its verdicts are a baseline. A verdict that changes is news about a case.
// Everyday runs take the quick areas; MARTLET_LONG=1 takes the whole catalogue, WebSocket included.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cases, invariants } from '../../conformance/case.ts'
import '../../conformance/cases/index.ts'
import { probe } from '../../conformance/probe.ts'
import { type Version, versionName } from '../../conformance/protocol.ts'
import { run } from '../../conformance/runner.ts'
import { parseTarget } from '../../conformance/target.ts'
import type { Verdict } from '../../conformance/verdict.ts'
import { skipped } from '../support/target.ts'
import { freePort, listening } from './ports.ts'

const MOSQUITTO = '/usr/sbin/mosquitto'
const JUDGED = '2.0.11'
const BASELINE = resolve(import.meta.dirname, `../../../conformance/baselines/mosquitto-${JUDGED}.json`)
const QUICK = ['connect', 'connack', 'subscribe', 'unsubscribe', 'topics', 'publish', 'qos', 'shared', 'auth', 'alias']
const LONG = process.env.MARTLET_LONG === '1'
const VERSIONS = [4, 5] as const

const wanted = JSON.parse(readFileSync(BASELINE, 'utf8')) as Record<string, string>

interface Subject {
  url: string
  ws: string
  /** `2.0.11`, from its log. */
  release: string
}

/** Runs the work with a Mosquitto of our own, on a port for MQTT and one for WebSocket. */
async function withMosquitto(work: (subject: Subject) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  const [port, door] = [await freePort(), await freePort()]
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    `listener ${door} 127.0.0.1`,
    'protocol websockets',
  ]
  writeFileSync(join(folder, 'm.conf'), `${lines.join('\n')}\n`)
  const child = spawn(MOSQUITTO, ['-c', join(folder, 'm.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (text) => {
    log = (log + String(text)).slice(-65_536)
  })
  try {
    await listening(port)
    await listening(door)
    const release = /mosquitto version (\S+) starting/.exec(log)?.[1] ?? 'unknown'
    await work({ url: `mqtt://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${door}`, release })
  } finally {
    child.kill()
    await once(child, 'exit')
    rmSync(folder, { recursive: true })
  }
}

let runs = 0

/** The verdicts of one version; `only` some ids, one at a time and with more patience, if it is given. */
async function verdictsOf({ url, ws }: Subject, version: Version, only?: readonly string[]): Promise<Verdict[]> {
  const target = parseTarget(url, { rejectUnauthorized: true }, {})
  const webSocket = parseTarget(ws, { rejectUnauthorized: true }, {})
  const runId = `mb${runs++}v${version}`
  const patience = only === undefined ? 3000 : 6000
  const { features, unsupported } = await probe(target, webSocket, version, runId, patience)
  assert.is(unsupported, undefined)
  const areas = LONG ? undefined : QUICK
  return await run({
    target,
    webSocket,
    version,
    features,
    areas,
    only,
    parallel: only === undefined ? 16 : 1,
    patience,
    runId,
  })
}

const differs = (v: Verdict): boolean => v.outcome !== wanted[v.id]
const told = (v: Verdict): string => `${v.id}: ${wanted[v.id]} → ${v.outcome}: ${v.reason ?? ''}`

const title = "the verdicts on Debian's Mosquitto are those of the baseline"
if (!existsSync(MOSQUITTO) && !process.env.CI) skipped(test, 'mosquitto is not installed')(title, () => undefined)
else {
  test(title, () =>
    withMosquitto(async (subject) => {
      const news: Verdict[] = []
      for (const version of VERSIONS) {
        const verdicts = await verdictsOf(subject, version)
        if (LONG) {
          const ids = Object.keys(wanted).filter((id) => id.startsWith(`${versionName(version)}/`))
          assert.equal(verdicts.map((v) => v.id).sort(), ids.sort(), 'the whole catalogue, as in the baseline')
        } else assert.ok(verdicts.length > 100)
        // A busy machine can be late; a case that is late once more, alone and waited for twice as long, is news.
        const late = verdicts.filter(differs).map((v) => v.id)
        if (late.length > 0) {
          const again = await verdictsOf(subject, version, late)
          news.push(...again.filter((v) => late.includes(v.id) && differs(v)))
        }
      }
      if (subject.release !== JUDGED) {
        // Another Mosquitto may have other faults, but none of them is a fault of the runner.
        console.log(
          `Mosquitto ${subject.release}, not ${JUDGED}: ${news.length} verdicts differ\n${news.map(told).join('\n')}`,
        )
        assert.equal(news.filter((v) => v.outcome === 'error').map(told), [])
        return
      }
      assert.equal(news.map(told), [])
    }),
  )
}

test('the baseline has a verdict for each case of the catalogue, and no others', () => {
  const ids = VERSIONS.flatMap((version) => {
    const name = versionName(version)
    const those = [...cases, ...invariants].filter((one) => one.clauses[name] !== undefined)
    return those.map((one) => `${name}/${one.area}/${one.id}`)
  })
  assert.equal(Object.keys(wanted).sort(), ids.sort())
})

const page = readFileSync(resolve(BASELINE, '../../../docs/conformance.md'), 'utf8')

test('docs/conformance.md counts for Mosquitto what the baseline says', () => {
  const outcomes = Object.values(wanted)
  const count = (outcome: string) => outcomes.filter((one) => one === outcome).length
  const counted = /^(\d+) pass, (\d+) fail, (\d+) are skipped, .* as of the committed baseline\./m.exec(page)
  assert.equal(counted?.slice(1).map(Number), ['pass', 'fail', 'skip'].map(count))
})

test('docs/conformance.md explains every deviation of the baseline', () => {
  const section = page.slice(page.indexOf('## Mosquitto'))
  const failed = Object.keys(wanted).filter((id) => wanted[id] === 'fail')
  assert.ok(failed.length > 0)
  const all = [...cases, ...invariants]
  const untold = failed.filter((id) => {
    const [version, ...rest] = id.split('/')
    const one = all.find((other) => `${other.area}/${other.id}` === rest.join('/'))
    const clauses = one?.clauses[version as '3.1.1' | '5'] ?? []
    return !clauses.some((clause) => section.includes(clause.replace('§', 'section ')))
  })
  assert.equal(untold, [])
})

test.run()
