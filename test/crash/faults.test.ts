// The broker on a disk that fails, fills up, takes half a write, or takes the broker down in the middle of a call, and then a
// kill -9 on top: the books of all clients balance. The disk is support/native/faults.c, between the broker and its calls.
// Six rounds, from a fault by chance on through the list; MARTLET_CRASH_ROUNDS says otherwise; a failure says the seed, MARTLET_SEED.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { Faults } from '../support/faults.ts'
import { seededChances } from '../support/power-loss.ts'
import { type Case, longSize, longTests, skipped, target } from '../support/target.ts'
import { Crew } from './crew.ts'

const test: Case = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')

interface Weather {
  readonly what: string
  /** `N` becomes a number by chance, so that every round hits another call. */
  readonly rules: readonly string[]
  /** `over`: the broker rides it out; `refusing`: until it is over nothing is stored; `deadly`: it takes the broker with it. */
  readonly kind: 'over' | 'refusing' | 'deadly'
  /** What the log says of it. */
  readonly says?: RegExp
}

const FAILED = /store=write-failed/

const WEATHERS: readonly Weather[] = [
  { what: 'a sync fails once', rules: ['fsync N EIO'], kind: 'over', says: FAILED },
  { what: 'syncs fail', rules: ['fsync N+ EIO'], kind: 'refusing' },
  { what: 'a write fails once', rules: ['write N EIO'], kind: 'over', says: FAILED },
  { what: 'the disk is full', rules: ['write N+ ENOSPC'], kind: 'refusing' },
  { what: 'the device is gone', rules: ['any N+ EIO'], kind: 'refusing' },
  {
    what: 'descriptors run out, and the segment must be left',
    rules: ['write N EIO', 'open 1+ EMFILE'],
    kind: 'refusing',
  },
  { what: 'writes are short', rules: ['write N+ short'], kind: 'over' },
  { what: 'a write is cut in half by the end', rules: ['write N torn'], kind: 'deadly' },
  { what: 'killed before a sync', rules: ['fsync N kill'], kind: 'deadly' },
  { what: 'killed after a sync', rules: ['fsync N killed'], kind: 'deadly' },
  { what: 'killed at any call', rules: ['any N kill'], kind: 'deadly' },
  {
    what: 'a checkpoint cannot be put in place',
    rules: ['rename 1 EIO'],
    kind: 'over',
    says: /store=compaction-failed/,
  },
]
const ROUNDS = Number(process.env.MARTLET_CRASH_ROUNDS ?? (longTests ? longSize(100) : 6))
const { chance: below, again } = seededChances()
const FIRST = below(WEATHERS.length)
/** Small enough for segments to be closed and compacted in every round. */
const SEGMENT = 64 << 10
/** Acknowledgements before and after a fault. */
const SOME = 400

const chance = (most: number): number => 1 + below(most)

test(`${ROUNDS} failures of the disk, each with a kill: no acknowledged message lost, no QoS 2 message twice, order kept`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'faults-'))
  const directory = join(folder, 'data')
  mkdirSync(directory)
  const crew = new Crew()
  try {
    for (let round = 0; round < ROUNDS; round++)
      await live(WEATHERS[(FIRST + round) % WEATHERS.length]!, directory, crew, round % 2 === 1)
    const broker = await startBroker({ settings: settings(directory) })
    await crew.settle(broker)
    await broker.stopCleanly()
  } catch (error) {
    console.error(`${again}: ${(error as Error).message}`)
    throw error
  } finally {
    await crew.lost()
    rmSync(folder, { recursive: true, force: true })
  }
})

const settings = (directory: string) => ({
  persistence: true,
  persistence_location: directory,
  store_segment_size: SEGMENT,
  max_queued_messages: 1_000_000,
})

/** One life of the broker: work, the fault, work again if it can, and death. */
async function live(
  { what, rules, kind, says }: Weather,
  directory: string,
  crew: Crew,
  alone: boolean,
): Promise<void> {
  const faults = new Faults(directory)
  const broker = await startBroker({ settings: settings(directory), faults })
  const told = broker.log.find((line) => line.includes('store=damaged'))
  assert.is(told, undefined, `before "${what}"`)
  await crew.subscribe(broker, alone)
  const working = crew.acknowledged(chance(SOME))
  crew.publish(broker)
  await working
  const goingOn = crew.acknowledged(SOME)
  faults.rules(rules.map((rule) => rule.replace('N', `${chance(12)}`)))
  if (kind === 'deadly') {
    assert.is((await broker.exit()).signal, 'SIGKILL', what)
  } else {
    if (kind === 'refusing') await refused(broker, faults)
    if (says !== undefined) await broker.waitForLog(says)
    await goingOn
    await broker.kill9()
  }
  await crew.lost()
}

async function refused(broker: BrokerUnderTest, faults: Faults): Promise<void> {
  await broker.waitForLog(/the store failed/)
  faults.rules([])
}

uvu.run()
