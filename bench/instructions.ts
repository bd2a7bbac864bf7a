// Counts the instructions a broker spends on a fixed number of messages, with `perf stat`. They hardly depend on what
// else the machine is doing, so a change of one per cent shows where CPU time would need a hundred runs. They see
// nothing of the kernel: a broker that makes fewer system calls wins time here that this figure does not show.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { LoadRun, type LoadTarget, type TrafficFigures } from './load.ts'

export const instructionsEvent = 'instructions:u'

/** Why `perf stat` cannot count `event` here; undefined when it can. Virtual machines often have no counters. */
export function whyNoCounter(event: string = instructionsEvent): string | undefined {
  const run = spawnSync('perf', ['stat', '-x', ',', '-e', event, '--', process.execPath, '--version'], {
    encoding: 'utf8',
  })
  if (run.error) return `perf cannot be run (${run.error.message})`
  if (run.status !== 0) return run.stderr.trim()
  return parseCount(run.stderr, event) === undefined ? `this machine does not count ${event}` : undefined
}

/** The count in the output of `perf stat -x ,`; undefined when it says `<not supported>` or `<not counted>`. */
export function parseCount(output: string, event: string): number | undefined {
  const line = output.split('\n').find((candidate) => candidate.split(',')[2] === event)
  const count = Number.parseFloat(line?.split(',')[0] ?? '')
  return Number.isNaN(count) ? undefined : count
}

/** Runs `messages` messages of a shape after its warm-up, and adds what the broker spent on each delivery of them. */
export async function countInstructions(
  program: string,
  target: LoadTarget,
  load: readonly string[],
  event: string = instructionsEvent,
): Promise<TrafficFigures> {
  const run = new LoadRun(program, target, [...load, '--gate'])
  try {
    await run.ready()
    const counter = await startCounter(target.pid, event)
    run.go()
    const figures = (await run.figures()) as TrafficFigures
    const count = await counter.stop()
    return { ...figures, instructions: count / figures.deliveries }
  } finally {
    run.kill()
  }
}

/** Attaches to a process. Resolves when perf has said that it counts. */
async function startCounter(pid: number, event: string) {
  // Descriptors 3 and 4: perf starts with its counters off and tells when they are on, so nothing is guessed by waiting.
  const args = ['stat', '-x', ',', '-e', event, '-p', String(pid), '-D', '-1', '--control', 'fd:3,4']
  const perf = spawn('perf', args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] })
  const ended = once(perf, 'close')
  let output = ''
  perf.stderr!.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const control = perf.stdio[3] as Writable
  control.on('error', () => {}) // perf ended early: what it said on stderr is reported below
  const answers = createInterface({ input: perf.stdio[4] as Readable })
  control.write('enable\n')
  await Promise.race([once(answers, 'line'), ended])
  return {
    async stop(): Promise<number> {
      control.write('disable\n')
      perf.kill('SIGINT')
      await ended
      const count = parseCount(output, event)
      if (count === undefined) throw new Error(`perf: ${output.trim() || 'counted nothing'}`)
      return count
    },
  }
}
