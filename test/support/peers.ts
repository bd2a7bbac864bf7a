// Real peers: mosquitto_pub and mosquitto_sub, the mqtt package, python3-paho-mqtt, Redis. A peer that is not
// installed is a failure under CI and a skip that says so elsewhere.
// Owns the processes it starts; `closePeers` ends those a failed test left, and they die with this process anyway.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { test } from 'uvu'
import { type Case, repositoryRoot, skipped } from './target.ts'

export interface Address {
  host: string
  port: number
}

const deadline = 15_000
const running = new Set<PeerProcess>()

process.on('exit', () => closePeers())

/** Ends every peer that is still running: for `test.after.each`. */
export const closePeers = (): void => {
  for (const peer of running) peer.kill9()
}

const python = '/usr/bin/python3'

const present = {
  mosquitto_pub: () => spawnSync('mosquitto_pub', ['--help']).error === undefined,
  'redis-server': () => spawnSync('redis-server', ['--version']).error === undefined,
  'libssl.so.3': () => spawnSync(python, ['-c', 'import ctypes; ctypes.CDLL("libssl.so.3")']).status === 0,
  paho: () => existsSync(python) && spawnSync(python, ['-c', 'import paho.mqtt.client']).status === 0,
}

/** `test`, when the peer is installed or must be. */
export const withPeer = (uvu: typeof test, peer: keyof typeof present): Case => {
  if (present[peer]()) return uvu
  if (!process.env.CI) return skipped(uvu, `${peer} is not installed`)
  return (name) =>
    uvu(name, () => {
      throw new Error(`${peer} is not installed, and CI is set`)
    })
}

/** The sanitizers' runtime is for our own code: a browser that gets it spins for ever, and our addon built with them needs it. */
const withoutSanitizers = (): NodeJS.ProcessEnv => {
  const { LD_PRELOAD, MARTLET_PREBUILD, ...environment } = process.env
  return environment
}

/** A child process that talks in lines. */
export class PeerProcess {
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>
  #wake = new Set<() => void>()
  #over = false

  /** `environment`: this process's own for a Martlet that shall run under the sanitizers when this process does. */
  constructor(command: string, args: readonly string[], environment = withoutSanitizers()) {
    // stdbuf: what a peer prints must not wait in its buffer until it exits; setpriv: it dies with this process.
    const bondage = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : []
    const words = [...bondage, 'stdbuf', '-oL', '-eL', command, ...args]
    this.#child = spawn(words[0]!, words.slice(1), { stdio: 'pipe', env: environment })
    running.add(this)
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.lines.push(line)
        this.#tell()
      })
    }
    this.#child.stdin!.on('error', () => {}) // It may end before it has read everything; `exit` says how.
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', () => resolve(null))
      this.#child.once('close', (code) => {
        this.#over = true
        running.delete(this)
        resolve(code)
        this.#tell()
      })
    })
  }

  write(text: string): void {
    this.#child.stdin!.write(text)
  }

  endInput(): void {
    this.#child.stdin!.end()
  }

  kill9(): void {
    this.#child.kill('SIGKILL')
  }

  terminate(): void {
    this.#child.kill('SIGTERM')
  }

  /** The exit code; null when a signal ended it. Killed, and an error, when it does not end. */
  async exit(): Promise<number | null> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.kill9()
    }, deadline)
    const code = await this.#ended
    clearTimeout(timer)
    if (late) throw new Error(`the peer did not end; its last lines:\n${this.lines.slice(-10).join('\n')}`)
    return code
  }

  /** The first `count` lines that match, now or later. */
  async waitForLines(pattern: RegExp, count = 1): Promise<string[]> {
    const found: string[] = []
    let seen = 0
    return await new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer)
        this.#wake.delete(look)
        if (error) reject(error)
        else resolve(found)
      }
      const look = () => {
        for (; seen < this.lines.length && found.length < count; seen++)
          if (pattern.test(this.lines[seen]!)) found.push(this.lines[seen]!)
        if (found.length === count) settle()
        else if (this.#over) settle(this.#missing(pattern, count, 'it ended'))
      }
      const timer = setTimeout(() => settle(this.#missing(pattern, count, 'time is over')), deadline)
      this.#wake.add(look)
      look()
    })
  }

  #missing(pattern: RegExp, count: number, why: string): Error {
    return new Error(`expected ${count} lines ${pattern}, ${why}; the last lines:\n${this.lines.slice(-10).join('\n')}`)
  }

  #tell(): void {
    for (const wake of this.#wake) wake()
  }
}

const addressArguments = ({ host, port }: Address) => ['-h', host, '-p', `${port}`]

/** Runs mosquitto_pub to its end; fails when it does. `input` goes to its standard input (for -l and -s). */
export const mosquittoPub = async (broker: Address, args: string[], input?: string | Buffer): Promise<void> => {
  const peer = new PeerProcess('mosquitto_pub', [...addressArguments(broker), ...args])
  if (input !== undefined) peer.write(input.toString())
  peer.endInput()
  const code = await peer.exit()
  if (code !== 0) throw new Error(`mosquitto_pub ${args.join(' ')} ended with ${code}:\n${peer.lines.join('\n')}`)
}

/** Starts mosquitto_sub; resolves when its subscriptions are acknowledged. Messages are lines `= topic qos retain payload`. */
export const mosquittoSub = async (broker: Address, args: string[]): Promise<PeerProcess> => {
  const peer = new PeerProcess('mosquitto_sub', [...addressArguments(broker), '-d', '-F', '= %t %q %r %p', ...args])
  await peer.waitForLines(/^Subscribed/)
  return peer
}

/** The messages of a mosquitto_sub: `count` of them, as `topic qos retain payload`. */
export const messagesOf = async (peer: PeerProcess, count: number): Promise<string[]> =>
  (await peer.waitForLines(/^= /, count)).map((line) => line.slice(2))

export interface PahoEvent {
  event: string
  [key: string]: unknown
}

/** A client of python3-paho-mqtt, driven by JSON lines; see paho-peer.py. */
export class PahoPeer {
  readonly #peer = new PeerProcess(python, [join(repositoryRoot, 'test/support/paho-peer.py')])
  #seen = 0

  /** Sends one command to the client. */
  do(command: string, options: Record<string, unknown> = {}): void {
    this.#peer.write(`${JSON.stringify({ do: command, ...options })}\n`)
  }

  /** The next event, which must have this name. */
  async expect(event: string): Promise<PahoEvent> {
    this.#seen++
    const line = (await this.#peer.waitForLines(/^\{/, this.#seen))[this.#seen - 1]!
    const told = JSON.parse(line) as PahoEvent
    if (told.event !== event) throw new Error(`expected ${event}, paho tells ${line}`)
    return told
  }

  async connect(broker: Address, options: Record<string, unknown>): Promise<PahoEvent> {
    this.do('connect', { host: broker.host, port: broker.port, ...options })
    return await this.expect('connected')
  }

  kill9(): void {
    this.#peer.kill9()
  }

  async end(): Promise<void> {
    this.#peer.endInput()
    await this.#peer.exit()
  }
}
