import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeDirectory } from '../../src/store/journal/file-io.ts'

const ground = mkdtempSync(join(tmpdir(), 'martlet-directory-'))
test.after(() => rmSync(ground, { recursive: true }))

test('directories that are missing are made, and are nobody else’s to read', () => {
  const directory = join(ground, 'a', 'b', 'c')
  makeDirectory(directory)
  makeDirectory(directory)
  assert.is(statSync(directory).mode & 0o777, 0o750)
})

test('a file in the way is an error', () => {
  const file = join(ground, 'file')
  writeFileSync(file, '')
  assert.throws(() => makeDirectory(file), /EEXIST/)
  assert.throws(() => makeDirectory(join(file, 'below')), /ENOTDIR/)
})

test('a file system that takes no directories is an error, too, and not a loop without end', () => {
  assert.throws(() => makeDirectory('/proc/martlet/data'), /ENOENT/)
  assert.not.ok(existsSync('/proc/martlet'))
})

test.run()
