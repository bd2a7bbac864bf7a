// One process a directory, whatever the one before left behind.

import { spawn } from 'node:child_process'
import { cpSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DirectoryLock } from '../../src/store/journal/lock.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import { freshDirectory, opened, readBack, session } from './support.ts'

function refusalOf(directory: string): Promise<Error & { reason?: string }> {
  return new JournalStore({ directory }).open().then(
    () => assert.unreachable('it was opened'),
    (error) => error,
  )
}

function directoryMade(): string {
  const directory = freshDirectory()
  mkdirSync(directory)
  return directory
}

test('a second store on the directory is refused, and told by name and number who has it', async () => {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  const refusal = await refusalOf(directory)
  assert.is(refusal.reason, 'locked')
  const name = readFileSync('/proc/self/comm', 'utf8').trim()
  assert.is(refusal.message, `${directory} is in use by ${name} (process ${process.pid})`)
  await store.close()
  assert.equal(await readBack(directory), [])
})

test('the lock of a process that was killed does not keep the next one out', async () => {
  const directory = directoryMade()
  const script = `
    const { DirectoryLock } = await import(${JSON.stringify(new URL('../../src/store/journal/lock.js', import.meta.url).href)})
    await DirectoryLock.take(${JSON.stringify(directory)})
    console.log('taken')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const refusal = await refusalOf(directory)
  assert.match(refusal.message, `(process ${child.pid})`)
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  assert.equal(await readBack(directory), [])
})

test('a process with the number of the one that left the lock is not taken for it', async () => {
  const directory = directoryMade()
  const lock = await DirectoryLock.take(directory)
  const { readlinkSync, rmSync } = await import('node:fs')
  const target = readlinkSync(join(directory, 'lock'))
  lock.release()
  rmSync(join(directory, 'lock'), { force: true })
  symlinkSync(target.replace(/^martlet:(\d+):\d+:/, 'martlet:$1:1:'), join(directory, 'lock'))
  assert.equal(await readBack(directory), [])
})

test('a lock of another container counts while its time moves, and no longer', async () => {
  const directory = directoryMade()
  const path = join(directory, 'lock')
  const { readlinkSync, lutimesSync, rmSync } = await import('node:fs')
  const own = await DirectoryLock.take(directory)
  const foreign = readlinkSync(path).replace(/:(\w+):(\w+)$/, ':deadbeef:$2')
  own.release()
  symlinkSync(foreign, path)
  let time = 1_700_000_000
  const heartbeat = setInterval(() => lutimesSync(path, ++time, time), 1)
  const refused = await DirectoryLock.take(directory, { watch: 50 }).catch((error) => error.reason)
  clearInterval(heartbeat)
  assert.is(refused, 'locked')
  const lock = await DirectoryLock.take(directory, { watch: 1 })
  lock.release()
  assert.is(lstatSync(path, { throwIfNoEntry: false }), undefined)
  rmSync(path, { force: true })
})

test('a copy of a directory in use is free', async () => {
  const directory = freshDirectory()
  const store = await opened(new JournalStore({ directory }))
  await store.commit([session()])
  const copy = freshDirectory()
  cpSync(directory, copy, { recursive: true, verbatimSymlinks: true })
  assert.equal(await readBack(copy), [session()])
  await store.close()
})

test('something else under the name of the lock is no lock', async () => {
  const directory = directoryMade()
  writeFileSync(join(directory, 'lock'), '')
  assert.equal(await readBack(directory), [])
})

test('who stood still and was taken for dead finds out, and stores nothing where another does now', async () => {
  const directory = freshDirectory()
  const told: string[] = []
  let noticed = (): void => {}
  const lost = new Promise<void>((resolve) => {
    noticed = resolve
  })
  const store = await opened(
    new JournalStore({
      directory,
      lockCheck: 5,
      onEvent: ({ text }) => {
        told.push(text)
        noticed()
      },
    }),
  )
  await store.commit([session()])
  const { readlinkSync, rmSync } = await import('node:fs')
  const path = join(directory, 'lock')
  const other = readlinkSync(path).replace(/^martlet:\d+/, 'martlet:1')
  rmSync(path)
  symlinkSync(other, path)
  const awake = setInterval(() => {}, 1000) // the lock's own timer keeps nobody awake
  await lost
  clearInterval(awake)
  assert.equal(told, [`${directory} was taken over by another process: nothing is stored there any more`])
  const refusal = await store.commit([session('late')]).then(
    () => assert.unreachable(),
    (error) => error,
  )
  assert.is(refusal.reason, 'locked')
  assert.is(store.refusal, refusal)
  await store.close()
  assert.is(readlinkSync(path), other, 'the lock of the other stays')
  rmSync(path)
  assert.equal(await readBack(directory), [session()])
})

test.run()
