// `martlet store` on what a broker really leaves: after a kill -9, and while it works. As a user runs it.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalStore } from '../../src/store/journal-store.ts'
import { type BrokerUnderTest, type Settings, startBroker } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto has no such command')
const MAIN = join(repositoryRoot, 'bin/martlet.js')
const COUNT = 300
const ground = mkdtempSync(join(tmpdir(), 'store-commands-'))
process.on('exit', () => rmSync(ground, { recursive: true, force: true }))
uvu.after.each(async () => {
  closeClients()
  await closeBrokers()
})

function store(words: readonly string[], input = ''): { status: number | null; out: string; complaint: string } {
  const options = { input, encoding: 'utf8', maxBuffer: 64 << 20 } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'store', ...words], options)
  return { status, out: stdout, complaint: stderr }
}

const settings = (directory: string): Settings => ({
  persistence: true,
  persistence_location: directory,
  max_queued_messages: 10_000,
})

const NUMBERS = Array.from({ length: COUNT }, (_, number) => number)

/** A broker with a session that is owed 300 messages, and a retained one. */
async function brokerAtWork(directory: string): Promise<BrokerUnderTest> {
  const broker = await startBroker({ settings: settings(directory) })
  const subscriber = await RawClient.connect(broker, { clientId: 's', clean: false })
  await subscriber.subscribe(['a', 1])
  await subscriber.disconnect()
  const publisher = await RawClient.connect(broker, { clientId: 'p' })
  const publications = NUMBERS.map((number) =>
    packets.publish({ topic: 'a', payload: `${number}`, qos: 1, id: number + 1 }),
  )
  publisher.send(...publications)
  for (const _ of NUMBERS) await publisher.expectPacket('PUBACK')
  await publisher.publish({ topic: 'r', payload: 'kept', qos: 1, retain: true })
  return broker
}

/** That a broker on this directory owes the session what it did, and has the retained message. */
async function assertWhole(directory: string): Promise<void> {
  const { broker, ...address } = await listen({
    persistence: true,
    persistenceLocation: directory,
    maxQueuedMessages: 10_000,
  })
  const subscriber = await RawClient.connect(address, { clientId: 's', clean: false })
  assert.ok(subscriber.sessionPresent)
  assert.equal(
    (await subscriber.receive(COUNT)).map(({ text }) => Number(text)),
    NUMBERS,
  )
  await subscriber.subscribe(['r', 0])
  await subscriber.expectPublish({ text: 'kept', retain: true })
  await subscriber.disconnect()
  await broker.close()
}

const typesOf = (lines: string): string[] =>
  lines
    .trimEnd()
    .split('\n')
    .map((line) => {
      const parsed = JSON.parse(line) as { type?: string; record?: { type: string } }
      return parsed.type ?? parsed.record?.type ?? ''
    })

test('after a kill -9 the store is sound; dump, export, import and compact lose nothing of it', async () => {
  const directory = join(ground, 'killed')
  const broker = await brokerAtWork(directory)
  await broker.kill9()

  const checked = store(['check', directory])
  assert.is(checked.status, 0, checked.out + checked.complaint)
  assert.match(checked.out, `message-queued: ${COUNT}\n`)
  const dumped = store(['dump', directory])
  assert.is(dumped.status, 0)
  assert.is(typesOf(dumped.out).filter((type) => type === 'message-queued').length, COUNT)
  const exported = store(['export', directory])
  assert.is(exported.status, 0)
  assert.ok(typesOf(exported.out).includes('retained-set'))

  const imported = join(ground, 'imported')
  assert.is(store(['import', imported], exported.out).status, 0)
  await assertWhole(imported)
  const compacted = join(ground, 'compacted')
  cpSync(directory, compacted, { recursive: true })
  assert.is(store(['compact', compacted]).status, 0)
  assert.ok(readdirSync(compacted).every((name) => name.endsWith('.checkpoint')))
  await assertWhole(compacted)
  // And nobody has changed the original.
  await assertWhole(directory)
})

