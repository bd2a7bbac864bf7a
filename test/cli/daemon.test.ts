import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
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

test('a daemon serves after its parent has ended, and ends at SIGTERM', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'martlet-daemon-'))
  const [config, log, pidFile] = ['martlet.yaml', 'martlet.log', 'martlet.pid'].map((name) => join(folder, name))
  const settings = ['listeners: [{ port: 0, host: 127.0.0.1 }]', `pid_file: ${pidFile}`, `log_dest: ["file ${log}"]`]
  writeFileSync(config!, settings.join('\n'))
  try {
    assert.is(martlet('--daemon', '--config', config!).status, 0)
    const pid = Number(readFileSync(pidFile!, 'utf8'))
    try {
      const text = await until(() => readFileSync(log!, 'utf8'), /listening on 127\.0\.0\.1:\d+/)
      const port = /127\.0\.0\.1:(\d+)/.exec(text)?.[1] ?? ''
      assert.is(martlet('ping', '-p', port).status, 0)
    } finally {
      process.kill(pid, 'SIGTERM')
    }
    await until(() => String(existsSync(pidFile!)), /false/)
    await until(() => String(isRunning(pid)), /false/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Looks again every turn of the loop until the text matches; the runner's deadline is the limit. */
const until = async (look: () => string, pattern: RegExp): Promise<string> => {
  for (;;) {
    const text = look()
    if (pattern.test(text)) return text
    await new Promise((settle) => setImmediate(settle))
  }
}

test('--test-config checks a file and ends', () => {
  assert.is(martlet('--test-config').status, 3)
  assert.equal([martlet('--test-config', '-c', '/dev/null').status, martlet('--test-config', '-c', '/').status], [0, 3])
})

test('the command answers --version', () => {
  assert.match(martlet('--version').stdout, /^martlet version \d+\.\d+\.\d+\n$/)
})

test.run()
