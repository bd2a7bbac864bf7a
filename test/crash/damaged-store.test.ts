// A store that was damaged, by a disk or by a hand, and the broker on it: it starts, says in one line what is wrong, keeps
// what it cannot read as a file, and everything else is there, in order. Also: who else wants the directory, and what a kill
// leaves there.
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { crc32c } from '../../src/store/journal/crc32c.ts'
import { writeHeader } from '../../src/store/journal/file-format.ts'
import { compactStore } from '../../src/store/journal-tools.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { runToExit, type Settings, startBroker } from '../support/broker-process.ts'
import { closeBrokers, type EmbeddedBroker, listen } from '../support/embedded.ts'
import { Faults } from '../support/faults.ts'
import * as packets from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { skipped, target } from '../support/target.ts'

const test = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto has no such store')
uvu.after.each(async () => {
  closeClients()
  await closeBrokers()
})

/** Messages of each of three lives; each life leaves a segment. */
const EACH = 60
const ALL = range(0, 3 * EACH)
const ground = mkdtempSync(join(tmpdir(), 'damaged-'))
process.on('exit', () => rmSync(ground, { recursive: true, force: true }))
let copies = 0

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at)
}

const settings = (directory: string): Settings => ({
  persistence: true,
  persistence_location: directory,
  max_queued_messages: 1_000_000,
})

/** Three lives of a broker, each ended by SIGKILL: three segments, a session with 180 messages, no checkpoint. */
const original = (async () => {
  const directory = join(ground, 'original')
  for (let life = 0; life < 3; life++) {
    const broker = await startBroker({ settings: settings(directory) })
    if (life === 0) {
      const subscriber = await RawClient.connect(broker, { clientId: 's', clean: false })
      await subscriber.subscribe(['a', 1])
      await subscriber.disconnect()
    }
    const publisher = await RawClient.connect(broker, { clientId: 'p' })
    for (const number of range(life * EACH, (life + 1) * EACH)) {
      publisher.send(packets.publish({ topic: 'a', payload: `${number}`.padEnd(200), qos: 1, id: number + 1 }))
      await publisher.expectPacket('PUBACK')
    }
    await broker.kill9()
  }
  return directory
})()

async function copy(): Promise<string> {
  const directory = join(ground, `copy-${copies++}`)
  cpSync(await original, directory, { recursive: true })
  return directory
}

const segment = (directory: string, id: number): string => join(directory, `000000000${id}.journal`)

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 0xff
  writeFileSync(path, bytes)
}

/** A broker in this process on this directory, and the lines of its log that tell of damage. */
async function embedded(directory: string): Promise<{ told: string[]; broker: EmbeddedBroker }> {
  const told: string[] = []
  const say = (level: string) => (facts: object, text?: string) => {
    if ('store' in facts && /damaged|torn-tail/.test(String(facts.store))) told.push(`${level} ${text}`)
  }
  const log = { ...silentLogger, warn: say('WARN'), error: say('ERROR') }
  const options = { persistence: true, persistenceLocation: directory, maxQueuedMessages: 1_000_000, log }
  return { told, broker: await listen(options) }
}

/** What it has kept of the 180 messages; and it goes on as a store. */
async function keptBy(broker: { host: string; port: number }): Promise<number[]> {
  const subscriber = await RawClient.connect(broker, { clientId: 's', clean: false })
  if (!subscriber.sessionPresent) await subscriber.subscribe(['a', 1])
  const kept = (await subscriber.receiveAll()).map(({ text }) => Number(text))
  await subscriber.publish({ topic: 'b', payload: 'new', qos: 1, retain: true })
  await subscriber.disconnect()
  return kept
}

const aside = (directory: string): string[] => readdirSync(directory).filter((name) => name.endsWith('.damaged'))

interface Damage {
  readonly what: string
  inflict(directory: string): void
  /** The one line of the log. */
  readonly says: RegExp
  /** What must be there, whatever else is. */
  readonly survivors: readonly number[]
  /** Nothing is kept aside: there was nothing. */
  readonly nothingAside?: boolean
}

