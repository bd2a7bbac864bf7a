// The settings of listeners in mosquitto.conf. The examples of docs/listeners.md are run in test/server/examples.test.ts.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ListenerConfiguration, optionsSource, resolveConfiguration } from '../../src/config/configuration.ts'
import { parseMosquittoConf } from '../../src/config/mosquitto-conf.ts'
import { changesBetween } from '../../src/config/reload.ts'
import { repositoryRoot } from '../support/target.ts'

const text = readFileSync(join(repositoryRoot, 'docs/listeners.md'), 'utf8')
const examples = (language: string): string[] =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1]!)
const listenersOf = (conf: string): readonly ListenerConfiguration[] =>
  resolveConfiguration([parseMosquittoConf(conf, 'm.conf')]).listeners

test('the mosquitto.conf of docs/listeners.md means what it says, without a warning', () => {
  const [conf] = examples('conf')
  assert.equal(parseMosquittoConf(conf!, 'm.conf').notices, [])
  const [any, tls, unix, proxied] = listenersOf(conf!)
  assert.equal([any?.protocol, any?.websocketsOrigin], ['any', ['https://dashboard.example']])
  assert.equal([tls?.certfile, tls?.keyfile], [['/etc/martlet/example.pem'], ['/etc/martlet/example.key']])
  assert.equal(
    [tls?.tlsVersion, tls?.ciphersTls13, tls?.requireCertificate],
    ['tlsv1.3', 'TLS_AES_256_GCM_SHA384', true],
  )
  assert.is(unix?.socketPath, '/run/martlet/mqtt.sock')
  assert.equal([proxied?.proxyProtocol, proxied?.bindInterface, proxied?.maxConnections], [true, 'eth0', 500])
})

test('lines of certfile and websockets_origin add up; other texts twice are an error', () => {
  const [listener] = listenersOf('listener 1\ncertfile a\ncertfile b\nwebsockets_origin x\nwebsockets_origin y\n')
  assert.equal(
    [listener?.certfile, listener?.websocketsOrigin],
    [
      ['a', 'b'],
      ['x', 'y'],
    ],
  )
  assert.throws(() => listenersOf('listener 1\ncafile a\ncafile b\n'), /m\.conf:3: cafile = 'b': it is there already/)
})

test('capath, names from certificates and passphrases are settings of a listener', () => {
  const lines = ['capath /etc/ssl/devices', 'use_subject_as_username true', 'key_passphrase_file /etc/martlet/pass']
  const [listener] = listenersOf(['listener 1', ...lines, 'slow_reader disconnect\n'].join('\n'))
  assert.equal(
    [listener?.capath, listener?.useSubjectAsUsername, listener?.useIdentityAsUsername],
    ['/etc/ssl/devices', true, false],
  )
  assert.equal([listener?.keyPassphraseFile, listener?.slowReader], ['/etc/martlet/pass', 'disconnect'])
})

test('psk_file before any listener is for all that have a psk_hint, and makes none, as in Mosquitto', () => {
  const conf = 'psk_file /etc/psk\nlistener 1\nlistener 2\npsk_hint a\nlistener 3\npsk_hint b\npsk_file /etc/own\n'
  assert.equal(
    listenersOf(conf).map(({ port, pskFile }) => [port, pskFile]),
    [
      [1, ''],
      [2, '/etc/own'], // the last one
      [3, '/etc/own'],
    ],
  )
  const idle = parseMosquittoConf('listener 1\n', 'm.conf')
  assert.equal(idle.notices, [])
  const { notices } = parseMosquittoConf('psk_file /etc/psk\nlistener 1\n', 'm.conf')
  assert.equal(notices, ['m.conf:1: psk_file is used by listeners with a psk_hint, and there is none'])
})

test('psk_file behind another listener serves those with a psk_hint and no file of their own', () => {
  const conf = 'listener 1\npsk_hint a\nlistener 2\npsk_hint b\npsk_file /etc/psk\n'
  assert.equal(
    listenersOf(conf).map(({ pskFile }) => pskFile),
    ['/etc/psk', '/etc/psk'],
  )
})

test('listener 0 wants a path, and a path may have blanks', () => {
  assert.is(listenersOf('listener 0 /tmp/with blank\n')[0]?.socketPath, '/tmp/with blank')
  assert.throws(() => listenersOf('listener 0\n'), /path of a Unix socket/)
})

test('what a listener cannot do is an error that names the line', () => {
  assert.throws(() => listenersOf('listener 1\nprotocol http_api\n'), /m\.conf:2: protocol = 'http_api'/)
  assert.throws(() => listenersOf('listener 1\ntls_version tlsv1.1\n'), /one of tlsv1\.2, tlsv1\.3/)
  assert.throws(() => listenersOf('listener 1\ntrusted_proxies example.org\n'), /10\.0\.0\.0\/8/)
  assert.throws(() => listenersOf('listener 1\nuse_username_as_clientid true\n'), /does not support it yet/)
})

test('SIGHUP reads certificates again, also when no setting has changed', () => {
  const plain = resolveConfiguration([optionsSource({ listeners: [{ port: 1 }] })])
  const tls = resolveConfiguration([optionsSource({ listeners: [{ port: 1, certfile: ['a'], keyfile: ['b'] }] })])
  assert.equal(changesBetween(plain, plain).applied, [])
  assert.equal(changesBetween(tls, tls).applied, ['certificates'])
})

test.run()
