// `martlet store check|dump|compact|export|import DIR`: a durable store looked at and worked on while no broker needs it.
// Reading takes no lock and changes nothing. Records are JSON lines.

import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { CommanderError, Command as Parser } from 'commander'
import type { JournalRecord } from '../../store/journal-record.ts'
import {
  checkStore,
  compactStore,
  dumpStore,
  exportStore,
  fromJson,
  importStore,
  type TellDamage,
  toJson,
} from '../../store/journal-tools.ts'
import { StoreError } from '../../store/store-error.ts'
import type { Command } from '../commands.ts'
import { complain } from '../complain.ts'
import { ExitCode } from '../exit-code.ts'

export const store: Command = {
  name: 'store',
  summary: 'check, dump, compact, export or import a durable store',
  async run(args) {
    let exitCode: number = ExitCode.Fine
    const does = (action: (directory: string) => number | Promise<number>) => async (directory: string) => {
      exitCode = await action(directory)
    }
    const parser = new Parser('martlet store')
      .description('Looks at a store, or works on one that no broker has. docs/store.md says what the records mean.')
      .helpOption('--help', 'show this')
      .helpCommand(false)
      .configureOutput({ writeErr: complain })
      .exitOverride()
    const add = (name: string, what: string, action: (directory: string) => number | Promise<number>): void => {
      parser.command(`${name} <directory>`).description(what).exitOverride().action(does(action))
    }
    add('check', 'read everything; exit 1 if something that was stored cannot be read', check)
    add('dump', 'every record there is, dead or alive, with file and offset, as JSON lines', dump)
    add('export', 'what is alive, as JSON lines that `import` takes', exportLines)
    add('import', 'fill a new store with the JSON lines of standard input', importLines)
    add('compact', 'rewrite the store so that only what is alive is left', compactNow)
    try {
      await parser.parseAsync([...args], { from: 'user' })
      return exitCode
    } catch (error) {
      if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Fine : ExitCode.Invalid
      if (!isExpected(error)) throw error
      process.stderr.write(`Error: ${explained(error as NodeJS.ErrnoException)}\n`)
      return ExitCode.Failed
    }
  },
}

/** The store's or the operator's fault, not ours: its message says it all. */
function isExpected(error: unknown): boolean {
  return (
    error instanceof StoreError || error instanceof SyntaxError || (error as NodeJS.ErrnoException).code !== undefined
  )
}

function explained({ code, path, message }: NodeJS.ErrnoException): string {
  if (path === undefined) return message
  if (code === 'ENOENT') return `there is no ${path} (ENOENT)`
  return code === 'ENOTDIR' ? `${path} is no directory (ENOTDIR)` : message
}

function check(directory: string): number {
  const { files, records, tornTail, damage } = checkStore(directory)
  if (files.length === 0 && damage.length === 0) throw new StoreError('absent', `there is no store in ${directory}`)
  const out = (line: string): boolean => process.stdout.write(`${line}\n`)
  for (const file of files) out(`${file.path}: ${file.bytes} bytes, ${file.records} records`)
  for (const [type, count] of Object.entries(records)) out(`${type}: ${count}`)
  if (tornTail !== undefined)
    out(`the last commit was cut short by a crash (nobody was told it was stored): ${tornTail}`)
  for (const sentence of damage) out(`damaged: ${sentence}`)
  out(damage.length === 0 ? 'the store is sound' : 'the store is damaged; a broker starts with what can be read')
  return damage.length === 0 ? ExitCode.Fine : ExitCode.Failed
}

function dump(directory: string): Promise<number> {
  return printWhole((tell) => dumped(directory, tell))
}

function* dumped(directory: string, tell: TellDamage): Generator<string, void> {
  for (const { path, offset, record } of dumpStore(directory, tell))
    yield `{"file":${JSON.stringify(path)},"offset":${offset},"record":${toJson(record)}}`
}

function exportLines(directory: string): Promise<number> {
  return printWhole((tell) => exported(directory, tell))
}

function* exported(directory: string, tell: TellDamage): Generator<string, void> {
  for (const record of exportStore(directory, tell)) yield toJson(record)
}

/** Prints the lines; the exit code says whether anything had to be left out of them, standard error what. */
async function printWhole(lines: (tell: TellDamage) => Iterable<string>): Promise<number> {
  let isWhole = true
  const printed = await print(
    lines((sentence) => {
      isWhole = false
      process.stderr.write(`left out, damaged: ${sentence}\n`)
    }),
  )
  return isWhole ? printed : ExitCode.Failed
}

async function importLines(directory: string): Promise<number> {
  const count = await importStore(directory, recordsOf(process.stdin))
  process.stdout.write(`${count} records imported\n`)
  return ExitCode.Fine
}

async function compactNow(directory: string): Promise<number> {
  const result = await compactStore(directory, ({ text }) => process.stderr.write(`${text}\n`))
  const outcome =
    result === undefined ? 'nothing is stored' : `${result.records} records, ${result.checkpoint.end} bytes`
  process.stdout.write(`${outcome}\n`)
  return ExitCode.Fine
}

async function* recordsOf(input: NodeJS.ReadableStream): AsyncGenerator<JournalRecord, void> {
  let number = 0
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    number++
    if (line.trim() === '') continue
    try {
      yield fromJson(line)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      throw new SyntaxError(`line ${number}: ${error.message}`)
    }
  }
}

/**
 * Prints the lines as fast as they are read, and asks for no more than that: a store may be larger than memory. A reader who
 * has seen enough (`| head`) may leave.
 */
async function print(lines: Iterable<string>): Promise<number> {
  const { stdout } = process
  let failure: NodeJS.ErrnoException | undefined
  stdout.on('error', (error) => {
    failure = error
  })
  for (const line of lines) {
    if (!stdout.write(`${line}\n`)) await once(stdout, 'drain').catch(() => {}) // the listener above has the error
    if (failure !== undefined) break
  }
  return failure === undefined || failure.code === 'EPIPE' ? ExitCode.Fine : ExitCode.Failed // main.ts says why
}
