// Starts the broker under test as a process of its own: `bin/martlet.js` with a temporary YAML file, or Mosquitto with
// an equivalent mosquitto.conf (MARTLET_TEST_TARGET=mosquitto), which proves the tests themselves.
// Owns the process and its temporary folder: both go when the test process goes, even when it is killed.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Faults } from './faults.ts'
import { repositoryRoot, sanitized, target, tinySizes } from './target.ts'

/** Settings by their YAML key. Times are seconds, sizes bytes. */
export interface Settings {
  allow_anonymous?: boolean
  connect_timeout?: number
  write_timeout?: number
  linger_timeout?: number
  max_packet_size?: number
  max_inflight_messages?: number
  max_queued_messages?: number
  retry_interval?: number
  max_connections?: number
  output_limit?: number
  output_high_water?: number
  output_low_water?: number
  sys_interval?: number
  max_keepalive?: number
  persistent_client_expiration?: string
  takeover_delay?: number
  max_output_bytes_total?: number
  log_level?: string
  connection_messages?: boolean
  persistence?: boolean | string
  persistence_options?: Record<string, unknown>
  persistence_location?: string
  durability?: 'fsync' | 'os' | 'none'
  max_unstored_bytes?: number
  store_segment_size?: number
  store_min_free?: number
  will_grace_period?: number
}

