// The example of docs/embedding.md with a JournalStore of the program's own does what it says, as it stands there.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { repositoryRoot } from '../support/target.ts'
import { freshDirectory, readBack } from './support.ts'

test('a program that hands over its own JournalStore finds on disk what it published', async () => {
  const text = readFileSync(join(repositoryRoot, 'docs/embedding.md'), 'utf8')
  const example = /```js\n([^`]*new JournalStore[\s\S]*?)```/.exec(text)?.[1]
  assert.ok(example, 'the example is gone')
  const cwd = freshDirectory()
  mkdirSync(cwd)
  // Inside the package, so that its name means this one.
  const folder = mkdtempSync(join(repositoryRoot, 'dist', 'example-'))
  try {
    writeFileSync(join(folder, 'example.mjs'), example)
    for (let times = 0; times < 2; times++) {
      const output = execFileSync(process.execPath, [join(folder, 'example.mjs')], { cwd, encoding: 'utf8' })
      assert.match(output, /^2 records stored\n$/)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const records = await readBack(join(cwd, 'data'))
  const retained = records.filter(({ type }) => type === 'retained-set')
  assert.ok(retained.length > 0)
})

test.run()
