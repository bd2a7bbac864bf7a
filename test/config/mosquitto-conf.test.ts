import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ConfigError } from '../../src/config/config-error.ts'
import { type Configuration, resolveConfiguration } from '../../src/config/configuration.ts'
import { parseMosquittoConf, readMosquittoConf } from '../../src/config/mosquitto-conf.ts'
import { unsupportedKeys } from '../../src/config/mosquitto-keys.ts'
import { settings } from '../../src/config/schema.ts'

const resolved = (text: string): Configuration => resolveConfiguration([parseMosquittoConf(text, 'm.conf')])
const notices = (text: string): readonly string[] => parseMosquittoConf(text, 'm.conf').notices

const refusal = (text: string): ConfigError => {
  try {
    resolved(text)
  } catch (error) {
    assert.instance(error, ConfigError)
    return error as ConfigError
  }
  return assert.unreachable(`accepted: ${text}`) as never
}

test('the file that Debian installs is understood', () => {
  const text = `# Place your local configuration in /etc/mosquitto/conf.d/

pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log
`
  const configuration = resolved(text)
  assert.is(configuration.pidFile, '/run/mosquitto/mosquitto.pid')
  assert.is(configuration.persistence, true)
  assert.equal(configuration.logDest, ['file /var/log/mosquitto/mosquitto.log'])
  assert.is(configuration.localOnly, true)
})

test('a listener ends local only mode, and anonymous clients are then refused unless allowed', () => {
  const configuration = resolved('listener 1884 10.0.0.1\nmax_connections 50\nlistener 1885\nmax_connections -1\n')
  const [first, second] = configuration.listeners
  assert.is(configuration.localOnly, false)
  assert.is(configuration.allowAnonymous, false)
  assert.equal([first?.port, first?.host, first?.maxConnections], [1884, '10.0.0.1', 50])
  assert.equal([second?.port, second?.host, second?.maxConnections], [1885, '', 2 ** 31 - 1])
  assert.is(resolved('listener 1883\nallow_anonymous true').allowAnonymous, true)
})

test('without a listener 127.0.0.1 and ::1 are served and anonymous clients may connect', () => {
  const configuration = resolved('')
  assert.equal(
    configuration.listeners.map(({ host, port }) => [host, port]),
    [
      ['127.0.0.1', 1883],
      ['::1', 1883],
    ],
  )
  assert.is(configuration.allowAnonymous, true)
  assert.is(resolved('allow_anonymous false').allowAnonymous, false)
})

test('the first six keys reach what they are for, and have the defaults that docs/configuration.md states', () => {
  const text = [
    'listener 1884 127.0.0.1',
    'allow_anonymous true',
    'persistence true',
    'persistence_location /srv/martlet/',
    'max_queued_messages 7',
    'max_inflight_messages 3',
  ].join('\n')
  const what = (configuration: ReturnType<typeof resolved>) => [
    configuration.listeners.map(({ host, port }) => `${host}:${port}`).join(),
    configuration.allowAnonymous,
    configuration.persistence,
    configuration.persistenceLocation,
    configuration.maxQueuedMessages,
    configuration.maxInflightMessages,
  ]
  assert.equal(what(resolved(text)), ['127.0.0.1:1884', true, true, '/srv/martlet/', 7, 3])
  assert.equal(what(resolved('')), ['127.0.0.1:1883,::1:1883', true, false, 'martlet-data', 1000, 256])
  assert.is(resolved('').retryInterval, 0)
})

test('the deprecated port and bind_address make the default listener', () => {
  const configuration = resolved('port 1890\nbind_address 127.0.0.1\n')
  assert.equal(
    configuration.listeners.map(({ host, port }) => [host, port]),
    [['127.0.0.1', 1890]],
  )
})

test('a listener option before any listener makes one on 1883, with a notice', () => {
  assert.is(resolved('max_connections 5\n').listeners[0]?.maxConnections, 5)
  assert.match(notices('max_connections 5\n')[0] ?? '', /port 1883/)
})

test('# is a comment only as the first byte of a line', () => {
  assert.is(resolved('#max_keepalive 1\nmax_keepalive 5').maxKeepalive, 5)
  assert.is(refusal(' # comment').key, '#')
})

test('key and value are parted by spaces, and a tab belongs to the key', () => {
  assert.is(resolved('  max_keepalive    5').maxKeepalive, 5)
  const error = refusal('max_keepalive\t5')
  assert.match(error.message, /tab/)
})

test('CR and LF both end a line', () => {
  assert.is(resolved('max_keepalive 5\r\nallow_anonymous true\r\n').maxKeepalive, 5)
})

test('integers are strtol base 0, without trailing nonsense', () => {
  assert.is(resolved('max_keepalive 0x10').maxKeepalive, 16)
  assert.is(resolved('max_keepalive 010').maxKeepalive, 8)
  assert.is(refusal('max_keepalive 12abc').line, 1)
  assert.is(refusal('max_keepalive 70000').value, '70000')
})

test('what follows a number is ignored with a notice, as Mosquitto ignores it', () => {
  assert.is(resolved('max_keepalive 12 # seconds').maxKeepalive, 12)
  assert.is(notices('max_keepalive 12 # seconds').length, 1)
})

test('booleans are true, false, 1 and 0 and nothing else', () => {
  assert.is(resolved('retain_available 0').retainAvailable, false)
  assert.is(resolved('retain_available true').retainAvailable, true)
  assert.match(refusal('retain_available yes').message, /true or false/)
})

test('a text twice is an error, a number twice counts as the last, and so does user', () => {
  assert.match(refusal('pid_file a\npid_file b').message, /duplicate/)
  assert.is(resolved('max_keepalive 1\nmax_keepalive 2').maxKeepalive, 2)
  assert.is(resolved('user a\nuser b').user, 'b')
})

