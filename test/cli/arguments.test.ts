import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Invocation, parseArguments } from '../../src/cli/arguments.ts'
import type { Command } from '../../src/cli/commands.ts'

const command: Command = { name: 'conformance', summary: 'judges', run: async () => 0 }
const parsed = (...args: string[]): Invocation => parseArguments(args, '1.2.3', [command])
const served = (...args: string[]) => {
  const invocation = parsed(...args)
  assert.is(invocation.kind, 'serve')
  return (invocation as Invocation & { kind: 'serve' }).options
}
const answered = (...args: string[]) => {
  const invocation = parsed(...args)
  assert.is(invocation.kind, 'answer')
  return invocation as Invocation & { kind: 'answer' }
}

test('Mosquitto’s flags are taken, short and long', () => {
  assert.equal(served('-c', 'm.conf', '-p', '1884', '-p', '1885', '-d', '-v'), {
    configFile: 'm.conf',
    port: [1884, 1885],
    daemon: true,
    verbose: true,
    quiet: false,
    testConfig: false,
  })
  const long = served('--config-file', 'm.conf', '--port', '1', '--daemon', '--verbose', '--quiet', '--test-config')
  assert.equal([long.configFile, long.daemon, long.quiet, long.testConfig], ['m.conf', true, true, true])
})

test('without arguments it serves', () => {
  assert.equal(served(), { port: [], daemon: false, verbose: false, quiet: false, testConfig: false })
})

test('--config takes YAML, and not together with -c', () => {
  assert.is(served('--config', 'm.yaml').config, 'm.yaml')
  assert.is(answered('--config', 'm.yaml', '-c', 'm.conf').exitCode, 3)
})

test('a port outside 1 to 65535 is refused with Mosquitto’s words and exit code', () => {
  for (const port of ['0', '65536', '-1', 'abc', '1883x', '']) {
    const { exitCode, complaint } = answered(`--port=${port}`)
    assert.equal([exitCode, complaint], [3, `Error: Invalid port specified (${port}).\n`])
  }
})

test('an unknown flag is answered with a message, the usage and exit code 3', () => {
  const { exitCode, complaint, output } = answered('--frobnicate')
  assert.is(exitCode, 3)
  assert.is(output, '')
  assert.match(complaint, /^Error: unknown option '--frobnicate'\n\nUsage: martlet/)
})

test('a flag without its value and a stray word are refused', () => {
  assert.is(answered('-c').exitCode, 3)
  const { exitCode, complaint } = answered('stray')
  assert.equal(
    [exitCode, complaint],
    [3, "Error: there is no command 'stray'. The commands are conformance; martlet --help says more.\n"],
  )
  assert.match(answered('conformence').complaint, /Did you mean conformance\?/)
})

test('help is --help, of a command too', () => {
  assert.is(answered('help').output, answered('--help').output)
  const invocation = parsed('help', 'conformance')
  assert.equal((invocation as Invocation & { kind: 'command' }).args, ['--help'])
})

test('--help says how signals are taken, what exit codes mean and where the documentation is', () => {
  assert.match(answered('--help').output, /SIGHUP.*Exit codes: 0.*Documentation: \/.*docs\//s)
})

test('--help and --version answer on standard output with exit code 0', () => {
  assert.match(answered('-h').output, /Usage: martlet.*--config-file.*conformance/s)
  assert.equal([answered('--version').output, answered('--version').exitCode], ['martlet version 1.2.3\n', 0])
})

test('a subcommand gets its words untouched, flags and --help included', () => {
  const invocation = parsed('conformance', '--target', 'localhost:1883', '-v', '--help', 'x')
  assert.is(invocation.kind, 'command')
  assert.equal((invocation as Invocation & { kind: 'command' }).args, [
    '--target',
    'localhost:1883',
    '-v',
    '--help',
    'x',
  ])
})

test.run()
