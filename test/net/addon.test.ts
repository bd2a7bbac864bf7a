// An installation without a compiled addon: what its user is told.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { repositoryRoot } from '../support/target.ts'

test('without the compiled reactor the command says how to get it, in one line', () => {
  const empty = mkdtempSync(join(tmpdir(), 'martlet-addon-'))
  const { status, stderr } = spawnSync(process.execPath, [join(repositoryRoot, 'bin/martlet.js'), '-p', '1'], {
    env: { ...process.env, MARTLET_PREBUILD: empty },
    encoding: 'utf8',
  })
  rmSync(empty, { recursive: true })
  assert.is(status, 1)
  assert.match(stderr, /^Error: the native reactor is not there: .*npm rebuild martlet.*g\+\+[^\n]*\n$/)
})

test.run()
