// Runs a Node script with failing, shortened or deadly file system calls: builds native/faults.c on demand and preloads it.
// The rules may change while the script runs.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const SOURCE = resolve(import.meta.dirname, '../../../test/support/native/faults.c')
const LIBRARY = resolve(import.meta.dirname, 'native', 'faults.so')

/** The library, built if it is not there or older than its source. */
export function faultLibrary(): string {
  if (existsSync(LIBRARY) && statSync(LIBRARY).mtimeMs > statSync(SOURCE).mtimeMs) return LIBRARY
  mkdirSync(resolve(LIBRARY, '..'), { recursive: true })
  const draft = `${LIBRARY}.${process.pid}`
  const { status, stderr } = spawnSync('cc', [
    '-O1',
    '-Wall',
    '-shared',
    '-fPIC',
    '-o',
    draft,
    SOURCE,
    '-ldl',
    '-lpthread',
  ])
  if (status !== 0) throw new Error(`cc cannot build ${SOURCE}: ${stderr}`)
  renameSync(draft, LIBRARY) // in one step: other tests may be building it too
  return LIBRARY
}

/** What the file system under one directory does to a process that runs in `environment`. */
export class Faults {
  readonly environment: Readonly<Record<string, string>>
  readonly #rulesFile: string

  /**
   * `root` must exist before the process starts. `log`: where every call that changes a file is written down, with `sends`
   * what goes to sockets too.
   */
  constructor(root: string, options: { rules?: readonly string[]; log?: string; sends?: boolean } = {}) {
    this.#rulesFile = `${root}.rules`
    const { rules = [], log, sends = false } = options
    // The sanitizers' runtime, if there is one, must come first.
    const preload = [process.env.LD_PRELOAD ?? '', faultLibrary()].join(' ').trim()
    const logging: Record<string, string> =
      log === undefined ? {} : { FAULTS_LOG: log, ...(sends ? { FAULTS_SENDS: '1' } : {}) }
    this.environment = { LD_PRELOAD: preload, FAULTS_ROOT: root, FAULTS_RULES: this.#rulesFile, ...logging }
    if (log !== undefined) rmSync(log, { force: true })
    this.rules(rules)
  }

  /** Replaces the rules; counting starts anew. See native/faults.c for the words. */
  rules(lines: readonly string[]): void {
    const draft = `${this.#rulesFile}.draft`
    writeFileSync(draft, lines.join('\n'))
    renameSync(draft, this.#rulesFile)
  }
}

export interface FaultyRun {
  readonly child: ChildProcess
  /** Replaces the rules; counting starts anew. See native/faults.c for the words. */
  rules(lines: readonly string[]): void
  /** Resolves when the process has ended, with its exit code or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
}

export interface FaultyOptions {
  readonly script: string
  readonly args: readonly string[]
  /** Files under it are watched. It must exist. */
  readonly root: string
  readonly rules?: readonly string[]
  /** Where every call on a watched file is written down. */
  readonly log?: string
}

/** Starts `node script args` under the rules. */
export function runFaulty({ script, args, root, ...options }: FaultyOptions): FaultyRun {
  const faults = new Faults(root, options)
  const env = { ...process.env, ...faults.environment }
  const child = spawn(process.execPath, [script, ...args], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<number | NodeJS.Signals>((settle) =>
    child.once('exit', (code, signal) => settle(code ?? signal ?? 'SIGKILL')),
  )
  return { child, rules: (lines) => faults.rules(lines), ended }
}
