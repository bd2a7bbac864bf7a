// The disk under the store is full, really: a small tmpfs. Whose message would have to be stored is turned away, everybody
// else is served, nothing acknowledged is lost, and when there is space again all goes on, also when the store has to make
// that space itself. Where no tmpfs may be mounted, the same with calls that fail (support/native/faults.c).
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, type Settings, startBroker } from '../support/broker-process.ts'
import { Faults } from '../support/faults.ts'
import * as packets from '../support/packets.ts'
import { Client5, p, publish5 } from '../support/packets5.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { noSmallDisk, SmallDisk } from '../support/small-disk.ts'
import { skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')
const why = target === 'martlet' ? noSmallDisk() : 'Mosquitto makes no such promise'
const diskTest = why === undefined ? uvu : skipped(uvu, why)
uvu.after.each(closeClients)

const QUOTA_EXCEEDED = 0x97
const FOR_EVER = [p.sessionExpiry(0xffffffff)]

const settings = (directory: string, more: Settings = {}): Settings => ({
  persistence: true,
  persistence_location: directory,
  max_queued_messages: 1_000_000,
  sys_interval: 1,
  ...more,
})

interface Weather {
  readonly directory: string
  /** Nothing can be stored any more, resolves when the broker knows. */
  turnBad(taken: () => void): Promise<void>
  /** It can be stored again, resolves when the broker knows. */
  turnGood(): Promise<void>
}

/** What a store that cannot store must mean to each kind of client, and that nothing is lost by it. */
async function outage(broker: BrokerUnderTest, { directory, turnBad, turnGood }: Weather): Promise<void> {
  const stored = await RawClient.connect(broker, { clientId: 'stored', clean: false })
  await stored.subscribe(['stored/#', 1])
  await stored.disconnect()
  const passing = await RawClient.connect(broker, { clientId: 'passing' })
  await passing.subscribe(['passing', 2], ['qos0', 0], ['kept', 0])
  const v5 = await Client5.connect(broker, { clientId: 'v5' })
  const first = await Client5.connect(broker, { clientId: 'first' })
  const v3 = await RawClient.connect(broker, { clientId: 'v3' })
  const publish = (text: string) => v5.publish({ topic: 'stored/5', payload: text, qos: 1 })
  const texts = ['before']
  assert.is(await publish('before'), 0)

  // What finds out stays unanswered, is in memory, and is stored as soon as that is possible. Longer than a page.
  let isTaken = false
  await turnBad(() => {
    isTaken = true
    texts.push('taken')
    first.raw.send(publish5({ topic: 'stored/5', payload: 'taken'.padEnd(8192), qos: 1, id: 900 }))
  })
  assert.is(await publish('refused'), QUOTA_EXCEEDED)
  assert.is(await v5.publish({ topic: 'stored/5', payload: 'refused', qos: 2 }), QUOTA_EXCEEDED)
  v3.send(packets.publish({ topic: 'stored/3', payload: 'waits', qos: 1, id: 7 }))
  v3.send(packets.publish({ topic: 'stored/3', payload: 'behind', qos: 1, id: 8 }), packets.pingreq())
  const refused = await Client5.dial(broker, { clientId: 'new', clean: false, properties: FOR_EVER })
  assert.is(refused.code, QUOTA_EXCEEDED)

  // Everyone else is served.
  const fresh = await RawClient.connect(broker, { clientId: 'fresh' })
  await fresh.publish({ topic: 'qos0', payload: 'a', qos: 0 })
  await fresh.publish({ topic: 'passing', payload: 'b', qos: 1 })
  await fresh.publish({ topic: 'passing', payload: 'c', qos: 2 })
  await fresh.publish({ topic: 'kept', payload: 'd', qos: 0, retain: true })
  assert.equal(
    (await passing.receive(4)).map(({ text }) => text),
    ['a', 'b', 'c', 'd'],
  )
  // And counted.
  await fresh.subscribe(['$SYS/broker/martlet/store/publishes/#', 0])
  const counts = new Map<string, number>()
  while (counts.get('refused') !== 2 || counts.get('waiting') !== 1) {
    const { topic, text } = await fresh.expectPublish()
    counts.set(topic.slice(topic.lastIndexOf('/') + 1), Number(text))
  }
  assert.is(v3.buffered, 0, 'no answer, and what came behind was not read')

  await turnGood()
  await v3.expect('d0 00 40 02 00 07 40 02 00 08')
  if (isTaken) assert.is((await first.answer('PUBACK')).id, 900)
  assert.is(await publish('after'), 0)
  await broker.kill9()
  const again = await startBroker({ settings: settings(directory) })
  const back = await RawClient.connect(again, { clientId: 'stored', clean: false })
  const received = (await back.receiveAll()).map(({ text }) => text.trim())
  assert.equal(received.sort(), [...texts, 'waits', 'behind', 'after'].sort())
  await back.disconnect()
  await again.stopCleanly()
}

/** The store notices that space is getting short; or, told to let the disk fill up, finds out by a write that fails. */
async function fullDisk(notices: boolean): Promise<void> {
  const disk = new SmallDisk(8 << 20)
  const directory = join(disk.path, 'data')
  const least = notices ? 1 << 20 : 0
  try {
    const broker = await startBroker({ settings: settings(directory, { store_min_free: least }) })
    let empty = (): void => {}
    await outage(broker, {
      directory,
      turnBad: async (taken) => {
        empty = disk.fill()
        if (!notices) taken()
        await broker.waitForLog(notices ? /space for the store is short/ : /the store failed/)
      },
      turnGood: async () => {
        empty()
        await broker.waitForLog(notices ? /space for the store again/ : /the store works again/)
      },
    })
  } finally {
    disk.unmount()
  }
}

async function failingCalls(rules: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'full-'))
  const directory = join(folder, 'data')
  mkdirSync(directory)
  try {
    const faults = new Faults(directory)
    const broker = await startBroker({ settings: settings(directory), faults })
    await outage(broker, {
      directory,
      turnBad: async (taken) => {
        faults.rules(rules)
        taken()
        await broker.waitForLog(/the store failed/)
      },
      turnGood: async () => {
        faults.rules([])
        await broker.waitForLog(/the store works again/)
      },
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

diskTest('a disk somebody else fills: only who needs the store is turned away, until there is space', async () => {
  await Promise.all([fullDisk(true), fullDisk(false)])
})

test('writes that find the disk full, no descriptor for a new segment: only who needs the store is turned away', async () => {
  await Promise.all([failingCalls(['write 1+ ENOSPC']), failingCalls(['write 1 EIO', 'open 1+ EMFILE'])])
})

diskTest(
  'a disk the store has filled itself: what its subscriber acknowledges makes room for new messages',
  async () => {
    const disk = new SmallDisk(8 << 20)
    const directory = join(disk.path, 'data')
    const tight = { store_segment_size: 32 << 20, max_unstored_bytes: 64 << 10 }
    try {
      const broker = await startBroker({ settings: settings(directory, tight) })
      const subscriber = await RawClient.connect(broker, { clientId: 'stored', clean: false })
      await subscriber.subscribe(['a', 1])
      await subscriber.disconnect()
      const publisher = await Client5.connect(broker, { clientId: 'v5' })
      const publish = (number: number): Promise<number> =>
        publisher.publish({ topic: 'a', payload: `${number}`.padEnd(30_000), qos: 1 })
      const acknowledged: number[] = []
      let next = 0
      while ((await publish(next)) === 0) acknowledged.push(next++)
      assert.match(await broker.waitForLog(/space for the store is short/), /nothing new is taken/)
      assert.is.not(await publish(next), 0)

      const back = await RawClient.connect(broker, { clientId: 'stored', clean: false })
      assert.ok(back.sessionPresent)
      const received = (await back.receive(acknowledged.length)).map(({ text }) => Number(text))
      assert.equal(received, acknowledged)
      await broker.waitForLog(/space for the store again/)
      assert.is(await publish(next), 0)
      await broker.kill9()

      const again = await startBroker({ settings: settings(directory, tight) })
      const last = await RawClient.connect(again, { clientId: 'stored', clean: false })
      const rest = new Set((await last.receiveAll()).map(({ text }) => Number(text)))
      assert.ok(rest.has(next), 'what was acknowledged last')
      await last.disconnect()
      await again.stopCleanly()
    } finally {
      disk.unmount()
    }
  },
)

uvu.run()