test('a key without a value is an error', () => {
  assert.match(refusal('max_keepalive').message, /value is wanted/)
})

test('an unknown key is an error with file, line and a suggestion', () => {
  const error = refusal('\nmax_keepalve 5')
  assert.is(error.foundAt, 'Error found at m.conf:2.')
  assert.is(error.exitCode, 3)
  assert.match(error.message, /max_keepalive/)
})

test('a setting of Mosquitto that cannot be honoured is an error that says what to do', () => {
  const error = refusal('listener 1883\npassword_file /etc/mosquitto/passwd')
  assert.is(error.key, 'password_file')
  assert.is(error.line, 2)
  assert.match(error.message, /not support it yet/)
})

test('a setting that asks for what happens anyway is no error', () => {
  const text = 'per_listener_settings false\nlistener 1883\nprotocol mqtt\nrequire_certificate false\n'
  assert.equal(notices(text), [])
})

test('no setting is listed as unsupported', () => {
  assert.equal(
    Object.keys(unsupportedKeys).filter((key) => Object.hasOwn(settings, key)),
    [],
  )
})

test('a setting of one listener there is one of the whole broker here, with a notice', () => {
  const text = 'listener 1883\nmaximum_qos 1\n'
  assert.is(resolved(text).maxQos, 1)
  assert.match(notices(text)[0] ?? '', /all listeners/)
})

test('memory_limit is refused with what bounds memory here; 0, no limit, is fine', () => {
  assert.match(refusal('memory_limit 1000000').message, /max_heap_percent, max_queued_bytes_total.*MemoryMax/)
  assert.ok(resolved('memory_limit 0\n'))
})

test('every unsupported key is either refused or warned about', () => {
  for (const [key, rule] of Object.entries(unsupportedKeys)) {
    if (rule.advice !== undefined) assert.is(refusal(`${key} something`).key, key)
    else assert.match(notices(`${key} something`)[0] ?? '', new RegExp(`${key.replaceAll('.', '\\.')} is ignored: .+`))
  }
})

test('log_type sets the level: the least important type that is named', () => {
  assert.is(resolved('log_type error\nlog_type warning').logLevel, 'warn')
  assert.is(resolved('log_type error\nlog_type all').logLevel, 'debug')
  assert.is(resolved('log_type none').logLevel, 'silent')
  assert.match(refusal('log_type everything').message, /one of/)
})

test('log_dest adds up, and syslog goes to stderr with a notice', () => {
  assert.equal(resolved('log_dest stdout\nlog_dest file /a b.log').logDest, ['stdout', 'file /a b.log'])
  assert.equal(resolved('log_dest syslog').logDest, ['stderr'])
  assert.match(refusal('log_dest topic').message, /stdout, stderr, none/)
})

test('limits that mean "no limit" in Mosquitto are taken', () => {
  const configuration = resolved(
    'max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\nglobal_max_clients -1',
  )
  assert.is(configuration.maxQueuedMessages, 2 ** 31 - 1)
  assert.is(configuration.maxQueuedBytes, 64 * 1024 * 1024)
  assert.is(configuration.maxInflightMessages, 65535)
  assert.is(configuration.maxSessions, 1_000_000)
})

test('persistent_client_expiration has Mosquitto’s units', () => {
  const days = (text: string): number =>
    resolved(`persistent_client_expiration ${text}`).persistentClientExpiration / 86400
  assert.equal(['48h', '2d', '2w', '2m', '1y'].map(days), [2, 2, 14, 60, 365])
  assert.match(refusal('persistent_client_expiration 2x').message, /14d/)
})

test('port 0, a port too large and a Unix socket are refused', () => {
  assert.match(refusal('listener 0').message, /1 to 65535/)
  assert.match(refusal('listener 65536').message, /65535/)
})

test('include_dir reads *.conf in Mosquitto’s order, errors name the included file, and nothing includes twice', () => {
  const folder = mkdtempSync(join(tmpdir(), 'martlet-conf-'))
  try {
    const included = join(folder, 'conf.d')
    mkdirSync(included)
    const main = join(folder, 'mosquitto.conf')
    writeFileSync(main, `include_dir ${included}\n`)
    writeFileSync(join(included, 'b.conf'), 'max_keepalive 1\n')
    writeFileSync(join(included, 'B.conf'), 'max_keepalive 2\n')
    writeFileSync(join(included, 'a.conf'), 'max_keepalive 3\n')
    writeFileSync(join(included, 'ignored.txt'), 'nonsense\n')
    const order = (): number => resolveConfiguration([readMosquittoConf(main)]).maxKeepalive
    assert.is(order(), 1) // a, B, b: the last one counts
    writeFileSync(join(included, 'c.conf'), `\ninclude_dir ${included}\n`)
    assert.throws(order, (error: ConfigError) => error.foundAt === `Error found at ${included}/c.conf:2.`)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a file that is not UTF-8 or not there is an error', () => {
  const folder = mkdtempSync(join(tmpdir(), 'martlet-conf-'))
  try {
    const file = join(folder, 'latin1.conf')
    writeFileSync(file, Buffer.from([0x70, 0x69, 0x64, 0xe9]))
    assert.throws(() => readMosquittoConf(file), /UTF-8/)
    assert.throws(() => readMosquittoConf(join(folder, 'absent')), /ENOENT/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a comment that Mosquitto would not take for one is called so, and not a host or a setting', () => {
  assert.throws(
    () => parseMosquittoConf('listener 1883 # plain\n', 'm.conf'),
    /m\.conf:1: listener = .*: a comment begins/,
  )
  assert.throws(() => parseMosquittoConf('\n  # indented\n', 'm.conf'), /m\.conf:2: #: a comment begins/)
})

test.run()
