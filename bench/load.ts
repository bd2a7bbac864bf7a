// Runs the load generator against a broker and reads its figures. The benchmark's own process sleeps meanwhile.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** Of a traffic shape. Times in µs, rates a second, memory in KiB, CPU in % of one core. */
export interface TrafficFigures {
  readonly deliveries: number
  readonly sentPerS: number
  readonly deliveredPerS: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  /** The broker's CPU per delivered message. */
  readonly cpuUs: number
  readonly cpuPct: number
  /** Near 100: the load generator, not the broker, was the limit of the goodput. */
  readonly loadCpuPct: number
  readonly lost: number
  readonly repeated: number
  readonly reordered: number
  readonly closed: number
  readonly rssKb: number
  /** User-mode instructions of the broker per delivered message, where they were counted. */
  readonly instructions?: number
}

/** Of a connections shape. Latency is TCP connect to CONNACK; `cpuUs` is per connection. */
export interface ConnectionFigures {
  readonly connections: number
  readonly connectPerS: number
  readonly p50Us: number
  readonly p99Us: number
  readonly cpuUs: number
  readonly rssKbBase: number
  readonly rssKb: number
  readonly bytesPerConnection: number
  readonly idleCpuPct: number
  readonly closed: number
}

/** Of a burst. `cpuUs` is per delivery; memory before it, at its most, and after it. */
export interface BurstFigures {
  readonly connections: number
  readonly connectPerS: number
  readonly p50Us: number
  readonly p99Us: number
  readonly cpuUs: number
  readonly deliveries: number
  readonly rssKbBase: number
  readonly rssKbPeak: number
  readonly rssKb: number
  readonly rssAfterPct: number
  readonly closed: number
}

export type Figures = TrafficFigures | ConnectionFigures | BurstFigures

export interface LoadTarget {
  readonly port: number
  readonly pid: number
}

/** Rejects with an Error that holds the load generator's own words when it gave up. */
export async function runLoad(program: string, target: LoadTarget, load: readonly string[]): Promise<Figures> {
  return new LoadRun(program, target, load).figures()
}

/** One run of the load generator, for callers that want to step in between warm-up and measurement. */
export class LoadRun {
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown>
  readonly #lines: string[] = []
  #errors = ''
  #onLine: (() => void) | undefined

  constructor(program: string, target: LoadTarget, load: readonly string[]) {
    const args = [...load, '--port', String(target.port), '--pid', String(target.pid), '--json']
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#exit = once(this.#child, 'close')
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.#lines.push(line)
      this.#onLine?.()
    })
  }

  /** With --gate: resolves when the warm-up is over and every message of it has arrived. */
  async ready(): Promise<void> {
    const said = new Promise<void>((resolve) => {
      this.#onLine = resolve
    })
    if (this.#lines.length === 0) await Promise.race([said, this.#exit])
    if (this.#lines[0] !== 'ready') throw await this.#failure()
  }

  /** With --gate: begins the measurement. */
  go(): void {
    this.#child.stdin?.write('go\n')
  }

  async figures(): Promise<Figures> {
    await this.#exit
    const last = this.#lines.at(-1)
    if (this.#child.exitCode !== 0 || last === undefined) throw await this.#failure()
    return JSON.parse(last) as Figures
  }

  /** Ends it early; harmless when it has ended. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #failure(): Promise<Error> {
    await this.#exit
    const status = this.#child.signalCode ?? `status ${this.#child.exitCode}`
    return new Error(`load generator: ${this.#errors.trim() || status}`)
  }
}
