// The store under a failing disk and a killed process: nothing acknowledged is lost, nothing comes back in another order, and
// it goes on when the disk does. The process under test is support/store-writer.ts, the disk support/native/faults.c.

import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fileName, readHeader } from '../../src/store/journal/file-format.ts'
import { type FaultyRun, runFaulty } from '../support/faults.ts'
import { readCalls } from '../support/power-loss.ts'
import { freshDirectory, readBack } from './support.ts'

const WRITER = join(import.meta.dirname, '..', 'support', 'store-writer.js')

interface Books {
  readonly stored: number[]
  readonly refused: { message: number; reason: string }[]
  readonly events: string[]
}

interface Run extends FaultyRun {
  readonly books: Books
  readonly directory: string
  /** Resolves at the first line of output that starts so. */
  seen(start: string): Promise<void>
}

function directoryMade(): string {
  const directory = freshDirectory()
  mkdirSync(directory)
  return directory
}

function start(directory: string, count: number, rules: readonly string[], words: readonly string[] = []): Run {
  const run = runFaulty({ script: WRITER, args: [directory, String(count), ...words], root: directory, rules })
  const books: Books = { stored: [], refused: [], events: [] }
  const lines: string[] = []
  const watchers: { start: string; resolve: () => void }[] = []
  createInterface(run.child.stdout!).on('line', (line) => {
    lines.push(line)
    const [word, number, reason = ''] = line.split(' ')
    if (word === '+') books.stored.push(Number(number))
    else if (word === '-') books.refused.push({ message: Number(number), reason })
    else if (word === 'event') books.events.push(String(number))
    for (const watcher of watchers) if (line.startsWith(watcher.start)) watcher.resolve()
  })
  const seen = (text: string): Promise<void> =>
    new Promise((resolve) => {
      if (lines.some((line) => line.startsWith(text))) resolve()
      else watchers.push({ start: text, resolve })
    })
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    run.child.once('close', (code, signal) => resolve(code ?? signal ?? 'SIGKILL')),
  )
  return { ...run, ended, books, directory, seen }
}

/** The numbers of the messages in the queue, in order; each must have been stored with its payload. */
async function queued(directory: string): Promise<number[]> {
  const payloads = new Map<number, Uint8Array>()
  const numbers: number[] = []
  for (const record of await readBack(directory)) {
    if (record.type === 'message-stored') payloads.set(record.message, record.payload)
    if (record.type !== 'message-queued') continue
    const { message } = record
    numbers.push(message)
    assert.equal(payloads.get(message), new Uint8Array(message % 97).fill(message))
  }
  return numbers
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1)
}

test('killed at any call, the store holds every commit that was acknowledged, whole and in order', async () => {
  for (const segments of ['segmentBytes=100000000', 'segmentBytes=600']) {
    const directory = directoryMade()
    let acknowledged = 0
    for (const at of [2, 3, 5, 8, 13, 21, 40, 77]) {
      const run = start(directory, 60, [`any ${at} ${at % 2 === 0 ? 'kill' : 'killed'}`], [segments])
      const end = await run.ended
      assert.ok(end === 'SIGKILL' || end === 0, String(end))
      acknowledged = Math.max(acknowledged, ...run.books.stored)
      const numbers = await queued(directory)
      assert.equal(numbers, upTo(numbers.length))
      assert.ok(numbers.length >= acknowledged, `${acknowledged} acknowledged, ${numbers.length} there`)
    }
    assert.ok(acknowledged > 20)
    rmSync(directory, { recursive: true })
  }
})

for (const [what, rule] of [
  ['a sync that fails once', 'fsync 7 EIO'],
  ['a write that fails once', 'write 7 EIO'],
  ['a write that finds the disk full once', 'write 7 ENOSPC'],
] as const) {
  test(`${what} costs a segment and no commit`, async () => {
    const run = start(directoryMade(), 60, [rule])
    assert.is(await run.ended, 0)
    assert.equal(run.books.events, ['write-failed'])
    assert.equal(run.books.refused, [])
    assert.equal(await queued(run.directory), upTo(60))
  })
}

