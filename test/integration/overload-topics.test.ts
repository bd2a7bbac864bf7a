// What the defences against overload count, where an operator sees it: $SYS, by the names that docs/overload.md has.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, unlessMosquitto } from '../support/target.ts'

const test = unlessMosquitto(uvu, 'has no such topics')
uvu.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const PREFIX = '$SYS/broker/martlet/counters/'

test('every counter that docs/overload.md names is in $SYS, with what the broker has counted', async () => {
  const target = await listen({ sysInterval: 1, connectTimeout: 0.2 })
  const watcher = await RawClient.connect(target, { clientId: 'w' })
  await watcher.subscribe([`${PREFIX}#`, 0])
  await (await RawClient.dial(target)).readToEnd()
  const values = new Map<string, number>()
  while (values.get('connectTimeouts') !== 1) {
    const { topic, text } = await watcher.expectPublish()
    values.set(topic.slice(PREFIX.length), Number(text))
  }
  const docs = readFileSync(join(repositoryRoot, 'docs/overload.md'), 'utf8')
  const rows = docs.split('\n').filter((line) => line.startsWith('| ') && line.split('|').length === 8)
  const named = rows.flatMap((row) => [...row.split('|')[4]!.matchAll(/`(\w+)`/g)].map(([, name]) => name!))
  assert.ok(named.length > 20)
  // What was dropped is told by reason where Mosquitto tells it: publish/messages/dropped/#.
  const elsewhere = ['droppedQueueFull', 'droppedOutputFull', 'droppedMemory', 'droppedRetained']
  assert.equal(
    named.filter((name) => !elsewhere.includes(name) && !values.has(name)),
    [],
  )
  assert.equal(
    elsewhere.filter((name) => values.has(name)),
    [],
    'told twice',
  )
  for (const name of named) assert.type(Reflect.get(target.broker.counters, name), 'number', name)
})

uvu.run()