export interface BrokerOptions {
  settings?: Settings
  /** Default 0: any free port. */
  port?: number
  /** Listeners as in the YAML file, instead of the one of `port` and `host`; the first must have a port. */
  listeners?: readonly object[]
  /** Numeric address; default 127.0.0.1. */
  host?: string
  /** A whole configuration file instead of `settings`, `port` and `host`; its first listener is at 127.0.0.1. */
  file?: { name: 'martlet.yaml' | 'mosquitto.conf'; text: string }
  /** RLIMIT_NOFILE of the process. */
  descriptorLimit?: number
  /** V8's heap limit, MiB. */
  heapLimit?: number
  /** What its file system does. Martlet only. */
  faults?: Faults
  /** How long it may take until it listens, ms; default 20 s. */
  patience?: number
  /** Leaves MARTLET_SIZES=tiny out of account, for tests about large sizes. */
  usualSizes?: boolean
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface BrokerUnderTest {
  readonly host: string
  readonly port: number
  readonly pid: number
  readonly version: string
  /** What it has written to standard output and standard error, line by line. */
  readonly log: readonly string[]
  /** The first line that matches, now or later. */
  waitForLog(pattern: RegExp | ((line: string) => boolean)): Promise<string>
  /** Sends the signal (default SIGTERM) and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /**
   * As `stop`, and the process must have ended with code 0, told of no fault of its own, closed by itself (after 4.8 s it would
   * have been cut off, which it says) and left no handle open.
   */
  stopCleanly(signal?: NodeJS.Signals): Promise<void>
  kill9(): Promise<Exit>
  /** How it ended by itself; an error when it has not within `stopDeadline`. */
  exit(): Promise<Exit>
}

// The reactor's smallest sizes: every overflow, split and eviction then happens in every test.
const tiny = {
  inbox_size: 4096,
  inbox_records: 64,
  outbox_words: 256,
  outbox_size: 1024,
  topic_ids: 8,
  read_size: 64,
  shortcut_after: 1,
}

/** What a broker that stopped cleanly has not said: a bug of its own, a close that was cut off, a handle left open. */
const FAULT =
  /AddressSanitizer|runtime error|uncaught|internal error|"level":60|closing took too long|still open at the end/i

const startDeadline = 20_000
const stopDeadline = 15_000
const children = new Set<ChildProcess>()
const folders = new Set<string>()

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Starts the broker and waits until it listens. Fails with its output when it does not. */
export const startBroker = async (options: BrokerOptions = {}): Promise<BrokerUnderTest> => {
  for (let attempt = 1; ; attempt++) {
    const broker = await launch(options)
    const port = await broker.listening(options.patience)
    if (port !== undefined) return broker.underTest(port)
    // Mosquitto cannot choose a free port itself: somebody may have taken ours in between.
    if (target !== 'mosquitto' || attempt === 3)
      throw new Error(`the broker did not start:\n${broker.lines.join('\n')}`)
  }
}

/** Starts a broker that is expected to end by itself; returns how it did and what it said. */
export const runToExit = async (options: BrokerOptions): Promise<Exit & { log: readonly string[] }> => {
  const broker = await launch(options)
  return { ...(await broker.ended(startDeadline)), log: broker.lines }
}

/** The version of the broker under test. */
export const brokerVersion = (): string => {
  if (target === 'martlet') return JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')).version
  const help = (() => {
    try {
      return execFileSync('/usr/sbin/mosquitto', ['-h'], { encoding: 'utf8' })
    } catch (error) {
      return String((error as { stdout?: unknown }).stdout) // It exits with 3 after printing its help.
    }
  })()
  return /version (\S+)/.exec(help)?.[1] ?? 'unknown'
}

const launch = async (options: BrokerOptions): Promise<Launched> => {
  const folder = mkdtempSync(join(tmpdir(), 'broker-under-test-'))
  folders.add(folder)
  const command = target === 'mosquitto' ? await mosquittoCommand(folder, options) : martletCommand(folder, options)
  const words = [...bondage(), ...limits(options), ...command.words]
  const child = spawn(words[0]!, words.slice(1), {
    cwd: folder,
    env: { ...environment(), ...command.environment, ...options.faults?.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return new Launched(child, folder, options.host ?? '127.0.0.1', command.port)
}

interface Command {
  words: string[]
  environment: Record<string, string>
  /** Known before the start only for Mosquitto. */
  port: number
}

const martletCommand = (folder: string, options: BrokerOptions): Command => {
  const file = join(folder, options.file?.name ?? 'martlet.yaml')
  const listeners = options.listeners ?? [{ port: options.port ?? 0, host: options.host ?? '127.0.0.1' }]
  const small = tinySizes && !options.usualSizes
  const settings = { listeners, allow_anonymous: true, ...options.settings, ...(small ? tiny : {}) }
  const yaml = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
  writeFileSync(file, options.file?.text ?? yaml.join(''))
  const flag = options.file?.name === 'mosquitto.conf' ? '--config-file' : '--config'
  const heap = options.heapLimit === undefined ? [] : [`--max-old-space-size=${options.heapLimit}`]
  const words = [process.execPath, ...heap, join(repositoryRoot, 'bin/martlet.js'), flag, file]
  return { words, environment: small ? { MARTLET_POISON: '1' } : {}, port: options.port ?? 0 }
}

const mosquittoKeys = new Set<string>([
  'max_inflight_messages',
  'max_queued_messages',
  'max_packet_size',
  'max_connections',
  'sys_interval',
  'max_keepalive',
  'persistent_client_expiration',
])

const mosquittoCommand = async (folder: string, options: BrokerOptions): Promise<Command> => {
  const file = join(folder, 'mosquitto.conf')
  const port = options.port ?? (await freePort())
  const { allow_anonymous = true, ...settings } = options.settings ?? {}
  const keys = Object.entries(settings).filter(([key]) => mosquittoKeys.has(key))
  const lines = [
    `listener ${port} ${options.host ?? '127.0.0.1'}`,
    `allow_anonymous ${allow_anonymous}`,
    'user root', // Else it gives its rights up and cannot read its own configuration folder.
    'allow_duplicate_messages false',
    'persistence false',
    'log_dest stderr',
    'log_type all',
    ...keys.map(([key, value]) => `${key} ${value}`),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return { words: ['/usr/sbin/mosquitto', '-c', file], environment: {}, port }
}

/** The broker dies with this process, even when this one is killed: no test leaves a process behind. */
const bondage = (): string[] => (existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : [])

const limits = ({ descriptorLimit }: BrokerOptions): string[] =>
  descriptorLimit === undefined ? [] : ['/usr/bin/prlimit', `--nofile=${descriptorLimit}:${descriptorLimit}`]

/**
 * Without this run's settings, but in a sanitized pass with the sanitizer build and the runtime that goes with it. Leaks are
 * looked for in the broker alone: a Node that ends by itself, as it does at SIGTERM, leaks nothing of its own.
 */
const environment = (): NodeJS.ProcessEnv => {
  const own = (name: string) => (name.startsWith('MARTLET_') && name !== 'MARTLET_PREBUILD') || name === 'NODE_OPTIONS'
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !own(name)))
  if (sanitized) kept.ASAN_OPTIONS = `${kept.ASAN_OPTIONS}:detect_leaks=1`
  return kept
}

/** A port nobody listens on at the moment. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })

class Launched {
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #host: string
  readonly #port: number
  readonly #exit: Promise<Exit>
  #listeners = new Set<() => void>()

  constructor(child: ChildProcess, folder: string, host: string, port: number) {
    this.#child = child
    this.#folder = folder
    this.#host = host
    this.#port = port
    children.add(child)
    const told = (line: string) => {
      this.lines.push(line)
      for (const listener of this.#listeners) listener()
    }
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', told)
    this.#exit = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        children.delete(child)
        rmSync(this.#folder, { recursive: true, force: true })
        folders.delete(this.#folder)
        resolve({ code, signal })
        for (const listener of this.#listeners) listener()
      })
    })
  }

  /** The port it listens on; undefined when it ended instead. */
  async listening(patience = startDeadline): Promise<number | undefined> {
    const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host
    const banner = (line: string) => {
      if (target === 'mosquitto') return / running$/.test(line)
      return line.includes(`${host}:`)
    }
    const line = await this.#line(banner, patience)
    if (line === undefined) return undefined
    if (target === 'mosquitto') return this.#port
    return Number.parseInt(line.slice(line.indexOf(`${host}:`) + host.length + 1), 10)
  }

  underTest(port: number): BrokerUnderTest {
    return {
      host: this.#host,
      port,
      pid: this.#child.pid!,
      version: brokerVersion(),
      log: this.lines,
      waitForLog: async (pattern) => {
        const test = typeof pattern === 'function' ? pattern : (line: string) => pattern.test(line)
        const line = await this.#line(test, stopDeadline)
        if (line === undefined)
          throw new Error(`no log line ${pattern}; the last:\n${this.lines.slice(-10).join('\n')}`)
        return line
      },
      stop: (signal = 'SIGTERM') => this.#stop(signal),
      stopCleanly: (signal = 'SIGTERM') => this.#stopCleanly(signal),
      kill9: () => this.#stop('SIGKILL'),
      exit: () => this.ended(stopDeadline),
    }
  }

  /** How the process ended; killed, and an error, when it has not within `wait` milliseconds. */
  async ended(wait: number): Promise<Exit> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.#child.kill('SIGKILL')
    }, wait)
    const exit = await this.#exit
    clearTimeout(timer)
    if (late) throw new Error(`the broker had not ended after ${wait} ms:\n${this.lines.slice(-20).join('\n')}`)
    return exit
  }

  #stop(signal: NodeJS.Signals): Promise<Exit> {
    this.#child.kill(signal)
    return this.ended(stopDeadline)
  }

  async #stopCleanly(by: NodeJS.Signals): Promise<void> {
    const { code, signal } = await this.#stop(by)
    const fault = this.lines.find((line) => FAULT.test(line))
    if (code === 0 && fault === undefined) return
    throw new Error(`the broker ended with ${code ?? signal}; ${fault ?? ''}\n${this.lines.slice(-20).join('\n')}`)
  }

  /** The first line for which `test` holds; undefined after `wait` ms, or when the process ends without one. */
  async #line(test: (line: string) => boolean, wait: number): Promise<string | undefined> {
    let seen = 0
    return await new Promise((resolve) => {
      const settle = (line: string | undefined) => {
        clearTimeout(timer)
        this.#listeners.delete(look)
        resolve(line)
      }
      const look = () => {
        for (; seen < this.lines.length; seen++) if (test(this.lines[seen]!)) return settle(this.lines[seen])
        if (!children.has(this.#child)) settle(undefined)
      }
      const timer = setTimeout(() => settle(undefined), wait)
      this.#listeners.add(look)
      look()
    })
  }
}
