import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  defaultMaxConnections,
  defaults,
  hardDescriptorLimit,
  optionsSource,
  resolveConfiguration,
} from '../../src/config/configuration.ts'
import { readEnvironment } from '../../src/config/environment.ts'
import { parseMosquittoConf } from '../../src/config/mosquitto-conf.ts'
import { changesBetween } from '../../src/config/reload.ts'
import { settings } from '../../src/config/schema.ts'

test('the defaults are legal, every one of them', () => {
  for (const [key, setting] of Object.entries(settings)) {
    if (setting.default === undefined) continue
    const reading = setting.read(setting.default, 'plain')
    assert.ok('value' in reading, `${key}: ${JSON.stringify(reading)}`)
  }
})

test('every setting is documented', () => {
  for (const [key, setting] of Object.entries(settings)) {
    assert.match(key, /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/)
    assert.ok(setting.doc.length > 20 && setting.doc.endsWith('.'), key)
  }
})

test('without any source the broker serves this machine only', () => {
  assert.is(defaults.localOnly, true)
  assert.is(defaults.allowAnonymous, true)
  assert.is(defaults.maxInflightMessages, 256)
  assert.ok(defaults.maxConnections >= 1 && defaults.maxConnections <= 100_000)
})

test('later sources win: file, environment, options', () => {
  const file = parseMosquittoConf('max_keepalive 1\nsys_interval 1\nmax_queued_messages 1\n', 'm.conf')
  const environment = readEnvironment({ MARTLET_SYS_INTERVAL: '2', MARTLET_MAX_QUEUED_MESSAGES: '2' })
  const configuration = resolveConfiguration([file, environment, optionsSource({ maxQueuedMessages: 3 })])
  assert.equal([configuration.maxKeepalive, configuration.sysInterval, configuration.maxQueuedMessages], [1, 2, 3])
})

test('ports of the command line move local only mode and have no effect beside listeners', () => {
  const ports = { values: new Map(), places: new Map(), notices: [], localPorts: [1884, 1885] }
  assert.equal(
    resolveConfiguration([ports]).listeners.map(({ port }) => port),
    [1884, 1884, 1885, 1885],
  )
  const file = parseMosquittoConf('listener 1999', 'm.conf')
  assert.equal(
    resolveConfiguration([file, ports]).listeners.map(({ port }) => port),
    [1999],
  )
})

test('only ::1 may be missing on a machine, and only in local only mode', () => {
  assert.equal(
    defaults.listeners.map(({ optional }) => optional),
    [false, true],
  )
  assert.is(resolveConfiguration([optionsSource({ listeners: [{ host: '::1' }] })]).listeners[0]?.optional, false)
})

test('options of a program are checked like a file', () => {
  assert.throws(() => optionsSource({ maxKeepalive: 1e6 }), /maxKeepalive = 1000000: seconds from 0 to 65535/)
  assert.throws(() => optionsSource({ maxKeepAlive: 1 } as never), /no such option\. Did you mean maxKeepalive\?/)
  assert.throws(() => optionsSource({ max_keepalive: 1 } as never), /Did you mean maxKeepalive\?/)
  assert.is(resolveConfiguration([optionsSource({ listeners: [{ port: 0 }] })]).listeners[0]?.port, 0)
})

test('the environment is read, wrong values are refused and unknown names are told', () => {
  assert.is(resolveConfiguration([readEnvironment({ MARTLET_MAX_QUEUED_BYTES: '2MiB' })]).maxQueuedBytes, 2 * 1024 ** 2)
  assert.throws(() => readEnvironment({ MARTLET_SYS_INTERVAL: 'soon' }), /environment: MARTLET_SYS_INTERVAL = 'soon'/)
  assert.equal(readEnvironment({ MARTLET_SYS_INTERVALL: '1' }).notices, [
    'environment: MARTLET_SYS_INTERVALL is no setting and is ignored. Did you mean MARTLET_SYS_INTERVAL?',
  ])
  assert.equal(readEnvironment({ MARTLET_PORT: 'tcp://10.0.0.1:1883', MARTLET_SIZES: 'tiny', PATH: '/' }).notices, [])
})

test('Mosquitto’s variable for the persistence folder is read, and Martlet’s own wins', () => {
  const both = { MOSQUITTO_PERSISTENCE_LOCATION: '/a', MARTLET_PERSISTENCE_LOCATION: '/b' }
  assert.is(resolveConfiguration([readEnvironment({ MOSQUITTO_PERSISTENCE_LOCATION: '/a' })]).persistenceLocation, '/a')
  assert.is(resolveConfiguration([readEnvironment(both)]).persistenceLocation, '/b')
})

test('the limit of connections follows the hard descriptor limit, at most 100000, at least 1', () => {
  const limits = (hard: string): string =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 ${hard}              files\n`
  assert.is(hardDescriptorLimit(limits('4096')), 4096)
  assert.is(hardDescriptorLimit(limits('unlimited')), Number.POSITIVE_INFINITY)
  assert.is(hardDescriptorLimit(''), Number.POSITIVE_INFINITY)
  assert.equal(
    [1024, 64, 4, 1, 2 ** 30, Number.POSITIVE_INFINITY].map(defaultMaxConnections),
    [960, 48, 3, 1, 1e5, 1e5],
  )
})

test('a reload tells what is applied and what needs a restart', () => {
  const next = resolveConfiguration([optionsSource({ logLevel: 'debug', maxConnections: 7, listeners: [{ port: 1 }] })])
  assert.equal(changesBetween(defaults, next), {
    applied: ['log_level'],
    restart: ['allow_anonymous', 'max_connections', 'listeners'],
  })
  assert.equal(changesBetween(next, next), { applied: [], restart: [] })
})

test.run()
