import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const MARTLET = join(resolve(import.meta.dirname, '..', '..', '..'), 'bin', 'martlet.js')

const martlet = (...args: string[]) => spawnSync(process.execPath, [MARTLET, ...args], { encoding: 'utf8' })

test('a daemon that cannot start says why to the terminal, with its exit code', () => {
  const { status, stderr } = martlet('-d', '-c', '/nonexistent/mosquitto.conf')
  assert.is(status, 3)
  assert.match(stderr, /\/nonexistent\/mosquitto\.conf.*ENOENT/)
})

test('--test-config checks a file and ends', () => {
  assert.is(martlet('--test-config').status, 3)
  assert.equal([martlet('--test-config', '-c', '/dev/null').status, martlet('--test-config', '-c', '/').status], [0, 3])
})

test('the command answers --version', () => {
  assert.match(martlet('--version').stdout, /^martlet version \d+\.\d+\.\d+\n$/)
})

test.run()