test('while the broker works, reading its store and a copy of it is safe, and changing it is refused', async () => {
  const directory = join(ground, 'live')
  const broker = await brokerAtWork(directory)
  const copy = join(ground, 'copy')
  cpSync(directory, copy, { recursive: true, verbatimSymlinks: true })
  for (const place of [directory, copy]) {
    assert.is(store(['check', place]).status, 0)
    assert.is(typesOf(store(['export', place]).out).filter((type) => type === 'message-queued').length, COUNT)
  }
  for (const words of [
    ['compact', directory],
    ['import', directory],
  ]) {
    const { status, complaint } = store(words)
    assert.is(status, 1)
    assert.match(complaint, `(process ${broker.pid})`)
  }
  // The lock that was copied is nobody's.
  assert.is(store(['compact', copy]).status, 0)
  await assertWhole(copy)
  await broker.kill9()
  await assertWhole(directory)
})

test('of a damaged copy everything that can be read is dumped, exported and compacted, and what cannot is named', async () => {
  const directory = join(ground, 'damaged')
  for (let life = 0; life < 2; life++) {
    const broker = await startBroker({ settings: settings(directory) })
    const client = await RawClient.connect(broker, { clientId: `s${life}`, clean: false })
    await client.subscribe([`a/${life}`, 1])
    await client.disconnect()
    await broker.kill9()
  }
  const [first] = readdirSync(directory).filter((name) => name.endsWith('.journal'))
  const file = join(directory, first!)
  const bytes = readFileSync(file)
  bytes[bytes.length - 3]! ^= 1
  writeFileSync(file, bytes)

  assert.is(store(['check', directory]).status, 1)
  for (const word of ['dump', 'export']) {
    const { status, out, complaint } = store([word, directory])
    assert.is(status, 1)
    assert.match(complaint, /^left out, damaged: .*\.journal: a checksum is wrong at byte \d+\n$/)
    const kinds = typesOf(out)
    assert.is(kinds.filter((kind) => kind === 'subscription-set').length, 2)
    assert.is(kinds.filter((kind) => kind === 'session-left').length, 1, 'the last commit of the first life is gone')
  }
  assert.is(store(['compact', directory]).status, 0)
  const { status, out } = store(['check', directory])
  assert.is(status, 0, out)
  assert.ok(
    readdirSync(directory).some((name) => name.endsWith('.damaged')),
    'what could not be read is kept',
  )
})

const SAY_MEMORY = 'data:text/javascript,process.on("exit",()=>console.error(process.resourceUsage().maxRSS))'

/** Kilobytes the process took at most while it dumped. */
function memoryOfDump(directory: string): number {
  const words = ['--import', SAY_MEMORY, MAIN, 'store', 'dump', directory]
  const { status, stderr } = spawnSync(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] })
  assert.is(status, 0, String(stderr))
  return Number(String(stderr))
}

async function storeOf(megabytes: number): Promise<string> {
  const directory = join(ground, `${megabytes}-megabytes`)
  const filled = new JournalStore({ directory, durability: 'none' })
  await filled.open()
  const payload = new Uint8Array(1 << 16).fill(7)
  await filled.commit([{ type: 'session-opened', clientId: 'c', protocolVersion: 5, expiryInterval: Infinity }])
  for (let message = 1; message <= megabytes * 16; message++) {
    await filled.commit([
      {
        type: 'message-stored',
        message,
        topicName: 't',
        payload,
        qos: 1,
        at: 0,
        expiresAt: Infinity,
        properties: new Uint8Array(0),
      },
      { type: 'message-queued', clientId: 'c', message, qos: 1, retain: false, subscriptionIdentifiers: [] },
    ])
    if (!filled.hasRoom) await filled.room()
  }
  await filled.close()
  return directory
}

test('dump takes no more memory for a large store than for a small one, and stops when nobody reads on', async () => {
  const [small, large] = [await storeOf(4), await storeOf(48)]
  assert.ok(memoryOfDump(large) < memoryOfDump(small) + (20 << 10))
  const child = spawn(process.execPath, [MAIN, 'store', 'dump', large], { stdio: ['ignore', 'pipe', 'pipe'] })
  const complaint: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => complaint.push(chunk))
  child.stdout.once('data', () => child.stdout.destroy())
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.is(Buffer.concat(complaint).toString(), '')
  assert.is(code, 0)
})

uvu.run()
