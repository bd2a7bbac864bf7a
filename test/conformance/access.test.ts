// The command against brokers that are not open to everybody: users, TLS, client certificates, wss.

import { gunzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Authority } from '../net/certificates.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { command } from './command.ts'

const authority = new Authority()
const server = authority.issue('server', '/CN=localhost', ['DNS:localhost', 'IP:127.0.0.1'])
const device = authority.issue('device', '/CN=device')

const { broker, port } = await listen({
  authenticate: ({ username, password }) => username === 'bob' && Buffer.from(password ?? '').toString() === 'secret',
})
const certificate = { certfile: [server.certfile], keyfile: [server.keyfile] }
const doors = {
  mutual: (await broker.listen({ port: 0, ...certificate, cafile: authority.certificate, requireCertificate: true }))
    .port,
  wss: (await broker.listen({ port: 0, ...certificate, protocol: 'websockets' })).port,
}
const url = `mqtt://127.0.0.1:${port}`
const BOB = ['--username', 'bob', '--password', 'secret']
const CA = ['--tls-ca', authority.certificate]
const DEVICE = ['--tls-cert', device.certfile, '--tls-key', device.keyfile]

test.after(closeBrokers)

test('every case uses the credentials: with them nothing fails, and wrong ones are refused as they should be', async () => {
  // The areas in which CONNECT packets are made by hand; in long runs all.
  const areas = process.env.MARTLET_LONG === '1' ? [] : ['--area', 'connect,connack,utf8,errors,auth,ping']
  const { code, out } = await command([url, ...BOB, ...areas, '--parallel', '48', '--timeout', '5000', '--strict'])
  assert.is(code, 0, out)
  assert.match(out, / 0 failed/)
  assert.not.match(out, /refused-credentials/, 'skipped, for the server would accept anybody')
  assert.not.match(out, /secret/)
})

test('credentials may stand in the URL, and no report shows the password', async () => {
  const { code, out } = await command([`mqtt://bob:secret@127.0.0.1:${port}`, '--case', 'ping/answered'])
  assert.is(code, 0, out)
  assert.match(out, /2 passed, 0 failed, 0 skipped/)
  assert.not.match(out, /secret/)
})

test('no report has the password, in letters or in hex: reports are shown to others', async () => {
  const cases = ['--case', 'ping/answered,format/byte-by-byte,connect/packets-behind-connect,session/session-present']
  for (const report of ['json', 'markdown', 'junit', 'terminal', 'html']) {
    const { code, out } = await command([url, ...BOB, ...cases, '--report', report, '--traces'])
    assert.is(code, 0, out)
    const packed = /id="traces">([^<]+)</.exec(out)?.[1]
    const whole = packed === undefined ? out : out + gunzipSync(Buffer.from(packed, 'base64')).toString()
    assert.not.match(whole, /secret|73 65 63 72/)
    if (report === 'json') assert.match(whole, /00 03 62 6f 62 00 06 \*\* \*\* \*\* \*\* \*\* \*\*"/)
  }
})

test('with the wrong password nothing is judged: exit code 2, and why', async () => {
  const { code, out } = await command([url, '--username', 'bob', '--password', 'guess'])
  assert.is(code, 2)
  assert.match(out, /MQTT 3\.1\.1.*\nnot run: the server answered CONNACK.* 0x05 \(not authorized\)/)
  assert.match(out, /MQTT 5.*\nnot run: the server answered CONNACK.* 0x87 \(Not authorized\)/)
})

test('mqtts:// with an authority and a client certificate, and wss:// for the WebSocket cases', async () => {
  const secure = `mqtts://127.0.0.1:${doors.mutual}`
  const cases = ['--case', 'ping/answered,websocket/,will/after-fin,will/after-reset,will/qos-1']
  const ws = ['--ws', `wss://localhost:${doors.wss}/`]
  const { code, out } = await command([secure, ...BOB, ...CA, ...DEVICE, ...ws, ...cases])
  assert.is(code, 0, out)
  assert.match(out, /websocket +5 +0 +0/)
})

test('what TLS refuses is exit code 2 with its reason', async () => {
  const secure = `mqtts://127.0.0.1:${doors.mutual}`
  const ping = ['--case', 'ping/answered', '--timeout', '500']
  const stranger = await command([secure, ...BOB, ...DEVICE, ...ping])
  assert.is(stranger.code, 2)
  assert.match(stranger.err, /self.signed certificate|unable to (get|verify)/)
  assert.is((await command([secure, ...BOB, ...DEVICE, ...ping, '--tls-insecure'])).code, 0)
  const named = await command([secure, ...BOB, ...CA, ...DEVICE, ...ping, '--tls-servername', 'other.example'])
  assert.is(named.code, 2)
  assert.match(named.err, /other\.example/)
  const without = await command([secure, ...BOB, ...CA, ...ping])
  assert.is(without.code, 2)
  assert.match(without.err + without.out, /not run|certificate required|ECONNRESET/)
})

test.run()
