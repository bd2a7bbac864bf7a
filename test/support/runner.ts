// The test runner: lint, native tests, then every test file in a process of its own, some at a time, each under a deadline.
// uvu alone has no deadlines, hangs on a leaked server and is green when nothing ran. Built by `npm test` before it runs.
//
//   npm test                     all but what is long; integration tests twice: default sizes, and MARTLET_SIZES=tiny
//   npm test -- test/mqtt        the files whose path contains a filter (`lint` and `native` are filters too)
//   npm run test:long            MARTLET_LONG=1: test/long, one file at a time; then, some at a time, whatever else has a
//                                long version or waits too long for `npm test`, and all that touches the addon with its
//                                sanitizer build
//
// A skipped test says so on its output: `skipped: NAME`, and below it `because: REASON`.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { type Ending, type Report, readCheck, readUvu } from './runner-report.ts'

interface Job {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly environment: Environment
  readonly read: (output: string, ending: Ending) => Report
  /** How many times the usual deadline it may take. */
  readonly patience?: number
}

interface Outcome extends Report {
  readonly job: Job
  readonly output: string
  readonly seconds: number
}

const ROOT = resolve(import.meta.dirname, '..', '..', '..')
const LONG = process.env.MARTLET_LONG === '1'
/** More than there are cores: half of its time, a test waits. */
const AT_A_TIME = availableParallelism() + 3
/** What takes longest, mostly by waiting, goes first: nothing is left to wait for alone at the end. */
const FIRST = [
  /^native/,
  /^lint/,
  /conformance/,
  /integration.(browser|process|keep-alive|qos.test|mosquitto)/,
  /crash/,
]
const DEADLINE = Number(process.env.MARTLET_TEST_DEADLINE ?? (LONG ? 900 : 120)) * 1000
/** Besides test/long, what does more when MARTLET_LONG is 1. */
const LONGER = [
  'test/crash/',
  'test/conformance/access',
  'test/conformance/deviations',
  'test/conformance/martlet',
  'test/conformance/mosquitto',
  'test/conformance/reproductions',
  'test/overload/',
  'test/bench/load',
  'test/store/aedes-redis',
]
/** What `npm test` does without, unless a filter names it: minutes of waiting for disks, floods and clocks. */
const ONLY_LONG = [
  /^test\/crash\/(?!shown)/,
  /^test\/overload\/(?!slow-readers)/,
  /^test\/bench\/load/,
  /^test\/store\/aedes-redis/,
]
const SANITIZED_LONG = ['test/long/connections.test.ts', 'test/long/soak.test.ts']
/** The end of a test's output is what explains a failure; a runaway printer must not fill our memory. */
const MOST_OUTPUT = 256 * 1024

type Environment = Readonly<Record<string, string>>

/**
 * Runs what the filters name. `sanitized` is the environment that loads the addon's sanitizer build, for long runs.
 * Returns the exit code; the last line printed is `N passed, N failed`.
 */
