import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { banner } from '../../src/cli/banner.ts'
import { startFailure } from '../../src/cli/start-failure.ts'
import { ConfigError } from '../../src/config/config-error.ts'

const facts = {
  version: '1.2.3',
  pid: 42,
  descriptors: 4096,
  localOnly: false,
  addresses: [{ host: '0.0.0.0', port: 1883 }],
}
const systemError = (fields: object): Error => Object.assign(new Error('bind failed'), fields)

test('one line says version, addresses, pid and the descriptor limit', () => {
  assert.is(banner(facts), 'Martlet 1.2.3 listening on 0.0.0.0:1883 (pid 42, 4096 file descriptors)')
})

test('in local only mode it says so, and how to open it up', () => {
  const addresses = [
    { host: '127.0.0.1', port: 1884 },
    { host: '::1', port: 1884 },
  ]
  const line = banner({ ...facts, addresses, localOnly: true, descriptors: Number.POSITIVE_INFINITY })
  assert.match(
    line,
    /127\.0\.0\.1:1884, \[::1\]:1884 .*no limit.*Only this machine.*listener 1883.*allow_anonymous true/,
  )
  assert.not.match(line, /\n/)
})

test('a Unix socket is its path, every address a star, a socket of systemd its name', () => {
  const addresses = [
    { host: '/run/mqtt.sock', port: 0 },
    { host: '', port: 1883 },
    { host: 'systemd/mqtt', port: 0 },
  ]
  assert.match(banner({ ...facts, addresses }), /listening on \/run\/mqtt\.sock, \*:1883, systemd\/mqtt \(pid/)
})

test('a port in use is one line that says so, exit code 1', () => {
  const listener = { host: '127.0.0.1', port: 1883 }
  const listeners = [listener, { ...listener, host: '::1', optional: true }]
  const { text, exitCode } = startFailure(
    systemError({ code: 'EADDRINUSE', address: '127.0.0.1', port: 1883 }),
    listeners,
  )
  assert.match(text, /^Error: 127\.0\.0\.1:1883 is in use already\..*-p PORT\.$/)
  assert.is(exitCode, 1)
  const configured = startFailure(systemError({ code: 'EADDRINUSE' }), [listener])
  assert.match(configured.text, /^Error: 127\.0\.0\.1:1883 is in use already\. Is another broker running\?$/)
})

test('a host that nobody knows and an owner that nobody is are named', () => {
  const lookup = { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'broker.invalid' }
  assert.is(startFailure(systemError(lookup), []).text, 'Error: broker.invalid: there is no such host (ENOTFOUND).')
  const owner = { code: 'ENOENT', syscall: 'chown', path: '/run/m.sock' }
  assert.match(
    startFailure(systemError(owner), []).text,
    /m\.sock cannot be used \(socket_owner: there is no such user/,
  )
})

test('the address that failed is named when the error knows it', () => {
  const error = systemError({ code: 'EADDRINUSE', address: '::1', port: 1999 })
  assert.match(startFailure(error, []).text, /\[::1\]:1999/)
})

test('a privileged port, an absent address and an unusable file are told apart', () => {
  const listeners = [{ host: '', port: 80 }]
  assert.match(startFailure(systemError({ code: 'EACCES', syscall: 'bind' }), listeners).text, /privilege/)
  assert.match(startFailure(systemError({ code: 'EADDRNOTAVAIL' }), listeners).text, /not an address/)
  assert.match(startFailure(systemError({ code: 'EACCES', path: '/var/log/x' }), listeners).text, /\/var\/log\/x/)
})

test('a wrong configuration ends with Mosquitto’s last line and exit code 3', () => {
  const error = new ConfigError({ place: { file: 'm.conf', line: 3 }, key: 'k', value: 'v', problem: 'no' })
  assert.equal(startFailure(error, []), {
    text: "Error: m.conf:3: k = 'v': no.\nError found at m.conf:3.",
    exitCode: 3,
  })
})

test('a bug shows its stack', () => {
  assert.match(startFailure(new TypeError('x is undefined'), []).text, /x is undefined\n\s+at /)
})

test.run()
