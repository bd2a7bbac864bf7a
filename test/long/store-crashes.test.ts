// A hundred deaths of a process that stores: at random calls, before or after them, now and then on a disk that also fails,
// always in the same directory. After each the books must balance.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import { freshDirectory, readBack } from '../store/support.ts'
import { runFaulty } from '../support/faults.ts'
import { seededChances } from '../support/power-loss.ts'
import { type Case, longTests, skipped } from '../support/target.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')

const WRITER = join(import.meta.dirname, '..', 'support', 'store-writer.js')
const ROUNDS = 100

/** Runs the writer until it dies; the highest message it was told was stored. */
async function live(directory: string, rules: readonly string[]): Promise<number> {
  const args = [directory, '1000', 'segmentBytes=20000', 'width=7']
  const run = runFaulty({ script: WRITER, args, root: directory, rules })
  let acknowledged = 0
  createInterface(run.child.stdout!).on('line', (line) => {
    if (line.startsWith('+ ')) acknowledged = Math.max(acknowledged, Number(line.slice(2)))
  })
  await new Promise((resolve) => run.child.once('close', resolve))
  return acknowledged
}

test(`after ${ROUNDS} deaths at random calls every acknowledged commit is there, in order`, async () => {
  const directory = freshDirectory()
  mkdirSync(directory)
  let acknowledged = 0
  const { chance, again } = seededChances()
  for (let round = 0; round < ROUNDS; round++) {
    const rules = [`any ${2 + chance(200)} ${chance(2) === 0 ? 'kill' : 'killed'}`]
    if (chance(3) === 0) rules.push(`${['fsync', 'write', 'open', 'rename'][chance(4)]} ${1 + chance(20)} EIO`)
    if (chance(4) === 0) rules.push(`write ${1 + chance(20)} short`)
    acknowledged = Math.max(acknowledged, await live(directory, rules))
    let last = 0
    for (const record of await readBack(directory)) {
      if (record.type !== 'message-queued') continue
      assert.is(record.message, ++last, `round ${round}, ${again}`)
    }
    assert.ok(last >= acknowledged, `round ${round}, ${again}: ${acknowledged} acknowledged, ${last} there`)
  }
  assert.ok(acknowledged > ROUNDS)
})

uvu.run()