export async function main(filters: readonly string[], sanitized?: Environment): Promise<number> {
  const files = testFiles()
  const wanted = ({ name }: Job): boolean =>
    filters.length === 0 || filters.some((filter) => name.includes(filter.replace(/^\.\//, '')))
  if (!LONG) {
    const named = filters.length > 0
    const usual = files.filter((file) => !isLong(file) && (named || !isOnlyLong(file))).flatMap(passes)
    return summarize(await runAll([...checks(), ...usual].filter(wanted).sort(byRank), AT_A_TIME))
  }
  // What measures memory or the whole machine has it for itself; what only does more shares it.
  const alone = [...checks(), ...files.filter(isLong).map((file) => fileJob(file, file, {}))]
  const outcomes = await runAll(alone.filter(wanted), 1)
  const together = files
    .filter((file) => LONGER.some((start) => file.startsWith(start)))
    .map((file) => fileJob(file, file, {}))
  if (sanitized !== undefined) {
    together.unshift(...SANITIZED_LONG.map((file) => sanitizedLong(file, sanitized)))
    together.push(...files.filter(usesAddon).map((file) => sanitizedPass(file, sanitized)))
  }
  outcomes.push(...(await runAll(together.filter(wanted), AT_A_TIME)))
  return summarize(outcomes)
}

/** What goes first comes first; the rest stays as it is. */
function byRank(one: Job, other: Job): number {
  const rank = ({ name }: Job): number => {
    const at = FIRST.findIndex((pattern) => pattern.test(name))
    return at < 0 ? FIRST.length : at
  }
  return rank(one) - rank(other)
}

function checks(): Job[] {
  const jobs: Job[] = []
  const native = join(ROOT, 'native', 'test', 'run.sh')
  if (existsSync(native)) {
    const rounds = LONG ? '200' : '30' // of the random walk
    // It compiles first, which a busy machine may take minutes for.
    jobs.push({
      name: 'native',
      command: 'bash',
      args: [native, rounds],
      environment: {},
      read: readCheck,
      patience: 4,
    })
  }
  const biome = join(ROOT, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')
  const args = [biome, 'check', '--error-on-warnings', '--colors=off']
  if (LONG) return jobs
  jobs.push({ name: 'lint', command: process.execPath, args, environment: {}, read: readCheck })
  // Files and exports nobody uses.
  const knip = [join(ROOT, 'node_modules', 'knip', 'bin', 'knip.js'), '--no-progress']
  jobs.push({ name: 'lint: knip', command: process.execPath, args: knip, environment: {}, read: readCheck })
  return jobs
}

/** Test files as sources: dist/ may still hold what has been deleted. */
function testFiles(): string[] {
  const names = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/${name}`)
    .sort()
}

function isLong(file: string): boolean {
  return file.startsWith('test/long/')
}

function isOnlyLong(file: string): boolean {
  return ONLY_LONG.some((pattern) => pattern.test(file))
}

/** Not the browser: it starts with the sanitizers' runtime in its environment and spins; websocket.test.ts does without it. */
function usesAddon(file: string): boolean {
  if (file.includes('browser')) return false
  return file.startsWith('test/net/') || file.startsWith('test/integration/')
}

/** A broker must not depend on its buffers' sizes: with tiny ones every split, eviction and early flush happens. */
function passes(file: string): Job[] {
  if (!file.startsWith('test/integration/')) return [fileJob(file, file, {})]
  return [fileJob(file, file, {}), fileJob(`${file} (tiny sizes)`, file, { MARTLET_SIZES: 'tiny' })]
}

function sanitizedPass(file: string, sanitized: Environment): Job {
  // Tiny buffers, for splits and evictions are where memory goes wrong; short tests, for sanitizers are slow.
  return fileJob(`${file} (sanitized)`, file, { ...sanitized, MARTLET_SIZES: 'tiny', MARTLET_LONG: '' })
}

/** A long test once more with the sanitizer build: sockets and buffers that come and go by the hundred thousand. */
function sanitizedLong(file: string, sanitized: Environment): Job {
  // Freed memory is kept apart only a while, or it would look like a leak.
  const options = `${sanitized.ASAN_OPTIONS}:quarantine_size_mb=16`
  return { ...fileJob(`${file} (sanitized)`, file, { ...sanitized, ASAN_OPTIONS: options }), patience: 2 }
}

function fileJob(name: string, file: string, environment: Environment): Job {
  const script = join(ROOT, 'dist', file.replace(/\.ts$/, '.js'))
  return { name, command: process.execPath, args: ['--enable-source-maps', script], environment, read: readUvu }
}

async function runAll(jobs: readonly Job[], atATime: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < jobs.length) {
      const outcome = await run(jobs[next++]!)
      outcomes.push(outcome)
      print(outcome)
    }
  }
  await Promise.all(Array.from({ length: atATime }, worker))
  return outcomes
}

const running = new Set<ChildProcess>()

async function run(job: Job): Promise<Outcome> {
  const started = performance.now()
  const child = spawn(job.command, job.args, {
    cwd: ROOT,
    env: { ...process.env, FORCE_COLOR: '0', ...job.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // leads a process group of its own, which can be killed whole
  })
  running.add(child)
  let output = ''
  // The report is read from this alone: what goes to the other stream may fall into the middle of its lines.
  let told = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      output = (output + text).slice(-MOST_OUTPUT)
      if (stream === child.stdout) told = (told + text).slice(-MOST_OUTPUT)
    })
  }
  const deadline = DEADLINE * (job.patience ?? 1)
  let late = false
  const timer = setTimeout(() => {
    late = true
    killGroup(child)
  }, deadline)
  const ending = await endOf(child)
  clearTimeout(timer)
  running.delete(child)
  const report = job.read(told, late ? { ...ending, deadline } : ending)
  const leftover = groupLives(child) && !late ? 'it left processes running' : undefined
  killGroup(child)
  const seconds = (performance.now() - started) / 1000
  if (leftover === undefined || report.problem !== undefined) return { ...report, job, output, seconds }
  return { ...report, failed: Math.max(1, report.failed), problem: leftover, job, output, seconds }
}

/** The process has ended; its output may still be held open by a child it left behind, which is not waited for. */
function endOf(child: ChildProcess): Promise<Ending> {
  return new Promise((settle) => {
    child.once('error', (error) => settle({ code: 127, signal: error.message }))
    child.once('exit', (code, signal) => {
      const end = (): void => settle({ code, signal })
      const grace = setTimeout(end, 2000)
      child.once('close', () => {
        clearTimeout(grace)
        end()
      })
    })
  })
}

/**
 * Whether the group still has a process that does anything. Zombies do not count: where process 1 reaps no orphans, as in
 * many containers, they stay for ever.
 */
function groupLives(child: ChildProcess): boolean {
  return readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      const [state, , group] = readFileSync(`/proc/${name}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ')
      return group === String(child.pid) && state !== 'Z'
    } catch {
      return false // it has ended meanwhile
    }
  })
}

/** Kills whatever is left of a job's process group; false when there is nothing left. */
function killGroup(child: ChildProcess): boolean {
  if (child.pid === undefined) return false
  try {
    process.kill(-child.pid, 'SIGKILL')
    return true
  } catch {
    return false // ESRCH: all of it has ended
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of running) killGroup(child)
    process.exit(1)
  })
}

