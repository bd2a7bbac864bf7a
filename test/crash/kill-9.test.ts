// The broker is killed with SIGKILL in the middle of its work, again and again, and started on the same directory. Two
// publishers of each QoS and two subscribers, one of them careless with its acknowledgements, keep books all the while.
// Three rounds, a hundred in the long run; MARTLET_CRASH_ROUNDS says otherwise.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as uvu } from 'uvu'
import { type Case, longSize, longTests, skipped, target } from '../support/target.ts'
import { crash } from './rounds.ts'

const ROUNDS = Number(process.env.MARTLET_CRASH_ROUNDS ?? (longTests ? longSize(100) : 3))
/** Acknowledgements from one start to the next kill, at most. */
const MOST = 4000

const test: Case = target === 'martlet' ? uvu : skipped(uvu, 'Mosquitto makes no such promise')

for (const durability of ['fsync', 'os'] as const) {
  test(`${ROUNDS} kills with durability ${durability}: no acknowledged message lost, no QoS 2 message twice, order kept`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'crash-'))
    try {
      await crash(ROUNDS, MOST, { persistence: true, persistence_location: join(folder, 'data'), durability })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

uvu.run()
