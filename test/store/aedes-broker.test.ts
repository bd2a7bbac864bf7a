// `persistence: aedes:PACKAGE`, the whole broker: what the configuration may say, what clients are told that the interface
// cannot hold, and that somebody else's code, slow or wrong, is felt by nobody who does not need it.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { ConfigError, createBroker } from '../../src/index.ts'
import { runToExit, startBroker } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { publish } from '../support/packets.ts'
import { connect5, p } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, unlessMosquitto } from '../support/target.ts'
import { freshDirectory } from './support.ts'

const test = unlessMosquitto(uvu, 'it has no such backends')
uvu.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const backend = (name: string): `aedes:${string}` =>
  `aedes:${join(repositoryRoot, `dist/test/support/backends/${name}.js`)}`

test('aedes-persistence itself: sessions, queues and retained messages live as long as the process, and one warning says what it cannot hold', async () => {
  const broker = await startBroker({ settings: { persistence: 'aedes:aedes-persistence' } })
  const warnings = broker.log.filter((line) => line.includes('WARN'))
  assert.is(warnings.length, 1)
  assert.match(warnings[0]!, /sessions of MQTT 5 clients end with their connection/)
  const away = await RawClient.connect(broker, { clientId: 'away', clean: false })
  await away.subscribe(['a', 2])
  await away.disconnect()
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  await publisher.publish({ topic: 'a', payload: 'one', qos: 1, retain: true })
  await publisher.publish({ topic: 'a', payload: 'two', qos: 2 })
  const back = await RawClient.connect(broker, { clientId: 'away', clean: false })
  assert.ok(back.sessionPresent)
  await back.expectPublish({ text: 'one', qos: 1 })
  await back.expectPublish({ text: 'two', qos: 2 })
  await publisher.subscribe(['a', 0])
  await publisher.expectPublish({ text: 'one', retain: true })
  closeClients()
  await broker.stopCleanly()
})

test('[MQTT-3.2.2-20] a client of MQTT 5 that asks for a session is told that it ends with the connection', async () => {
  const { host, port } = await listen({ persistence: 'aedes:aedes-persistence' })
  const client = await RawClient.dial(
    { host, port },
    connect5({ clientId: 'five', clean: false, properties: [p.sessionExpiry(3600)] }),
  )
  const { body } = await client.expectPacket('CONNACK')
  assert.is(body[1], 0)
  assert.ok(body.includes(Buffer.from('1100000000', 'hex')), 'Session Expiry Interval 0')
  client.destroy()
})

test('a backend that computes for a second stalls no QoS 0 message, and PUBACK comes when it is done', async () => {
  const { host, port } = await listen({ persistence: backend('busy'), persistenceOptions: { ms: 700 } })
  const away = await RawClient.connect({ host, port }, { clientId: 'away', clean: false })
  await away.subscribe(['durable', 1])
  await away.disconnect()
  const [publisher, fast, listener] = [
    await RawClient.connect({ host, port }, { clientId: 'p' }),
    await RawClient.connect({ host, port }, { clientId: 'f' }),
    await RawClient.connect({ host, port }, { clientId: 'l' }),
  ]
  await listener.subscribe(['live', 0])
  publisher.send(publish({ topic: 'durable', payload: 'x', qos: 1, id: 1 }))
  for (let n = 0; n < 20; n++) {
    fast.send(publish({ topic: 'live', payload: `${n}` }))
    await listener.expectPublish({ topic: 'live', text: `${n}` })
  }
  assert.is(publisher.buffered, 0, 'PUBACK before the backend had it')
  await publisher.expect('40 02 00 01')
})

test('what a backend’s code throws where nobody listens is logged and ends nothing', async () => {
  const broker = await startBroker({ settings: { persistence: backend('stray') } })
  const client = await RawClient.connect(broker, { clientId: 'c', clean: false })
  await client.subscribe(['a', 1])
  await broker.waitForLog(/the backend says/)
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  await publisher.publish({ topic: 'a', payload: 'x', qos: 1 })
  await client.expectPublish({ text: 'x' })
  closeClients()
  assert.is((await broker.stop()).code, 0)
})

const unusable: [string, string, RegExp][] = [
  [
    'a package that is not installed',
    'aedes:aedes-persistence-nowhere',
    /there is no package aedes-persistence-nowhere\. .*npm install/,
  ],
  [
    'a package that is something else',
    'aedes:mqtt-packet',
    /persistence = 'aedes:mqtt-packet': it is no aedes-persistence 11 backend|what the package makes/,
  ],
  [
    'a backend of an older interface',
    backend('callbacks'),
    /it is no aedes-persistence 11 backend: createRetainedStream, .*aedes-persistence-redis 12/,
  ],
  [
    'what is neither a package nor yes or no',
    'redis',
    /persistence = 'redis': true, false or aedes:PACKAGE, .*is wanted/,
  ],
]
test('a package that cannot be used is a configuration error: file, line, key, value, advice, exit code 3', async () => {
  const exits = await Promise.all(unusable.map(([, persistence]) => runToExit({ settings: { persistence } })))
  for (const [at, { code, log }] of exits.entries()) {
    const [what, persistence, complaint] = unusable[at]!
    const said = log.join('\n')
    assert.is(code, 3, `${what}: ${said}`)
    assert.match(said, complaint)
    assert.ok(/martlet\.yaml:\d+: persistence = '/.test(said) && said.includes(`'${persistence}'`), said)
    assert.match(said, /Error found at .*martlet\.yaml:\d+\./)
  }
})

test('createBroker: a package that is not there is a ConfigError, and options without a package are too', () => {
  assert.throws(
    () => createBroker({ persistence: 'aedes:aedes-persistence-nowhere' }),
    (error: Error) => error instanceof ConfigError,
  )
  assert.throws(
    () => createBroker({ persistence: false, persistenceOptions: { host: 'x' } }),
    /no package gets these options/,
  )
})

test('a package is found beside the program that asks for it, as a path is', async () => {
  const folder = freshDirectory()
  mkdirSync(folder)
  writeFileSync(
    join(folder, 'mine.cjs'),
    `module.exports = require(${JSON.stringify(join(repositoryRoot, 'node_modules/aedes-persistence'))})`,
  )
  const here = process.cwd()
  process.chdir(folder)
  try {
    const { host, port } = await listen({ persistence: 'aedes:./mine.cjs' })
    const client = await RawClient.connect({ host, port }, { clientId: 'c', clean: false })
    await client.subscribe(['a', 1])
  } finally {
    process.chdir(here)
  }
})

uvu.run()