function print({ job, passed, failed, skipped, problem, reasons, output, seconds }: Outcome): void {
  const mark = failed > 0 ? 'FAIL' : 'ok  '
  const extra = skipped > 0 ? `, ${skipped} skipped` : ''
  console.log(
    `${mark} ${job.name}  ${passed} passed${failed > 0 ? `, ${failed} failed` : ''}${extra}  ${seconds.toFixed(1)} s`,
  )
  if (problem !== undefined) console.log(`     ${problem}`)
  if (failed > 0) console.log(output.trimEnd().replace(/^/gm, '     | '))
  else for (const reason of reasons) console.log(`     skipped: ${reason}`)
  if (skipped > reasons.length) console.log(`     ${skipped - reasons.length} skipped without a reason`)
}

function summarize(outcomes: readonly Outcome[]): number {
  const sum = (count: (outcome: Outcome) => number): number => outcomes.reduce((total, one) => total + count(one), 0)
  const [passed, skipped] = [sum((one) => one.passed), sum((one) => one.skipped)]
  let failed = sum((one) => one.failed)
  console.log('')
  for (const one of outcomes) if (one.failed > 0) console.log(`failed: ${one.job.name}`)
  if (outcomes.length === 0) {
    console.log('no test matches')
    failed = 1
  }
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return failed > 0 ? 1 : 0
}
