// What the durable store counts, where an operator sees it: `storeMetrics` of an embedded broker and $SYS.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { closeBrokers, listen } from '../support/embedded.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, unlessMosquitto } from '../support/target.ts'

const test = unlessMosquitto(uvu, 'has no such store')
const ground = mkdtempSync(join(tmpdir(), 'store-metrics-'))
uvu.after.each(async () => {
  closeClients()
  await closeBrokers()
})
uvu.after(() => rmSync(ground, { recursive: true, force: true }))

const PREFIX = '$SYS/broker/martlet/store/'

test('a broker with persistence says in $SYS and in storeMetrics what its store does, and docs/store.md names every topic', async () => {
  const options = { persistence: true, persistenceLocation: join(ground, 'data'), sysInterval: 1 }
  const first = await listen(options)
  const subscriber = await RawClient.connect(first, { clientId: 's', clean: false })
  await subscriber.subscribe(['a', 1])
  await subscriber.disconnect()
  const publisher = await RawClient.connect(first, { clientId: 'p' })
  for (let count = 0; count < 5; count++) await publisher.publish({ topic: 'a', payload: 'x', qos: 1 })
  const metrics = first.broker.storeMetrics!
  assert.ok(metrics.commits >= 5)
  assert.ok(metrics.records >= 10)
  assert.ok(metrics.syncs >= 5 && metrics.groups >= 5)
  assert.ok(metrics.bytesWritten > 0 && metrics.openSegmentBytes > 0 && metrics.largestGroup > 0)
  await publisher.disconnect()
  await first.broker.close()

  const second = await listen(options)
  assert.ok(second.broker.storeMetrics!.recordsRecovered >= 10)
  assert.ok(second.broker.storeMetrics!.recoverySeconds > 0)
  const watcher = await RawClient.connect(second, { clientId: 'w' })
  await watcher.subscribe([`${PREFIX}#`, 0])
  const values = new Map<string, number>()
  while ((values.get('recovery/records') ?? 0) < 10) {
    const { topic, text } = await watcher.expectPublish()
    values.set(topic.slice(PREFIX.length), Number(text))
  }
  const docs = readFileSync(join(repositoryRoot, 'docs/store.md'), 'utf8')
  const undocumented = [...values.keys()].filter((name) => !docs.includes(`\`${name}\``))
  assert.equal(undocumented, [])
  assert.ok(values.size > 20)
})

test('a broker without persistence has no store to tell of', async () => {
  const { broker } = await listen()
  assert.is(broker.storeMetrics, undefined)
})

uvu.run()
