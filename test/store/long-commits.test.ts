// A commit longer than a frame is a chain of frames: stored whole or not at all, wherever it is cut, and a message in its middle
// is read without the rest.

import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../src/store/durable-store.ts'
import { crc32c } from '../../src/store/journal/crc32c.ts'
import { FRAME_BYTES, FRAME_HEAD_BYTES, frameLength, HEADER_BYTES } from '../../src/store/journal/file-format.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import { compactStore } from '../../src/store/journal-tools.ts'
import { StoreError } from '../../src/store/store-error.ts'
import { freshDirectory, opened, publication, readBack, session } from './support.ts'

const SEGMENT = '0000000001.journal'

function commitOf(from: number, count: number, bytes: number): JournalRecord[] {
  return Array.from({ length: count }, (_, at) =>
    publication(from + at, 'c', new Uint8Array(bytes).fill(from + at)),
  ).flat()
}

async function storeOf(batches: readonly JournalRecord[][]): Promise<string> {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  for (const batch of batches) await store.commit(batch)
  await store.close()
  return directory
}

/** Where the frames of a segment begin, and whether each goes on. */
function framesOf(path: string): { offset: number; more: boolean }[] {
  const bytes = readFileSync(path)
  const frames: { offset: number; more: boolean }[] = []
  for (let offset = HEADER_BYTES; offset < bytes.length; ) {
    const { length, more } = frameLength(bytes, offset)
    frames.push({ offset, more })
    offset += FRAME_HEAD_BYTES + length
  }
  return frames
}

test('cut behind any of its frames, or anywhere, a long commit is as if it had never been', async () => {
  const first = [session(), ...publication(1)]
  const directory = await storeOf([first, commitOf(2, 100, 1000)])
  const frames = framesOf(join(directory, SEGMENT))
  assert.equal(
    frames.map(({ more }) => more),
    frames.map((_, at) => at > 0 && at < frames.length - 1),
  )
  assert.ok(frames.length > 10)
  const whole = statSync(join(directory, SEGMENT)).size
  const begin = frames[1]!.offset
  const middles = Array.from({ length: 20 }, (_, at) => begin + 1 + Math.floor(((whole - begin - 1) * at) / 20))
  for (const cut of [...frames.slice(2).map(({ offset }) => offset), ...middles, whole - 1]) {
    const copy = freshDirectory()
    cpSync(directory, copy, { recursive: true })
    truncateSync(join(copy, SEGMENT), cut)
    assert.equal(await readBack(copy), first, `cut at ${cut}`)
    assert.equal(await readBack(copy), first, 'and nothing of it comes back')
    assert.ok(readdirSync(copy).includes(`0000000001-${begin}.damaged`))
  }
})

test('whatever the sizes of commits and messages, everything is recovered and found by its number, compacted or not', async () => {
  const commits = fc.array(
    fc.record({ count: fc.integer({ min: 1, max: 40 }), bytes: fc.nat({ max: 3 * FRAME_BYTES }) }),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  await fc.assert(
    fc.asyncProperty(commits, fc.infiniteStream(fc.nat()), async (sizes, chance) => {
      let next = 1
      const batches = sizes.map(({ count, bytes }) => {
        next += count
        return commitOf(next - count, count, bytes)
      })
      const directory = await storeOf([[session()], ...batches])
      assert.equal(await readBack(directory), [session(), ...batches.flat()])
      for (const step of ['as written', 'compacted']) {
        if (step === 'compacted') await compactStore(directory, () => {})
        const store = await opened(new JournalStore({ directory }))
        const wanted = Array.from({ length: 5 }, () => 1 + (chance.next().value! % (next - 1)))
        const found = await store.readMessages(wanted)
        assert.equal(
          found.map((message) => message?.message),
          wanted,
          step,
        )
        for (const message of found) assert.ok(message!.payload.every((byte) => byte === message!.message % 256))
        await store.close()
      }
    }),
    { numRuns: 25 },
  )
})

/** Bytes this process has read from anything. */
function bytesRead(): number {
  return Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))![1])
}

test('one message out of a commit of a mebibyte costs a few frames, not the commit; neighbours are read at once', async () => {
  const directory = await storeOf([[session()], commitOf(1, 10_000, 100)])
  assert.ok(statSync(join(directory, SEGMENT)).size > 1 << 20)
  for (const step of ['as written', 'compacted']) {
    if (step === 'compacted') await compactStore(directory, () => {})
    const store = await opened(new JournalStore({ directory }))
    const cost = async (numbers: number[]): Promise<number> => {
      const before = bytesRead()
      const found = await store.readMessages(numbers)
      assert.ok(found.every((message) => message !== undefined))
      return bytesRead() - before
    }
    const looking = await cost([])
    // The least of three: the process reads other things, too, now and then.
    const leastCost = async (batches: number[][]): Promise<number> => {
      const costs: number[] = []
      for (const numbers of batches) costs.push((await cost(numbers)) - looking)
      return Math.min(...costs)
    }
    const one = await leastCost([[5000], [2000], [8000]])
    assert.ok(one <= 3 * FRAME_BYTES, `${step}: ${one} bytes`)
    const side = Array.from({ length: 500 }, (_, at) => at)
    const many = await leastCost([4000, 6000, 9000].map((first) => side.map((at) => first + at)))
    assert.ok(many <= 500 * 150 + 3 * FRAME_BYTES, `${step}, neighbours: ${many} bytes`)
    await store.close()
  }
})

/** Changes the version a segment says it has. */
function say(directory: string, version: number): void {
  const path = join(directory, SEGMENT)
  const bytes = readFileSync(path)
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(crc32c(bytes, 0, HEADER_BYTES - 4), HEADER_BYTES - 4)
  mkdirSync(directory, { recursive: true })
  writeFileSync(path, bytes)
}

test('a segment of version 1, one frame a commit, is read as ever; one of a version to come is refused', async () => {
  const records = [session(), ...publication(1)]
  const directory = await storeOf([records])
  say(directory, 1)
  assert.equal(await readBack(directory), records)
  say(directory, 3)
  const refusal = await readBack(directory).catch((error: unknown) => error)
  assert.instance(refusal, StoreError)
  assert.equal(readdirSync(directory), [SEGMENT])
})

test.run()
