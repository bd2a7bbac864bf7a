// The plug is pulled between any two calls: what was acknowledged before is there afterwards, whole and in order, though the
// disk kept nothing but what it had to.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runFaulty } from '../support/faults.ts'
import { chances, readCalls, SimulatedDisk } from '../support/power-loss.ts'
import { freshDirectory, readBack } from './support.ts'

const WRITER = join(import.meta.dirname, '..', 'support', 'store-writer.js')

for (const [what, rules] of [
  ['on a good disk', []],
  ['on a disk whose syncs fail now and then', ['fsync 9 EIO', 'fsync 30 EIO', 'fsync 31 EIO', 'write 50 EIO']],
] as const) {
  test(`after a power loss at any moment every acknowledged commit is there, ${what}`, async () => {
    const root = freshDirectory()
    const directory = join(root, 'store')
    const log = `${root}.log`
    mkdirSync(root)
    const acks = join(root, 'acks')
    const args = [directory, '150', 'segmentBytes=900', `acks=${acks}`]
    const end = await runFaulty({ script: WRITER, args, root, log, rules }).ended
    assert.is(end, 0)
    const calls = readCalls(log)
    assert.ok(
      calls.some(({ name, path }) => name === 'rename' && path.includes('checkpoint')),
      'it was compacted',
    )
    const disk = new SimulatedDisk(directory)
    const chance = chances(20_261_122)
    let acknowledged = 0
    for (const call of calls) {
      disk.apply(call)
      if (call.path === acks && call.name === 'write') acknowledged = Number(call.data.toString())
      if (chance(3) !== 0) continue
      const left = freshDirectory()
      disk.losePower(left, chance)
      const numbers = (await readBack(left)).flatMap((record) =>
        record.type === 'message-queued' ? [record.message] : [],
      )
      assert.equal(
        numbers,
        numbers.map((_, index) => index + 1),
      )
      assert.ok(numbers.length >= acknowledged, `${acknowledged} acknowledged, ${numbers.length} there`)
    }
    assert.is(acknowledged, 150)
  })
}

test.run()