test('a file whose sync failed is never written or synced again, and counts as far as the sync before; the rest is in the next', async () => {
  const directory = directoryMade()
  const log = `${directory}.log`
  const args = [directory, '60']
  assert.is(await runFaulty({ script: WRITER, args, root: directory, rules: ['fsync 7 EIO'], log }).ended, 0)
  const first = join(directory, fileName(1, 'journal'))
  const calls = readCalls(log).filter(({ name }) => name === 'write' || name === 'fsync')
  const left = calls.findIndex(({ path }) => path === join(directory, fileName(2, 'journal')))
  assert.ok(left > 0)
  assert.not.ok(calls.slice(left).some(({ path }) => path === first))
  const onFirst = calls.slice(0, left).filter(({ path }) => path === first)
  assert.is(onFirst.at(-1)?.name, 'write', 'its sync is the one that failed')
  const synced = onFirst.slice(0, -1)
  assert.is(synced.at(-1)?.name, 'fsync')
  const header = readHeader(readFileSync(join(directory, fileName(2, 'journal'))))
  assert.is(
    typeof header === 'string' ? header : header.previousEnd,
    synced.reduce((sum, { data }) => sum + data.length, 0),
  )
  assert.equal(await queued(directory), upTo(60))
})

test('short writes are gone on with', async () => {
  const run = start(directoryMade(), 60, ['write 3+ short'])
  assert.is(await run.ended, 0)
  assert.equal(run.books.events, [])
  assert.equal(await queued(run.directory), upTo(60))
})

for (const [what, rule, reason] of [
  ['the disk is full', 'write 6+ ENOSPC', 'disk-full'],
  ['syncs fail', 'fsync 6+ EIO', 'device'],
  ['no file can be created', 'any 9+ ENOSPC', 'disk-full'],
] as const) {
  test(`while ${what} commits are refused, and when that is over they are taken, the refused ones first`, async () => {
    const run = start(directoryMade(), 1_000_000, [rule])
    await run.seen('- ')
    run.rules([])
    await run.seen('event accepting')
    const before = run.books.stored.length
    await run.seen(`+ ${Math.max(...run.books.refused.map(({ message }) => message)) + 10}`)
    run.child.stdin!.end()
    assert.is(await run.ended, 0)
    assert.ok(run.books.stored.length > before)
    assert.ok(run.books.refused.every((refusal) => refusal.reason === reason))
    const numbers = await queued(run.directory)
    assert.equal(numbers, upTo(numbers.length))
    assert.is(numbers.length, run.books.stored.length + run.books.refused.length)
  })
}

test('killed while the disk is full, the store holds all that was acknowledged before', async () => {
  const run = start(directoryMade(), 1_000_000, ['write 20+ ENOSPC'])
  await run.seen('- ')
  run.child.kill('SIGKILL')
  await run.ended
  const numbers = await queued(run.directory)
  assert.equal(numbers, upTo(numbers.length))
  assert.ok(numbers.length >= Math.max(...run.books.stored))
})

test('a store on a full disk opens, tells what it holds, and refuses commits', async () => {
  const directory = directoryMade()
  assert.is(await start(directory, 10, []).ended, 0)
  const run = start(directory, 1_000_000, ['write 1+ ENOSPC', 'truncate 1+ ENOSPC'])
  await run.seen('- 11 disk-full')
  run.child.stdin!.end()
  assert.is(await run.ended, 0)
  assert.equal(await queued(directory), upTo(10))
})

test('compaction that fails leaves everything as it was and is tried again', async () => {
  const run = start(directoryMade(), 400, ['rename 1 EIO'], ['segmentBytes=2000'])
  assert.is(await run.ended, 0)
  assert.ok(run.books.events.includes('compaction-failed'))
  assert.ok(run.books.events.includes('compacted'))
  assert.equal(await queued(run.directory), upTo(400))
})

test.run()
