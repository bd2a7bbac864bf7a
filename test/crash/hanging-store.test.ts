// A store that does not answer, when the broker is told to end: SIGTERM means code 0 within five seconds, whatever hangs, and
// the log says what was left behind. Nothing of that was acknowledged. The disk is support/native/faults.c.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { Faults } from '../support/faults.ts'
import * as packets from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')
uvu.after.each(closeClients)

/** An absent session, and a message for it that its publisher waits for in vain. */
async function abandoned(broker: BrokerUnderTest, hang: () => void): Promise<void> {
  const away = await RawClient.connect(broker, { clientId: 'away', clean: false })
  await away.subscribe(['a', 1])
  await away.disconnect()
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  const other = await RawClient.connect(broker, { clientId: 'other' })
  await other.subscribe(['b', 0])
  hang()
  publisher.send(packets.publish({ topic: 'a', payload: 'x', qos: 1, id: 1 }))
  other.send(packets.publish({ topic: 'b', payload: 'served', qos: 0 }))
  await other.expectPublish({ text: 'served' })
  assert.equal(await broker.stop(), { code: 0, signal: null })
  assert.is(publisher.buffered, 0, 'no PUBACK')
  assert.not.ok(
    broker.log.some((line) => line.includes('took too long')),
    'closing itself keeps to its time',
  )
  const said = broker.log.filter((line) => line.includes('what it had not stored is abandoned'))
  assert.is(said.length, 1, broker.log.join('\n'))
  assert.match(said[0]!, /records\W+[1-9]/)
}

async function hangingSync(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hanging-'))
  const directory = join(folder, 'data')
  mkdirSync(directory)
  const settings = { persistence: true, persistence_location: directory }
  try {
    const faults = new Faults(directory)
    const broker = await startBroker({ settings, faults })
    await abandoned(broker, () => faults.rules(['fsync 1+ hang']))
    const again = await startBroker({ settings })
    const back = await RawClient.connect(again, { clientId: 'away', clean: false })
    assert.ok(back.sessionPresent)
    await back.disconnect()
    await again.stopCleanly()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function hangingBackend(options: { spin?: boolean }): Promise<void> {
  const file = join(repositoryRoot, 'dist/test/support/backends/hanging.js')
  const settings = { persistence: `aedes:${file}`, persistence_options: options }
  await abandoned(await startBroker({ settings }), () => {})
}

// Together: each waits for most of its five seconds.
test('SIGTERM while a sync hangs, a backend does not answer, or does not even return: code 0, and the log says what was abandoned', async () => {
  await Promise.all([hangingSync(), hangingBackend({}), hangingBackend({ spin: true })])
})

uvu.run()
