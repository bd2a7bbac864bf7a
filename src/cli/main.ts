// The `martlet` command: arguments in, a running broker, a subcommand or an answer out. Sets the exit code.

import { type Invocation, parseArguments } from './arguments.ts'
import { commands } from './commands.ts'
import { daemonize } from './daemon.ts'
import { ExitCode } from './exit-code.ts'
import { serve, testConfiguration } from './serve.ts'
import { version } from './version.ts'

/** Runs the command with the words after `martlet`. Resolves when it has ended, or when the broker has. */
export async function main(args: readonly string[]): Promise<void> {
  process.stdout.on('error', unwritten)
  process.stderr.on('error', () => {}) // nobody is left to tell
  const exitCode = await run(parseArguments(args, version, commands), args)
  process.exitCode = process.exitCode || exitCode
}

/** A reader who has seen enough (`| head`) may leave; nothing else may be lost without a word. */
function unwritten(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return
  process.exitCode = ExitCode.Failed
  process.stderr.write(`Error: the output cannot be written (${error.message}).\n`)
}

async function run(invocation: Invocation, args: readonly string[]): Promise<number> {
  switch (invocation.kind) {
    case 'answer':
      process.stdout.write(invocation.output)
      process.stderr.write(invocation.complaint)
      return invocation.exitCode
    case 'command':
      return await invocation.command.run(invocation.args)
    case 'serve': {
      const { options } = invocation
      if (options.testConfig) return testConfiguration(options)
      if (options.daemon && process.env.MARTLET_DAEMON === undefined) return await daemonize(args)
      return await serve(options, version)
    }
    default:
      return invocation satisfies never
  }
}

export { ExitCode }
