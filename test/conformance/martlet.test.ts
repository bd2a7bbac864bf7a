// Martlet before its own judge: nothing fails, in either version, and every observable statement is covered.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../conformance/cases/index.ts'
import { probe } from '../../conformance/probe.ts'
import type { Version } from '../../conformance/protocol.ts'
import { run } from '../../conformance/runner.ts'
import { parseTarget } from '../../conformance/target.ts'
import type { Verdict } from '../../conformance/verdict.ts'
import { freePort, listening } from './ports.ts'

const BIN = resolve(import.meta.dirname, '../../../bin/martlet.js')

/** Starts the broker, with a port for WebSocket; rejects with its output if it ends before it listens. */
async function start(
  folder: string,
  settings: readonly string[],
): Promise<{ child: ChildProcess; url: string; ws: string }> {
  const [port, door] = [await freePort(), await freePort()]
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    `listener ${door} 127.0.0.1`,
    'protocol websockets',
    ...settings,
  ]
  const file = join(folder, 'martlet.conf')
  writeFileSync(file, `${lines.join('\n')}\n`)
  const child = spawn(process.execPath, [BIN, '-c', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout?.on('data', (text) => {
    output = (output + String(text)).slice(-4096)
  })
  child.stderr?.on('data', (text) => {
    output = (output + String(text)).slice(-4096)
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the broker ended with ${code}: ${output}`)
  })
  await Promise.race([listening(port).then(() => listening(door)), ended])
  ended.catch(() => undefined)
  return { child, url: `mqtt://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${door}` }
}

/** Everything each version has to say about a Martlet with these settings. */
async function verdictsOn(
  settings: readonly string[],
  versions: readonly Version[],
): Promise<Map<Version, readonly Verdict[]>> {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  const { child, url, ws } = await start(folder, settings)
  try {
    const target = parseTarget(url, { rejectUnauthorized: true }, {})
    const webSocket = parseTarget(ws, { rejectUnauthorized: true }, {})
    const judge = async (version: Version): Promise<[Version, Verdict[]]> => {
      const { features, unsupported } = await probe(target, webSocket, version, `mself${version}`, 5000)
      assert.is(unsupported, undefined)
      return [
        version,
        await run({ target, webSocket, version, features, parallel: 16, patience: 5000, runId: 'mself' }),
      ]
    }
    return new Map(await Promise.all(versions.map(judge)))
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    rmSync(folder, { recursive: true })
  }
}

const failures = (verdicts: readonly Verdict[]): string[] =>
  verdicts
    .filter((v) => v.outcome === 'fail' || v.outcome === 'error')
    .map((v) => `${v.id} ${v.clauses.join(' ')}: ${v.reason}`)
const remarks = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap((v) => v.remarks.map((remark) => `${v.id}: ${remark}`))
const skippedOf = (verdicts: readonly Verdict[]): string[] =>
  verdicts.filter((v) => v.outcome === 'skip').map((v) => v.id)

/** What a broker that offers everything cannot be asked. */
const SKIPPED = {
  4: ['3.1.1/connect/refused-credentials', '3.1.1/subscribe/wildcards-unsupported'],
  5: [
    '5/connect/refused-credentials',
    '5/connack/will-qos-above-maximum-qos',
    '5/connack/will-retain-unavailable',
    '5/subscribe/wildcards-unsupported',
    '5/packet-size/client-exceeds-the-servers',
    '5/shared/not-supported-is-said',
    '5/properties/auth-codes',
  ],
}

test('Martlet passes every case of both versions, WebSocket included, without a remark', async () => {
  for (const [version, verdicts] of await verdictsOn([], [4, 5])) {
    assert.ok(verdicts.length > 200)
    assert.equal(failures(verdicts), [])
    // What is allowed and not what the specification advises is not good enough for us.
    assert.equal(remarks(verdicts), [])
    assert.equal(skippedOf(verdicts), SKIPPED[version])
  }
})

const LITTLE = [
  'max_qos 1',
  'retain_available false',
  'wildcard_subscriptions false',
  'shared_subscriptions false',
  'subscription_identifiers false',
  'max_packet_size 2000',
  'max_topic_alias 0',
  'max_topic_alias_broker 0',
  'allow_zero_length_clientid false',
]
const NARROW = ['max_qos 0', 'max_keepalive 10', 'max_inflight_messages 1']

test('a Martlet that offers little passes, and what only such a broker can be asked', async () => {
  const runs = await Promise.all([LITTLE, NARROW].map((settings) => verdictsOn(settings, [5])))
  const [little = [], narrow = []] = runs.map((verdicts) => verdicts.get(5) ?? [])
  assert.equal(failures(little), [])
  assert.equal(failures(narrow), [])
  const passed = new Set(little.filter((v) => v.outcome === 'pass').map((v) => v.id))
  assert.equal(
    SKIPPED[5].filter((id) => !passed.has(id)),
    ['5/connect/refused-credentials', '5/properties/auth-codes'],
  )
  assert.ok(narrow.filter((v) => v.outcome === 'pass').length > 300)
})

test.run()