const DAMAGES: readonly Damage[] = [
  {
    what: 'a byte that turned in the middle of a segment',
    inflict: (directory) => flip(segment(directory, 2), statSync(segment(directory, 2)).size >> 1),
    says: /ERROR .*0000000002\.journal: a checksum is wrong at byte \d+; the \d+ bytes behind it are kept as .*0000000002-\d+\.damaged/,
    survivors: [...range(0, EACH + 20), ...range(2 * EACH, 3 * EACH)],
  },
  {
    what: 'an older segment cut in half',
    inflict: (directory) => truncateSync(segment(directory, 2), statSync(segment(directory, 2)).size >> 1),
    says: /ERROR .*0000000002\.journal: a frame (head )?is cut off at byte \d+/,
    survivors: [...range(0, EACH + 20), ...range(2 * EACH, 3 * EACH)],
  },
  {
    what: 'the newest segment cut short',
    inflict: (directory) => truncateSync(segment(directory, 3), statSync(segment(directory, 3)).size - 3),
    says: /WARN .*0000000003\.journal: .*the last commit was cut short by a crash; the \d+ bytes behind it are kept as /,
    survivors: range(0, 3 * EACH - 1),
  },
  {
    what: 'zeros behind the newest commit',
    inflict: (directory) => truncateSync(segment(directory, 3), statSync(segment(directory, 3)).size + 5000),
    says: /WARN .*0000000003\.journal: a frame is empty at byte \d+, the last commit was cut short/,
    survivors: ALL,
  },
  {
    what: 'a segment that is missing',
    inflict: (directory) => rmSync(segment(directory, 2)),
    says: /ERROR .*segment 2 of the store is missing; what it held is lost/,
    survivors: [...range(0, EACH), ...range(2 * EACH, 3 * EACH)],
    nothingAside: true,
  },
  {
    what: 'the first segment missing, and the session with it',
    inflict: (directory) => rmSync(segment(directory, 1)),
    says: /ERROR .*segment 1 of the store is missing/,
    survivors: [],
    nothingAside: true,
  },
  {
    what: 'garbage under a segment’s name',
    inflict: (directory) => {
      writeFileSync(segment(directory, 9), Buffer.alloc(5000, 'garbage'))
      writeFileSync(join(directory, 'notes.txt'), 'a stranger’s')
    },
    says: /WARN .*0000000009\.journal has no readable header; it is kept as .*0000000009\.journal\.damaged/,
    survivors: ALL,
  },
  {
    what: 'the header of another segment',
    inflict: (directory) => {
      const bytes = readFileSync(segment(directory, 2))
      writeHeader({ kind: 'journal', id: 5, previous: 4, previousEnd: 40 }, bytes)
      writeFileSync(segment(directory, 2), bytes)
    },
    says: /0000000002\.journal has the header of another file; it is kept as /,
    survivors: [...range(0, EACH), ...range(2 * EACH, 3 * EACH)],
  },
]

for (const { what, inflict, says, survivors, nothingAside } of DAMAGES) {
  test(`${what} costs what it held, not the start`, async () => {
    const directory = await copy()
    inflict(directory)
    const { told, broker } = await embedded(directory)
    assert.is(broker.broker.storeMetrics!.faults, 1)
    const kept = await keptBy(broker)
    assert.is(told.length, 1, told.join('\n'))
    assert.match(told[0]!, says)
    assert.is(aside(directory).length, nothingAside === true ? 0 : 1)
    assert.equal(
      kept,
      [...kept].sort((a, b) => a - b),
    )
    assert.is(new Set(kept).size, kept.length)
    assert.equal(
      survivors.filter((number) => !kept.includes(number)),
      [],
    )
  })
}

test('a segment the device cannot read costs what it held, not the start', async () => {
  const directory = await copy()
  const faults = new Faults(directory, { rules: ['read 1+ EIO 0000000002'] })
  const broker = await startBroker({ settings: settings(directory), faults })
  const told = broker.log.filter((line) => /store=(damaged|torn-tail)/.test(line))
  const kept = await keptBy(broker)
  await broker.stopCleanly()
  assert.is(told.length, 1, told.join('\n'))
  assert.match(told[0]!, /0000000002\.journal cannot be read \(EIO.*it is kept as /)
  assert.equal(kept, [...range(0, EACH), ...range(2 * EACH, 3 * EACH)])
})

test('a damaged checkpoint costs what stands behind the damage, not the start', async () => {
  const directory = await copy()
  await compactStore(directory, () => {})
  const [checkpoint] = readdirSync(directory).filter((name) => name.endsWith('.checkpoint'))
  // References to messages stand at its end: the last of them are lost.
  flip(join(directory, checkpoint!), statSync(join(directory, checkpoint!)).size - 20)
  const { told, broker } = await embedded(directory)
  await keptBy(broker)
  assert.is(told.length, 1, told.join('\n'))
  assert.match(told[0]!, /ERROR .*\.checkpoint: a checksum is wrong at byte \d+; the \d+ bytes behind it are kept as /)
  assert.is(aside(directory).length, 1)
})

test('a store of a version to come is no damage: the start is refused, and every file stays as it is', async () => {
  const directory = await copy()
  const bytes = readFileSync(segment(directory, 2))
  bytes.writeUInt32LE(77, 8)
  bytes.writeUInt32LE(crc32c(bytes, 0, 36), 36)
  writeFileSync(segment(directory, 2), bytes)
  const before = readdirSync(directory).filter((name) => name !== 'lock')
  const { code, log } = await runToExit({ settings: settings(directory) })
  assert.is(code, 1)
  assert.match(
    log.at(-1)!,
    /0000000002\.journal: it was written by another version of Martlet \(format 77, here 2\)\.$/,
  )
  assert.equal(readdirSync(directory), before)
  assert.equal(readFileSync(segment(directory, 2)), bytes)
})

test('a second broker on the same directory is refused, and told by name and number who has it', async () => {
  const directory = join(ground, 'shared')
  const broker = await startBroker({ settings: settings(directory) })
  const second = await runToExit({ settings: settings(directory) })
  assert.is(second.code, 1)
  const name = readFileSync(`/proc/${broker.pid}/comm`, 'utf8').trim()
  assert.ok(
    second.log.some((line) => line.includes(`${directory} is in use by ${name} (process ${broker.pid})`)),
    second.log.join('\n'),
  )
  await broker.stopCleanly()
  assert.not.ok(existsSync(join(directory, 'lock')), 'who stops in order leaves no lock')
})

test('the lock that kill -9 leaves hinders nobody', async () => {
  const directory = join(ground, 'killed')
  const broker = await startBroker({ settings: settings(directory) })
  await broker.kill9()
  assert.ok(lstatSync(join(directory, 'lock')).isSymbolicLink())
  await (await startBroker({ settings: settings(directory) })).stopCleanly()
})

uvu.run()
