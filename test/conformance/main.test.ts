import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { main } from '../../conformance/main.ts'
import { type Faults, fakeBroker } from './fake-broker.ts'

/** Runs the command with its output caught; `{}` in the arguments becomes the URL of a fake broker. */
async function command(args: string[], faults: Faults = {}): Promise<{ code: number; out: string; err: string }> {
  const broker = await fakeBroker(faults)
  let out = ''
  let err = ''
  const { write: stdout } = process.stdout
  const { write: stderr } = process.stderr
  process.stdout.write = (text: string | Uint8Array) => {
    out += String(text)
    return true
  }
  process.stderr.write = (text: string | Uint8Array) => {
    err += String(text)
    return true
  }
  try {
    const code = await main(args.map((word) => word.replace('{}', broker.url)))
    return { code, out, err }
  } finally {
    process.stdout.write = stdout
    process.stderr.write = stderr
    await broker.close()
  }
}

const QUICK = ['{}', '--protocol', '3.1.1', '--timeout', '400', '--case', 'ping/answered']

test('the exit code is 0 when everything passed', async () => {
  const { code, out } = await command(QUICK)
  assert.is(code, 0)
  assert.match(out, /1 passed, 0 failed/)
  assert.match(out, /observable server statements covered \(100\.0 %\)/)
})

test('the exit code is 1 when something failed, and the report says why', async () => {
  const { code, out } = await command([...QUICK, '--traces'], { ignoresPing: true })
  assert.is(code, 1)
  assert.match(out, /FAIL 3\.1\.1\/ping\/answered {2}MQTT-3\.12\.4-1/)
  assert.match(out, /expected: PINGRESP/)
  assert.match(out, /> \[client 1\] PINGREQ\n +c0 00/)
})

for (const [what, args] of [
  ['no broker', []],
  ['an unknown option', ['{}', '--frobnicate']],
  ['an unknown area', ['{}', '--area', 'nowhere']],
  ['an unknown protocol', ['{}', '--protocol', '4']],
  ['an unknown report', ['{}', '--report', 'pdf']],
  ['an unknown scheme', ['http://127.0.0.1']],
  ['no URL at all', ['not a url']],
  ['a number that is none', ['{}', '--timeout', 'soon']],
  ['a file that is not there', ['{}', '--tls-ca', '/nonexistent/ca.pem']],
] as const) {
  test(`the exit code is 2 and the usage is shown for ${what}`, async () => {
    const { code, err } = await command([...args])
    assert.is(code, 2)
    assert.match(err, /Usage: martlet conformance/)
  })
}

test('the exit code is 2 when nobody listens, and when the server refuses the connection', async () => {
  const nobody = await command(['mqtt://127.0.0.1:1', '--timeout', '400'])
  assert.is(nobody.code, 2)
  assert.match(nobody.err, /ECONNREFUSED/)
  const refused = await command(QUICK, { refuses: 5 })
  assert.is(refused.code, 2)
  assert.match(refused.out, /not run: the server answered CONNACK/)
})

test('--list needs no broker', async () => {
  const { code, out } = await command(['--list', '--protocol', '3.1.1'])
  assert.is(code, 0)
  assert.match(out, /MQTT-3\.1\.0-2 {2}\(server\)\n {4}.*\n {4}- 3\.1\.1\/connect\/second-connect/)
})

test('every report format writes its file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  try {
    const read = async (format: string): Promise<string> => {
      const file = join(folder, format)
      const { code } = await command([...QUICK, '--report', format, '--output', file], { ignoresPing: true })
      assert.is(code, 1)
      return readFileSync(file, 'utf8')
    }
    const html = await read('html')
    assert.match(html, /^<!doctype html>/)
    assert.not.match(html, /(src|href)="https?:/, 'nothing is fetched from outside')
    assert.match(html, /MQTT-3\.12\.4-1/)
    assert.match(html, /c0 00/)
    const junit = await read('junit')
    assert.match(junit, /<testsuite name="mqtt-3\.1\.1\.ping" tests="1" failures="1"/)
    assert.match(junit, /<failure message="expected PINGRESP/)
    const parser = ['-c', 'import sys, xml.dom.minidom as dom; dom.parseString(sys.stdin.buffer.read())']
    const { status, stderr } = spawnSync('python3', parser, { input: junit, encoding: 'utf8' })
    assert.is(status, 0, `not well-formed XML: ${stderr}`)
    const json = JSON.parse(await read('json')) as { verdicts: { id: string; outcome: string }[] }
    assert.equal(
      json.verdicts.map((v) => [v.id, v.outcome]),
      [['3.1.1/ping/answered', 'fail']],
    )
    assert.equal(JSON.parse(await read('baseline')), { '3.1.1/ping/answered': 'fail' })
    assert.match(await read('markdown'), /#### 3\.1\.1\/ping\/answered/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
