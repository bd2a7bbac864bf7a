// npm run bench: measures brokers in shapes and prints tables. It judges brokers from outside, over their sockets and
// what the kernel counted, so it imports nothing of Martlet's.
import { statfsSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, tmpdir } from 'node:os'
import { Command, InvalidArgumentError } from 'commander'
import { type Broker, findBroker } from './brokers.ts'
import { measureShape, type Row, type Step } from './campaign.ts'
import { compile } from './compile.ts'
import { whyNoCounter } from './instructions.ts'
import { report } from './report.ts'
import { chooseShapes, shapes } from './shapes.ts'
import { judge } from './verdict.ts'

interface CommandLine {
  readonly broker: readonly string[]
  readonly runs: number
  readonly secs: number
  readonly v5: boolean
  readonly instructions: boolean
  readonly json: boolean
  readonly markdown: boolean
  readonly check: boolean
}

const usualBrokers = ['martlet', 'floor', 'mosquitto']

const program = new Command('bench')
  .description(
    'Measures MQTT brokers: CPU per delivered message, goodput, latency, memory. The first broker is judged.',
  )
  .argument('[shapes...]', `${shapes.map((shape) => shape.name).join(', ')}, all`)
  .option('--broker <list>', 'brokers, or NAME=COMMAND with {port} in it; may be repeated', collectBrokers, [])
  .option('--runs <n>', 'runs of each shape and broker', positive, 5)
  .option('--secs <t>', 'seconds measured in each run', positive, 3)
  .option('--v5', 'MQTT 5 instead of 3.1.1', false)
  .option('--instructions', 'count instructions of a fixed number of messages instead of CPU time', false)
  .option('--json', 'print all figures of all runs as JSON', false)
  .option('--markdown', 'print the tables as Markdown', false)
  .option('--check', 'exit with status 1 when a target is not met', false)

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('not a number above 0')
  return value
}

// A command may contain commas, a list of names is separated by them.
function collectBrokers(text: string, before: readonly string[]): string[] {
  return [...before, ...(text.includes('=') ? [text] : text.split(','))]
}

async function main(): Promise<number> {
  program.parse()
  const options = program.opts<CommandLine>()
  let chosen = chooseShapes(program.args)
  if (options.instructions) {
    const why = whyNoCounter()
    if (why !== undefined) throw new Error(`--instructions: ${why}`)
    chosen = chosen.filter((shape) => shape.countedMessages > 0)
  }
  const programs = await compile()
  const brokers = await findBrokers(options.broker, programs.floor)
  if (brokers.some(({ name }) => /-(fsync|os|none|disk)$/.test(name)) && inMemory(tmpdir()))
    console.error(`${tmpdir()} is in memory, where a sync costs nothing: set TMPDIR to a folder on a disk`)
  const before = loadavg()[0]!
  const rows: Row[] = []
  for (const shape of chosen) {
    const { runs, secs: seconds, v5: mqtt5, instructions } = options
    rows.push(await measureShape(shape, brokers, { load: programs.load, runs, seconds, mqtt5, instructions, progress }))
  }
  const subject = brokers[0]!.name
  const cost = options.instructions ? 'instructions' : 'cpuUs'
  const machine = describeMachine(brokers, options, before)
  if (options.json) console.log(JSON.stringify({ machine, subject, rows }, undefined, 2))
  else
    console.log(
      `${machine}\n\n${report(rows, { subject, brokers: brokers.map(({ name }) => name), ...options, cost })}`,
    )
  return status(rows, subject, options.check)
}

/** The brokers asked for, which must all be there; or those of the usual ones that are. */
async function findBrokers(words: readonly string[], floor: string): Promise<Broker[]> {
  if (words.length > 0) return Promise.all(words.map((word) => findBroker(word, floor)))
  const found: Broker[] = []
  for (const word of usualBrokers) {
    try {
      found.push(await findBroker(word, floor))
    } catch (error) {
      console.error(`without ${word}: ${(error as Error).message}`)
    }
  }
  return found
}

const TMPFS_MAGIC = 0x01021994

const inMemory = (folder: string): boolean => statfsSync(folder).type === TMPFS_MAGIC

function progress({ shape, broker, run, result }: Step): void {
  const words = result instanceof Error ? `failed: ${result.message}` : `${result.cpuUs} µs of CPU`
  console.error(`${shape.name.padEnd(12)} ${broker.padEnd(10)} run ${run}: ${words}`)
}

function describeMachine(brokers: readonly Broker[], options: CommandLine, load: number): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const versions = brokers.map(({ name, version }) => `${name} ${version}`.trim())
  const protocol = options.v5 ? 'MQTT 5' : 'MQTT 3.1.1'
  return [
    `${availableParallelism()} × ${model}, Linux ${release()}, load average ${load.toFixed(2)} before; ${versions.join(', ')}`,
    `${protocol}; ${options.runs} runs of ${options.instructions ? 'a fixed number of messages' : `${options.secs} s`}`,
  ].join('; ')
}

function status(rows: readonly Row[], subject: string, check: boolean): number {
  const verdicts = rows.map((row) => judge(row, subject)?.verdict)
  const invalid = rows.some((row) => row.cells.some((cell) => cell.broker === subject && cell.faults.length > 0))
  return invalid || (check && verdicts.includes('not met')) ? 1 : 0
}

// So that the handler of 'exit' ends the brokers.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: Error & { stderr?: string }) => {
    console.error(`bench: ${error.message}`)
    process.exitCode = 2
  },
)
