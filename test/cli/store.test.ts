// `martlet store`, run as a user runs it.

import { spawnSync } from 'node:child_process'
import { closeSync, cpSync, mkdirSync, openSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalStore } from '../../src/store/journal-store.ts'
import { everyRecord } from '../store/contract.ts'
import { Model } from '../store/model.ts'
import { freshDirectory, opened, publication, readBack, session } from '../store/support.ts'

const MAIN = resolve(import.meta.dirname, '..', '..', '..', 'bin', 'martlet.js')

function martletStore(words: readonly string[], input = ''): { status: number | null; out: string; complaint: string } {
  const run = spawnSync(process.execPath, [MAIN, 'store', ...words], { input, encoding: 'utf8' })
  return { status: run.status, out: run.stdout, complaint: run.stderr }
}

async function filled(): Promise<string> {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  for (const record of everyRecord) await store.commit([record])
  await store.commit([session('x'), ...publication(7, 'x', Uint8Array.of(1, 2, 3)), ...publication(8, 'x')])
  await store.commit([{ type: 'message-dropped', clientId: 'x', message: 8 }])
  await store.close()
  return directory
}

test('check counts what is there, calls a torn tail by its name, and damage damage', async () => {
  const directory = await filled()
  const sound = martletStore(['check', directory])
  assert.is(sound.status, 0)
  assert.match(sound.out, 'message-queued: 3\n')
  assert.match(sound.out, 'the store is sound')
  const [segment] = readdirSync(directory)
  const torn = freshDirectory()
  cpSync(directory, torn, { recursive: true })
  truncateSync(join(torn, segment!), readFileSync(join(torn, segment!)).length - 1)
  const afterCrash = martletStore(['check', torn])
  assert.is(afterCrash.status, 0)
  assert.match(afterCrash.out, 'cut short by a crash')
  const store = await opened(new JournalStore({ directory }))
  await store.commit([session('y')])
  await store.close()
  const bytes = readFileSync(join(directory, segment!))
  bytes[100]! ^= 1
  writeFileSync(join(directory, segment!), bytes)
  const damaged = martletStore(['check', directory])
  assert.is(damaged.status, 1)
  assert.match(damaged.out, 'a checksum is wrong')
})

test('dump tells every record with its place, and what it is told nobody changed', async () => {
  const directory = await filled()
  const { status, out } = martletStore(['dump', directory])
  assert.is(status, 0)
  const lines = out.trimEnd().split('\n')
  assert.is(lines.length, everyRecord.length + 6)
  assert.match(lines[0]!, /^\{"file":".*0000000001\.journal","offset":40,"record":\{"type":"session-opened"/)
  assert.is((await readBack(directory)).length, lines.length)
})

test('what export tells, import makes a store of that means the same', async () => {
  const directory = await filled()
  const exported = martletStore(['export', directory])
  assert.is(exported.status, 0)
  const copy = freshDirectory()
  const imported = martletStore(['import', copy], exported.out)
  assert.is(imported.complaint, '')
  assert.is(imported.status, 0)
  const [before, after] = [await readBack(directory), await readBack(copy)]
  assert.equal(new Model(after).state(), new Model(before).state())
  assert.is(after.filter(({ type }) => type === 'message-stored').length, 1)
  const again = martletStore(['import', copy], exported.out)
  assert.is(again.status, 1)
  assert.match(again.complaint, 'holds a store already')
})

test('import names the line that is no record', () => {
  const { status, complaint } = martletStore(
    ['import', freshDirectory()],
    '{"type":"will-removed","clientId":"a"}\n{"a":1}\n',
  )
  assert.is(status, 1)
  assert.is(complaint, 'Error: line 2: not a record\n')
})

test('import says which line is wrong and why, leaves no half store, and can be tried again', () => {
  const good = '{"type":"session-opened","clientId":"a","protocolVersion":4,"expiryInterval":null}'
  const directory = freshDirectory()
  const lines = [good, '', '{"type":"message-stored","message":1}', good]
  const { status, complaint } = martletStore(['import', directory], lines.join('\n'))
  assert.is(status, 1)
  assert.is(complaint, 'Error: line 3: message-stored: topicName is not a text\n')
  assert.equal(readdirSync(directory), [])
  assert.is(martletStore(['import', directory], `${good}\n`).status, 0)
})

test('compact leaves one checkpoint that means the same', async () => {
  const directory = await filled()
  const before = await readBack(directory)
  assert.is(martletStore(['compact', directory]).status, 0)
  assert.equal(readdirSync(directory), ['0000000001.checkpoint'])
  assert.equal(new Model(await readBack(directory)).state(), new Model(before).state())
  assert.is(martletStore(['compact', directory]).status, 0)
})

test('compact leaves a store alone that a broker has, and says who has it', async () => {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  await store.commit([session()])
  const { status, complaint } = martletStore(['compact', directory])
  assert.is(status, 1)
  assert.match(complaint, `(process ${process.pid})`)
  await store.close()
})

test('a directory that is not there is told, not thrown', () => {
  const { status, complaint } = martletStore(['check', '/nowhere/at/all'])
  assert.is(status, 1)
  assert.is(complaint, 'Error: there is no /nowhere/at/all (ENOENT)\n')
})

test('a folder without a store is not called sound', () => {
  const directory = freshDirectory()
  mkdirSync(directory)
  const { status, complaint } = martletStore(['check', directory])
  assert.equal([status, complaint], [1, `Error: there is no store in ${directory}\n`])
})

test('output that cannot be written is told, not thrown', () => {
  const full = openSync('/dev/full', 'w')
  const { status, stderr } = spawnSync(process.execPath, [MAIN, '--help'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  })
  closeSync(full)
  assert.is(status, 1)
  assert.match(stderr, /^Error: the output cannot be written \(ENOSPC[^\n]*\n$/)
})

test('a word that is none is refused with the code for wrong arguments', () => {
  assert.is(martletStore(['polish', 'x']).status, 3)
})

test.run()
