import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ConfigError } from '../../src/config/config-error.ts'
import { type Configuration, resolveConfiguration } from '../../src/config/configuration.ts'
import { readMosquittoConf } from '../../src/config/mosquitto-conf.ts'
import { parseYaml, readYamlFile } from '../../src/config/yaml-file.ts'

const resolved = (text: string): Configuration => resolveConfiguration([parseYaml(text, 'm.yaml')])
const refusal = (text: string): ConfigError => {
  try {
    resolved(text)
  } catch (error) {
    assert.instance(error, ConfigError)
    return error as ConfigError
  }
  return assert.unreachable(`accepted: ${text}`) as never
}

test('settings and listeners are read', () => {
  const configuration = resolved(`
listeners:
  - port: 0
    host: 127.0.0.1
  - port: 1884
    socket_domain: ipv6
allow_anonymous: true
max_queued_bytes: 1MiB
connect_timeout: 500ms
persistent_client_expiration: 7d
log_dest: [stdout, file /tmp/m.log]
`)
  assert.equal(
    configuration.listeners.map(({ port, host, socketDomain }) => [port, host, socketDomain]),
    [
      [0, '127.0.0.1', 'any'],
      [1884, '', 'ipv6'],
    ],
  )
  assert.is(configuration.maxQueuedBytes, 1024 * 1024)
  assert.is(configuration.connectTimeout, 0.5)
  assert.is(configuration.persistentClientExpiration, 7 * 86400)
  assert.equal(configuration.logDest, ['stdout', 'file /tmp/m.log'])
})

test('an empty file changes nothing', () => {
  assert.is(resolved('').localOnly, true)
  assert.is(resolved('# only a comment\n').localOnly, true)
})

test('an empty list of listeners serves nobody, which is not local only mode', () => {
  assert.equal(resolved('listeners: []').listeners, [])
  assert.is(resolved('listeners: []').localOnly, false)
})

test('errors name the line, the key, the value and what would be right', () => {
  const error = refusal('allow_anonymous: true\nmax_keepalive: 70000\n')
  assert.equal([error.file, error.line, error.key, error.value], ['m.yaml', 2, 'max_keepalive', 70000])
  assert.match(error.message, /from 0 to 65535/)
  assert.is(refusal('listeners:\n  - port: 1883\n    prot: 5\n').line, 3)
})

test('unknown keys are errors with a suggestion', () => {
  assert.match(refusal('max_conections: 5').message, /Did you mean max_connections\?/)
  assert.match(refusal('listener: 1883').message, /Did you mean listeners\?/)
})

test('a key is found by whoever writes it as programs, the environment or other files do', () => {
  assert.match(refusal('maxQueuedMessages: 5').message, /Did you mean max_queued_messages\?/)
  assert.match(refusal('MAX_QUEUED_MESSAGES: 5').message, /Did you mean max_queued_messages\?/)
})

test('a key at the wrong level is told where it belongs', () => {
  assert.match(refusal('port: 1883').message, /setting of a listener: put it under `listeners:`/)
  assert.match(refusal('listeners:\n  - allow_anonymous: true').message, /holds for all listeners/)
})

test('a setting that only Mosquitto has is called that, and what to do instead is said', () => {
  assert.match(refusal('include_dir: /x').message, /there is no such setting/)
  assert.match(refusal('memory_limit: 5').message, /a setting of Mosquitto\. .*max_heap_percent/)
  assert.match(refusal('persistence_file: x').message, /a setting of Mosquitto\. Remove the line: persistence has/)
})

test('a mode is octal, and a number is not: YAML has taken its leading zero away', () => {
  const listener = (mode: string): string => `listeners:\n  - socket_path: /x\n    socket_mode: ${mode}\n`
  assert.is(resolved(listener("'0660'")).listeners[0]?.socketMode, '0660')
  for (const mode of ['0660', '999', "'0999'", 'rw'])
    assert.match(
      refusal(listener(mode)).message,
      /m\.yaml:3: socket_mode = .*: an octal mode in quotes, such as '0660', is/,
    )
})

test('where 0 stands for no limit, it is among what is wanted', () => {
  assert.match(refusal('max_queued_messages: -1').message, /0 or an integer from 1 to/)
})

test('two listeners on one address are refused, both lines named', () => {
  const error = refusal('listeners:\n  - port: 1883\n  - port: 1884\n  - port: 1883\n')
  assert.equal([error.line, error.key], [4, 'port'])
  assert.match(error.message, /already, in line 2/)
  resolved('listeners: [{ port: 0 }, { port: 0 }, { port: 1, socket_domain: ipv4 }, { port: 1, socket_domain: ipv6 }]')
})

test('the values of a listener know where they were written', () => {
  const [listener] = resolved('listeners:\n  - port: 1883\n    certfile: [a.pem]\n').listeners
  assert.is(listener?.places.get('certfile')?.line, 3)
})

test('a byte order mark, which editors of Windows write, is no part of the first key', () => {
  const folder = mkdtempSync(join(tmpdir(), 'martlet-bom-'))
  const [yaml, conf] = [join(folder, 'm.yaml'), join(folder, 'm.conf')]
  writeFileSync(yaml, '\ufeffallow_anonymous: true\r\n')
  writeFileSync(conf, '\ufeffallow_anonymous true\r\n')
  assert.is(readYamlFile(yaml).values.get('allow_anonymous'), true)
  assert.is(readMosquittoConf(conf).values.get('allow_anonymous'), true)
  rmSync(folder, { recursive: true })
})

test('a key twice and broken YAML are errors with a line', () => {
  const twice = refusal('sys_interval: 1\nsys_interval: 2\n')
  assert.equal([twice.line, twice.key], [2, 'sys_interval'])
  assert.match(refusal('sys_interval: 1\n---\nsys_interval: 2\n').message, /m\.yaml:2: a file with one document/)
  assert.is(refusal('a: [1\n').file, 'm.yaml')
})

test('what is not a mapping is refused', () => {
  assert.match(refusal('- 1\n- 2\n').message, /key: value/)
  assert.match(refusal('listeners: 1883').message, /list/)
  assert.match(refusal('listeners: [1883]').message, /listener with a port/)
})

test('limits that contradict each other are refused, naming where one was written', () => {
  const error = refusal('output_limit: 1MiB\noutput_high_water: 2MiB\n')
  assert.equal([error.line, error.key], [2, 'output_high_water'])
  assert.match(refusal('output_low_water: 512KiB').message, /output_high_water/)
  assert.match(refusal('inbox_size: 4096').message, /read_size/)
})

test.run()
