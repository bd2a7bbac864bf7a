// The plug is pulled while the broker works. Its calls and what it sends are written down in their order; from them a disk is
// made that kept nothing but what it had to, cut anywhere; and a broker that starts on it has every message that had been
// acknowledged up to there. MARTLET_CRASH_ROUNDS says how often the plug is pulled, MARTLET_SEED where (a failure says it).
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { Faults } from '../support/faults.ts'
import * as packets from '../support/packets.ts'
import { type Call, readCalls, SimulatedDisk, seededChances } from '../support/power-loss.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { type Case, longSize, longTests, skipped, target } from '../support/target.ts'

const test: Case = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')
uvu.after.each(async () => {
  closeClients()
  await closeBrokers()
})

const ROUNDS = Number(process.env.MARTLET_CRASH_ROUNDS ?? (longTests ? longSize(500) : 20))
const COUNT = 160
/** Every so many messages wait for their answers. */
const WINDOW = 8
/** As large as they must be for segments to be closed and compacted on the way. */
const PAYLOAD = 2500

for (const [what, rules] of [
  ['on a good disk', []],
  [
    'on a disk whose syncs and writes fail now and then',
    ['fsync 9 EIO', 'fsync 20 EIO', 'fsync 21 EIO', 'write 30 EIO'],
  ],
] as const) {
  test(`a power loss at any moment takes nothing that was acknowledged, ${what}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'power-'))
    try {
      const { calls, directory } = await recorded(folder, rules)
      await pullPlugs(calls, directory, folder)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

/** Number n is published with packet identifier n: QoS 1 and 2 by turns, every tenth retained besides. */
function message(number: number): Buffer {
  const [qos, retain] = [number % 3 === 0 ? 2 : 1, number % 10 === 0] as const
  return packets.publish({ topic: 'a', payload: `${number}`.padEnd(PAYLOAD), qos, id: number, retain })
}

/** A broker at work for an absent subscriber; all its calls, and what it sent. */
async function recorded(folder: string, rules: readonly string[]): Promise<{ calls: Call[]; directory: string }> {
  const directory = join(folder, 'data')
  const log = join(folder, 'calls')
  mkdirSync(directory)
  const faults = new Faults(directory, { log, sends: true, rules })
  const broker = await startBroker({
    settings: { persistence: true, persistence_location: directory, store_segment_size: 64 << 10 },
    faults,
  })
  const subscriber = await RawClient.connect(broker, { clientId: 's', clean: false })
  // With QoS 2 those of QoS 1 would come before them: their identifiers are stored first.
  await subscriber.subscribe(['a', 1])
  await subscriber.disconnect()
  const publisher = await RawClient.connect(broker, { clientId: 'p', clean: false })
  for (let number = 1; number <= COUNT; number += WINDOW) {
    publisher.send(...Array.from({ length: WINDOW }, (_, at) => message(number + at)))
    for (let left = WINDOW; left > 0; ) {
      const packet = await publisher.nextPacket()
      if (packet.type === packets.Type.PUBREC) publisher.send(packets.pubrel(packets.packetIdOf(packet)))
      else left--
    }
    // So that some messages come after a compaction that had time to end.
    if (number > 0.8 * COUNT && number <= 0.8 * COUNT + WINDOW) await broker.waitForLog(/store=compacted/)
  }
  await broker.kill9()
  return { calls: readCalls(log), directory }
}

/** The numbers whose PUBACK or PUBREC these bytes are, whole packets all of them. */
function acknowledgedBy(bytes: Buffer): number[] {
  const numbers: number[] = []
  for (let at = 0; at + 1 < bytes.length; at += 2 + bytes[at + 1]!) {
    const type = bytes[at]! >> 4
    if (type === packets.Type.PUBACK || type === packets.Type.PUBREC) numbers.push(bytes.readUInt16BE(at + 2))
  }
  return numbers
}

async function pullPlugs(calls: readonly Call[], directory: string, folder: string): Promise<void> {
  assert.ok(
    calls.some(({ name, path }) => name === 'rename' && path.includes('checkpoint')),
    'it was compacted',
  )
  const { chance, again } = seededChances()
  const plugs = new Set(Array.from({ length: ROUNDS }, () => chance(calls.length)))
  const disk = new SimulatedDisk(directory)
  const acknowledged: number[] = []
  for (const [at, call] of calls.entries()) {
    disk.apply(call)
    if (call.name === 'send') acknowledged.push(...acknowledgedBy(call.data))
    if (!plugs.has(at)) continue
    const left = join(folder, `left-${at}`)
    disk.losePower(left, chance)
    await check(left, acknowledged).catch((error: Error) => {
      // The calls are other ones in every run, so what is needed most is what was left.
      keep(left, folder)
      error.message = `plug ${at} of ${calls.length} calls, ${again}: ${error.message}`
      throw error
    })
    rmSync(left, { recursive: true })
  }
  assert.is(acknowledged.length, COUNT)
}

/** What a failure was found on stays, beside the folder that goes. */
function keep(left: string, folder: string): void {
  const place = `${folder}-failed`
  cpSync(left, place, { recursive: true })
  console.error(`the disk it failed on is kept: ${place}`)
}

/** A broker on what is left knows all of these. */
async function check(left: string, acknowledged: readonly number[]): Promise<void> {
  const { broker, ...address } = await listen({ persistence: true, persistenceLocation: left })
  const subscriber = await RawClient.connect(address, { clientId: 's', clean: false })
  const received: number[] = []
  // A long queue is read from disk a page at a time: what must come is waited for, the rest is taken as it comes.
  while (received.length < acknowledged.length) {
    const next = subscriber.acknowledge(await subscriber.nextPacket(`message ${received.length + 1}`))
    if (next !== undefined) received.push(Number(next.text))
  }
  received.push(...(await subscriber.receiveAll()).map(({ text }) => Number(text)))
  assert.equal(
    received,
    received.map((_, at) => at + 1),
  )
  assert.ok(received.length >= Math.max(0, ...acknowledged))
  if (acknowledged.length > 0) assert.ok(subscriber.sessionPresent)
  const retained = acknowledged.filter((number) => number % 10 === 0).at(-1)
  if (retained !== undefined) {
    // Somebody else: what was stored and not acknowledged may still be on its way to the subscriber.
    const reader = await RawClient.connect(address, { clientId: 'reader' })
    await reader.subscribe(['a', 0])
    assert.ok(Number((await reader.expectPublish({ retain: true })).text) >= retained)
    await reader.disconnect()
  }
  subscriber.destroy()
  await broker.close()
}

uvu.run()
