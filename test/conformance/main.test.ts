import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { main } from '../../conformance/main.ts'
import type { CreateBrokerOptions } from '../../src/index.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
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

test.after(closeBrokers)

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

/** A server that treats every connection as it is told to; its URL until the work is done. */
async function withServer<T>(treat: (socket: Socket) => void, work: (url: string) => Promise<T>): Promise<T> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => socket.destroy()))
    treat(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await work(`mqtt://127.0.0.1:${(server.address() as { port: number }).port}`)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

for (const [what, treat, why] of [
  ['speaks another protocol', (socket) => socket.write('220 mail.example ESMTP\r\n'), /not run: expected CONNACK/],
  [
    'answers like a web server',
    (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    /not run: expected CONNACK/,
  ],
  ['says nothing', () => undefined, /not run: expected CONNACK.*nothing within/],
  ['hangs up at once', (socket) => socket.destroy(), /not run: expected CONNACK.*connection closed/],
  ['resets the connection', (socket) => socket.resetAndDestroy(), /not run: expected CONNACK|ECONNRESET/],
] as const satisfies readonly (readonly [string, (socket: Socket) => void, RegExp])[]) {
  test(`the exit code is 2 when the server ${what}`, async () => {
    await withServer(treat, async (url) => {
      const { code, out, err } = await command([url, '--protocol', '5', '--timeout', '200'])
      assert.is(code, 2, out + err)
      assert.match(out + err, why)
    })
  })
}

test('a broker that dies halfway leaves errors, not passes, and the run ends', async () => {
  const broker = await fakeBroker()
  let seen = 0
  const sockets = new Set<Socket>()
  await withServer(
    (socket) => {
      // The first connections are passed on, then nobody is there any more.
      if (++seen > 12) {
        for (const one of sockets) one.destroy()
        socket.resetAndDestroy()
        return
      }
      const through = connect(broker.port, '127.0.0.1').on('error', () => socket.destroy())
      sockets.add(through).add(socket)
      socket.pipe(through)
      through.pipe(socket)
    },
    async (url) => {
      const area = ['--area', 'ping,connack,qos']
      const { code, out } = await command([url, '--protocol', '3.1.1', '--timeout', '200', ...area])
      assert.is(code, 1, out)
      assert.match(out, /(the connection closed|no connection|ended before)/)
      assert.not.match(out, / 0 failed/)
    },
  )
  await broker.close()
})

test('a broker with users: the credentials are used, with the wrong ones nothing is judged', async () => {
  const hook: CreateBrokerOptions = {
    authenticate: ({ username, password }) => username === 'bob' && Buffer.from(password ?? '').toString() === 'secret',
  }
  const { port } = await listen(hook)
  const url = `mqtt://127.0.0.1:${port}`
  const quick = ['--case', 'ping/answered,connect/refused-credentials']
  const right = await command([url, ...quick, '--username', 'bob', '--password', 'secret'])
  assert.is(right.code, 0, right.out)
  assert.match(right.out, /4 passed, 0 failed, 0 skipped/)
  const inUrl = await command([`mqtt://bob:secret@127.0.0.1:${port}`, ...quick])
  assert.is(inUrl.code, 0, inUrl.out)
  assert.not.match(inUrl.out, /secret/)
  const wrong = await command([url, ...quick, '--username', 'bob', '--password', 'guess'])
  assert.is(wrong.code, 2)
  assert.match(wrong.out, /MQTT 3\.1\.1.*\nnot run: the server answered CONNACK.* 0x0[45]/)
  assert.match(wrong.out, /MQTT 5.*\nnot run: the server answered CONNACK.* 0x8[67]/)
})

test('docs/conformance.md has every option that --help has, and no other', async () => {
  const { code, out } = await command(['--help'])
  assert.is(code, 0)
  const page = readFileSync(resolve(import.meta.dirname, '../../../docs/conformance.md'), 'utf8')
  const table = page.slice(page.indexOf('| option |'), page.indexOf('Exit code:'))
  const options = (text: string): string[] => [...new Set(text.match(/--[a-z-]{2,}/g) ?? [])].sort()
  assert.equal(
    options(table),
    options(out).filter((option) => option !== '--help'),
  )
})

test('--list needs no broker', async () => {
  const { code, out } = await command(['--list', '--protocol', '3.1.1'])
  assert.is(code, 0)
  assert.match(out, /MQTT-3\.1\.0-2 {2}\(server\)\n {4}.*\n {4}- 3\.1\.1\/connect\/second-connect/)
})

const BODY = ['{}', '--protocol', '3.1.1', '--timeout', '100', '--case', 'ping/with-a-body']

test('every report format writes its file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  try {
    const read = async (format: string): Promise<string> => {
      const file = join(folder, format)
      const { code } = await command([...BODY, '--report', format, '--output', file], {
        keepsOpen: true,
      })
      assert.is(code, 1)
      return readFileSync(file, 'utf8')
    }
    const html = await read('html')
    assert.match(html, /^<!doctype html>/)
    assert.not.match(html, /(src|href)="https?:/, 'nothing is fetched from outside')
    assert.match(html, /MQTT-4\.8\.0-1/)
    assert.match(html, /c0 01 00/)
    const junit = await read('junit')
    assert.match(junit, /<testsuite name="mqtt-3\.1\.1\.ping" tests="1" failures="1"/)
    assert.match(junit, /<failure message="expected the connection closed/)
    const parser = ['-c', 'import sys, xml.dom.minidom as dom; dom.parseString(sys.stdin.buffer.read())']
    const { status, stderr } = spawnSync('python3', parser, { input: junit, encoding: 'utf8' })
    assert.is(status, 0, `not well-formed XML: ${stderr}`)
    const json = JSON.parse(await read('json')) as { verdicts: { id: string; outcome: string }[] }
    assert.equal(
      json.verdicts.map((v) => [v.id, v.outcome]),
      [['3.1.1/ping/with-a-body', 'fail']],
    )
    assert.equal(JSON.parse(await read('baseline')), { '3.1.1/ping/with-a-body': 'fail' })
    assert.match(await read('markdown'), /#### 3\.1\.1\/ping\/with-a-body/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
