// The command line: Mosquitto's flags with Mosquitto's answers to wrong ones, and subcommands by name.
// Parses only; touches no file and no process state.

import { fileURLToPath } from 'node:url'
import { CommanderError, Option, Command as Parser } from 'commander'
import { suggestion } from '../config/names.ts'
import type { Command } from './commands.ts'
import { ExitCode } from './exit-code.ts'

/** What the arguments ask for. */
export type Invocation =
  | { readonly kind: 'serve'; readonly options: ServeOptions }
  | { readonly kind: 'command'; readonly command: Command; readonly args: readonly string[] }
  | { readonly kind: 'answer'; readonly exitCode: ExitCode; readonly output: string; readonly complaint: string }

export interface ServeOptions {
  /** mosquitto.conf */
  readonly configFile?: string
  /** martlet.yaml */
  readonly config?: string
  readonly port: readonly number[]
  readonly daemon: boolean
  readonly verbose: boolean
  readonly quiet: boolean
  readonly testConfig: boolean
}

/** What is wrong with an argument, and nothing else to say about it. */
class ArgumentError extends Error {}

export function parseArguments(args: readonly string[], version: string, commands: readonly Command[]): Invocation {
  let output = ''
  let complaint = ''
  let invocation: Invocation | undefined
  const parser = serveParser(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        output += text
      },
      writeErr: (text) => {
        complaint += text.replace(/^error: /, 'Error: ')
      },
    })
    .action((given: Partial<ServeOptions>) => {
      const [stray] = parser.args
      if (stray !== undefined) throw new ArgumentError(noCommand(stray, commands))
      const options = { port: [], daemon: false, verbose: false, quiet: false, testConfig: false, ...given }
      invocation = { kind: 'serve', options }
    })
  for (const command of commands) {
    addCommand(parser, command, (args) => {
      invocation = { kind: 'command', command, args }
    })
  }
  try {
    parser.parse(helpAsFlag(args), { from: 'user' })
  } catch (error) {
    if (error instanceof ArgumentError) complaint = `${error.message}\n`
    else if (!(error instanceof CommanderError)) throw error
    else if (error.exitCode === 0) return { kind: 'answer', exitCode: ExitCode.Fine, output, complaint: '' }
    else complaint = `${complaint}\n${parser.helpInformation()}`
    return { kind: 'answer', exitCode: ExitCode.Invalid, output: '', complaint }
  }
  if (invocation === undefined) throw new Error('the parser chose no action')
  return invocation
}

/** `martlet help` and `martlet help ping` are `martlet --help` and `martlet ping --help`. */
function helpAsFlag(args: readonly string[]): string[] {
  const [first, ...rest] = args
  return first === 'help' ? [...rest, '--help'] : [...args]
}

function noCommand(word: string, commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name)
  const advice = suggestion(word, names) ?? `The commands are ${names.join(', ')}; martlet --help says more.`
  return `Error: there is no command '${word}'. ${advice}`
}

function serveParser(version: string): Parser {
  return new Parser('martlet')
    .description('An MQTT broker.')
    .usage('[options]\n       martlet COMMAND [options]')
    .option('-c, --config-file <file>', 'read a mosquitto.conf')
    .addOption(new Option('--config <file>', 'read a martlet.yaml').conflicts('configFile'))
    .option('-p, --port <port>', 'listen on this port of this machine only; repeatable', onePort)
    .option('-d, --daemon', 'run in the background; only a log_dest that is a file has the log then')
    .option('-v, --verbose', 'log everything')
    .option('-q, --quiet', 'log nothing; wins over --verbose')
    .option('--test-config', 'check the configuration file and end')
    .helpOption('-h, --help', 'show this')
    .version(`martlet version ${version}`, '--version', 'show the version')
    .helpCommand(false)
    .enablePositionalOptions()
    .allowExcessArguments(true)
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText('after', MORE)
}

const MORE = `
Without a configuration it listens on 127.0.0.1 and ::1, port 1883, for this machine only, and keeps nothing.
MARTLET_<KEY> in the environment is a setting too, such as MARTLET_LOG_LEVEL=debug. martlet COMMAND --help says more.

Signals: SIGTERM and SIGINT close in order, SIGHUP reads configuration and certificates again and reopens log files.
Exit codes: 0 closed in order, 1 could not start or go on, 3 wrong arguments or configuration.
Documentation: ${fileURLToPath(new URL('../../../docs/', import.meta.url))}`

/** A subcommand parses its own arguments, `--help` included. */
function addCommand(parser: Parser, command: Command, chosen: (args: readonly string[]) => void): void {
  parser
    .command(command.name)
    .description(command.summary)
    .argument('[args...]')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action((args: string[]) => chosen(args))
}

function onePort(word: string, ports: readonly number[] = []): number[] {
  const port = /^\d+$/.test(word) ? Number(word) : 0
  if (port < 1 || port > 65535) throw new ArgumentError(`Error: Invalid port specified (${word}).`)
  return [...ports, port]
}
