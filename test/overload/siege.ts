// Attacks by the thousand: the broker in one process, the hundred well-behaved clients in another, the attack in this one.
// Owns both processes, which end with this one.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import type { ConfigurationOptions } from '../../src/index.ts'
import type { ListenOptions } from '../../src/server/martlet.ts'
import type { Counters } from '../../src/telemetry/counters.ts'
import { closeClients } from '../support/raw-client.ts'
import { type Figures, inWords } from './well-behaved.ts'

export interface Plan {
  readonly settings: ConfigurationOptions
  /** The first one is where the hundred are. */
  readonly listeners: readonly Partial<ListenOptions>[]
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
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))![1]) / 1024
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
}

/** Runs the attack while the hundred are at work; prints what they saw, fails if they lost anything or the broker erred. */
export async function besiege(
  what: string,
  plan: Partial<Plan>,
  attack: (target: Besieged) => Promise<void>,
): Promise<void> {
  const whole: Plan = { settings: {}, listeners: [{}], ...plan }
  const child = fork(new URL('besieged.js', import.meta.url), [JSON.stringify(whole)])
  const { ports } = (await next(child)) as { ports: number[] }
  const target = new Besieged(child, ports)
  const good = fork(new URL('good-process.js', import.meta.url), [target.host, String(ports[0])])
  try {
    await next(good)
    await attack(target)
    const { figures, failure } = (await ask(good, 'finish')) as { figures?: Figures; failure?: string }
    if (figures === undefined) throw new Error(`the hundred: ${failure}`)
    console.log(`${what}: ${inWords(figures)}`)
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
