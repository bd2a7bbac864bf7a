// Martlet before its own judge: nothing fails, in either version, and every observable statement is covered.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../conformance/cases/index.ts'
import { probe } from '../../conformance/probe.ts'
import { run } from '../../conformance/runner.ts'
import { parseTarget } from '../../conformance/target.ts'
import { freePort, listening } from './ports.ts'

const BIN = resolve(import.meta.dirname, '../../../bin/martlet.js')

/** Starts the broker; rejects with its output if it ends before it listens. */
async function start(): Promise<{ child: ChildProcess; url: string }> {
  const port = await freePort()
  const child = spawn(process.execPath, [BIN, '-p', String(port)], { stdio: ['ignore', 'pipe', 'pipe'] })
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
  await Promise.race([listening(port), ended])
  ended.catch(() => undefined)
  return { child, url: `mqtt://127.0.0.1:${port}` }
}

test('Martlet passes every case of both versions without a remark', async () => {
  const { child, url } = await start()
  try {
    const target = parseTarget(url, { rejectUnauthorized: true }, {})
    for (const version of [4, 5] as const) {
      const { features, unsupported } = await probe(target, undefined, version, `mself${version}`, 5000)
      assert.is(unsupported, undefined)
      const verdicts = await run({ target, version, features, parallel: 16, patience: 5000, runId: 'mself' })
      assert.ok(verdicts.length > 200)
      const failed = verdicts.filter((v) => v.outcome === 'fail' || v.outcome === 'error')
      assert.equal(
        failed.map((v) => `${v.id} ${v.clauses.join(' ')}: ${v.reason}`),
        [],
      )
      // What is allowed and not what the specification advises is not good enough for us.
      assert.equal(
        verdicts.flatMap((v) => v.remarks.map((remark) => `${v.id}: ${remark}`)),
        [],
      )
    }
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
})

test.run()
