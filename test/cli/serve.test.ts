import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const FAKE = join(import.meta.dirname, 'support', 'fake-broker.js')
let folder = ''
const children = new Set<ChildProcess>()

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'martlet-serve-'))
})
test.after.each(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
  rmSync(folder, { recursive: true })
})

class Command {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown[]>
  output = ''
  #look: () => void = () => {}

  constructor(behaviour: string, args: readonly string[]) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MARTLET_')))
    this.#child = spawn(process.execPath, [FAKE, ...args, behaviour], { stdio: ['ignore', 'pipe', 'pipe'], env })
    children.add(this.#child)
    this.#ended = once(this.#child, 'close')
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (text) => {
        this.output += text
        this.#look()
      })
    }
  }

  /** The first line that matches. */
  line(pattern: RegExp): Promise<string> {
    return new Promise((settle, fail) => {
      this.#look = () => {
        const line = this.output.split('\n').find((text) => pattern.test(text))
        if (line !== undefined) settle(line)
      }
      this.#look()
      void this.#ended.then(() => fail(new Error(`it ended without ${pattern}:\n${this.output}`)))
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async exitCode(): Promise<number | null> {
    await this.#ended
    return this.#child.exitCode
  }
}

const yaml = (text = ''): string => {
  const file = join(folder, 'martlet.yaml')
  writeFileSync(file, `listeners: [{ port: 0, host: 127.0.0.1 }]\n${text}`)
  return file
}
const started = async (behaviour: string, text = ''): Promise<Command> => {
  const command = new Command(behaviour, ['--config', yaml(text)])
  await command.line(/listening on/)
  return command
}

test('the banner stands on one line with a port that is open', async () => {
  const command = await started('fine')
  assert.match(await command.line(/listening/), /INFO {2}Martlet 0\.0\.0 listening on 127\.0\.0\.1:\d+ \(pid \d+, /)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
})

test('SIGINT closes too, and leaves nothing open', async () => {
  const command = await started('fine')
  command.kill('SIGINT')
  assert.is(await command.exitCode(), 0)
  assert.not.match(command.output, /still open/)
})

test('a second signal ends a close that is stuck, at once', async () => {
  const command = await started('stuck')
  command.kill('SIGTERM')
  await command.line(/closing/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.match(command.output, /second signal/)
})

test('a close that never ends is cut off', async () => {
  const command = await started('stuck')
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.match(command.output, /closing took too long/)
})

test('a handle left open does not keep the process, and is named', async () => {
  const command = await started('leaky')
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.match(command.output, /still open at the end: .*Timeout/)
})

test('a port in use is one line and exit code 1', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const file = join(folder, 'taken.yaml')
  writeFileSync(file, `listeners: [{ port: ${port}, host: 127.0.0.1 }]\nallow_anonymous: true\n`)
  const command = new Command('fine', ['--config', file])
  assert.is(await command.exitCode(), 1)
  assert.match(command.output, new RegExp(`^Error: 127\\.0\\.0\\.1:${port} is in use already\\.[^\\n]*\\n$`))
  taken.close()
})

test('a wrong configuration is exit code 3, with file and line', async () => {
  const command = new Command('fine', ['--config', yaml('max_keepalive: many\n')])
  assert.is(await command.exitCode(), 3)
  assert.match(command.output, /martlet\.yaml:2: max_keepalive = 'many'.*\nError found at .*martlet\.yaml:2\.\n$/)
})

test('files that the system refuses are wrong configuration: exit code 3, file, line, key and value', async () => {
  for (const [key, value] of [
    ['pid_file', '/nowhere/martlet.pid'],
    ['log_dest', 'file /nowhere/martlet.log'],
  ]) {
    const command = new Command('fine', ['--config', yaml(`${key}: ${value}\n`)])
    assert.is(await command.exitCode(), 3, key)
    assert.match(command.output, new RegExp(`martlet\\.yaml:2: ${key} = '${value}': .*ENOENT.*\nError found at`))
  }
})

test('a signal during the start ends it at once, and SIGHUP does not', async () => {
  const command = new Command('slow', ['--config', yaml()])
  await command.line(/starting/)
  command.kill('SIGHUP')
  await command.line(/signal ignored during the start/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.match(command.output, /SIGTERM during the start/)
})

test('a broker that nobody can connect to says so at the start', async () => {
  const command = await started('fine', '')
  await command.line(/WARN .*nobody can connect: allow_anonymous is false/)
  command.kill('SIGTERM')
  await command.exitCode()
  const open = await started('fine', 'allow_anonymous: true\n')
  open.kill('SIGTERM')
  await open.exitCode()
  assert.not.match(open.output, /nobody can connect/)
})

test('SIGHUP applies what can be applied, and says what needs a restart', async () => {
  const command = await started('fine')
  yaml('log_level: debug\nmax_connections: 7\n')
  command.kill('SIGHUP')
  await command.line(/server reloaded/)
  await command.line(/need a restart {2}settings=.*max_connections/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
})

test('SIGHUP with a wrong file keeps the running configuration', async () => {
  const command = await started('fine')
  yaml('log_level: loud\n')
  command.kill('SIGHUP')
  await command.line(/ERROR .*log_level.*The running configuration stays/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
})

test('what needs a restart is said at each SIGHUP, until the file says again what runs', async () => {
  const command = await started('fine')
  const reload = async (text: string): Promise<string> => {
    yaml(text)
    command.output = ''
    command.kill('SIGHUP')
    await command.line(/configuration read again/)
    command.kill('SIGUSR1')
    await command.line(/signal ignored/)
    return command.output
  }
  assert.match(await reload('max_connections: 7\n'), /need a restart {2}settings=.*max_connections/)
  assert.match(await reload('max_connections: 7\n'), /need a restart {2}settings=.*max_connections/)
  assert.not.match(await reload(''), /need a restart/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
})

test('the pid file of a new configuration is nobody’s to remove before a restart', async () => {
  const [ours, theirs] = [join(folder, 'ours.pid'), join(folder, 'theirs.pid')]
  const command = await started('stuck', `pid_file: ${ours}\n`)
  writeFileSync(theirs, '1\n')
  yaml(`pid_file: ${theirs}\n`)
  command.kill('SIGHUP')
  await command.line(/need a restart {2}settings=.*pid_file/)
  command.kill('SIGTERM')
  await command.line(/closing/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.equal([existsSync(ours), existsSync(theirs)], [false, true])
})

test('SIGUSR1 and SIGUSR2 end nothing and open no debugger', async () => {
  const command = await started('fine')
  command.kill('SIGUSR1')
  await command.line(/signal ignored {2}signal=SIGUSR1/)
  command.kill('SIGUSR2')
  await command.line(/signal ignored {2}signal=SIGUSR2/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.not.match(command.output, /Debugger/)
})

test('the pid file is there while it serves', async () => {
  const file = join(folder, 'martlet.pid')
  const command = await started('fine', `pid_file: ${file}\n`)
  assert.match(readFileSync(file, 'utf8'), /^\d+\n$/)
  command.kill('SIGTERM')
  await command.exitCode()
  assert.is(existsSync(file), false)
})

test('a log file gets the log', async () => {
  const file = join(folder, 'martlet.log')
  const command = new Command('fine', ['--config', yaml(`log_dest: [stderr, file ${file}]\nlog_format: json\n`)])
  await command.line(/listening/)
  command.kill('SIGTERM')
  assert.is(await command.exitCode(), 0)
  assert.match(readFileSync(file, 'utf8'), /"msg":"Martlet 0\.0\.0 listening/)
})

test.run()
