// Attacks by the thousand: the broker in one process, the hundred well-behaved clients in another, the attack in this one.
// Owns both processes, which end with this one; and what most attacks begin with: many connections.
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import type { ConfigurationOptions } from '../../src/index.ts'
import type { ListenOptions } from '../../src/server/martlet.ts'
import type { Counters } from '../../src/telemetry/counters.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { until } from '../support/until.ts'
import { type Figures, inWords } from './well-behaved.ts'

export interface Plan {
  readonly settings: ConfigurationOptions
  /** The first one is where the hundred are. */
  readonly listeners: readonly Partial<ListenOptions>[]
  /** Everybody but the hundred has to know it. */
  readonly password?: string
  /** What the process of the broker may have: descriptors, MB of V8's old generation. */
  readonly descriptorLimit?: number
  readonly heapLimit?: number
}

type CounterValues = { readonly [K in keyof Counters as Counters[K] extends number ? K : never]: number }

export type Question = 'state' | 'close'
export interface State {
  readonly counters: CounterValues
  /** Text and fields of each. */
  readonly warnings: readonly string[]
  readonly errors: number
}
export type Answer = State | { readonly ports: readonly number[] }

export class Besieged {
  readonly host = '127.0.0.1'
  readonly ports: readonly number[]
  readonly #child: ChildProcess

  constructor(child: ChildProcess, ports: readonly number[]) {
    this.#child = child
    this.ports = ports
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Resident memory in MiB. */
  get resident(): number {
    return this.#memory('VmRSS')
  }

  /** The most of it since the start, or since `forgetPeak`. */
  get peak(): number {
    return this.#memory('VmHWM')
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5')
  }

  address(listener = 0): { host: string; port: number } {
    return { host: this.host, port: this.ports[listener]! }
  }

  async state(): Promise<State> {
    return (await ask(this.#child, 'state')) as State
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.send('close')
    assert.equal(await ended, [0, null])
  }

  #memory(name: string): number {
    return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))![1]) / 1024
  }
}

/** 0 to `count` - 1. */
export const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Opens connections, 100 at a time, from an address for each thousand of them, and says something on each. */
export async function dial(
  target: Besieged,
  listener: number,
  count: number,
  first: (n: number) => Uint8Array[] = () => [],
): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let from = 0; from < count; from += 100) {
    const batch = range(Math.min(100, count - from)).map((n) => {
      const localAddress = `127.0.0.${2 + Math.floor((from + n) / 1000)}`
      return RawClient.dial({ ...target.address(listener), localAddress }, ...first(from + n))
    })
    clients.push(...(await Promise.all(batch)))
  }
  return clients
}

/** Nobody is there any more but the hundred. */
export const gone = (target: Besieged, deadline = 15): Promise<void> =>
  until('all are gone', async () => (await target.state()).counters.connectionsCurrent === 100, deadline)

/** The log tells of it, and not once for each of thousands: `most` lines where each of few clients has its own. */
export async function told(target: Besieged, words: string, most = 19): Promise<void> {
  const { warnings } = await target.state()
  const lines = warnings.filter((line) => line.includes(words)).length
  assert.ok(lines > 0 && lines <= most, `${lines} lines about ${words}`)
}

/** Runs the attack while the hundred are at work; prints what they saw, fails if they lost anything or the broker erred. */
export async function besiege(
  what: string,
  plan: Partial<Plan>,
  attack: (target: Besieged) => Promise<void>,
): Promise<void> {
  const whole: Plan = { settings: {}, listeners: [{}], ...plan }
  const child = start(whole)
  const { ports } = (await next(child)) as { ports: number[] }
  const target = new Besieged(child, ports)
  const good = fork(new URL('good-process.js', import.meta.url), [target.host, String(ports[0])])
  try {
    await next(good)
    await attack(target)
    const { figures, failure } = (await ask(good, 'finish')) as { figures?: Figures; failure?: string }
    if (figures === undefined) throw new Error(`the hundred: ${failure}`)
    console.log(`${what}: ${inWords(figures)}; the broker: at most ${target.peak.toFixed(0)} MiB`)
    const { counters, errors } = await target.state()
    assert.is(counters.internalErrors + errors, 0)
    closeClients()
    await target.close()
  } finally {
    closeClients()
    good.kill('SIGKILL')
    child.kill('SIGKILL')
  }
}

function start(plan: Plan): ChildProcess {
  const { descriptorLimit, heapLimit } = plan
  const limits = descriptorLimit === undefined ? [] : ['prlimit', `--nofile=${descriptorLimit}:${descriptorLimit}`]
  const heap = heapLimit === undefined ? [] : [`--max-old-space-size=${heapLimit}`]
  const script = fileURLToPath(new URL('besieged.js', import.meta.url))
  const words = [...limits, process.execPath, ...heap, script, JSON.stringify(plan)]
  return spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

async function next(child: ChildProcess): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const gone = (code: number | null, signal: string | null): void => reject(new Error(`ended with ${code ?? signal}`))
    child.once('exit', gone)
    child.once('message', (message) => {
      child.off('exit', gone)
      resolve(message)
    })
  })
}

async function ask(child: ChildProcess, question: string): Promise<unknown> {
  const answer = next(child)
  child.send(question)
  return await answer
}
