// A DurableStore on any aedes-persistence 11 backend, for what that interface can hold: docs/store.md has the table. Owns
// the backend. One batch after the other is carried out; a batch resolves when every call it took has. One that
// fails stays first in line, and is gone on with when the next commit comes (the journal asks once a second).

import type { DurableStore } from '../durable-store.ts'
import type { JournalRecord } from '../journal-record.ts'
import { refusalOf, StoreError } from '../store-error.ts'
import { type Backend, setUp } from './backend.ts'
import { LoopbackBroker } from './backend-broker.ts'
import { BackendReader } from './backend-reader.ts'
import { BackendWriter } from './backend-writer.ts'
import type { Plan } from './plan.ts'
import { Planner } from './planner.ts'
import { Restatement } from './restatement.ts'

export interface AedesStoreOptions {
  /** Not yet set up. */
  readonly backend: Backend
  /** Bytes that may wait while the backend fails; default 128 MiB. */
  readonly maxWaitingBytes?: number
  /** ms without any answer after which the backend counts as failed; default 3000. What it does answer later counts. */
  readonly patience?: number
  /** Hears that the backend had lost what it held, and has all of it again. */
  readonly onRestated?: () => void
}

interface Waiting {
  readonly plan: Plan
  readonly resolve: () => void
  readonly reject: (error: StoreError) => void
}

const MAX_WAITING_BYTES = 128 << 20
const PATIENCE = 3000

export class AedesStore implements DurableStore {
  readonly volatile = false
  readonly #backend: Backend
  readonly #planner: Planner
  readonly #writer: BackendWriter
  readonly #restatement: Restatement
  readonly #onRestated: () => void
  readonly #maxWaitingBytes: number
  readonly #patience: number
  #state: 'new' | 'open' | 'closed' = 'new'
  readonly #plans: Plan[] = []
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #running: Promise<void> | undefined
  #refusal: StoreError | undefined
  #watch: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(options: AedesStoreOptions) {
    const { backend, maxWaitingBytes = MAX_WAITING_BYTES, patience = PATIENCE, onRestated = () => {} } = options
    this.#backend = backend
    this.#writer = new BackendWriter(backend)
    this.#planner = new Planner(this.#writer)
    this.#restatement = new Restatement(backend, this.#writer, this.#planner)
    this.#onRestated = onRestated
    this.#maxWaitingBytes = maxWaitingBytes
    this.#patience = patience
  }

  get newestMessage(): number {
    return this.#planner.newestMessage
  }

  get newestWallTime(): number {
    return this.#planner.newestWallTime
  }

  get refusal(): StoreError | undefined {
    return this.#refusal
  }

  /** @throws BackendProblem when it is not what version 11 says; the backend's own error when it cannot be reached. */
  async open(): Promise<void> {
    if (this.#state !== 'new') throw new Error('a store is opened once')
    await setUp(this.#backend, new LoopbackBroker())
    this.#state = 'open'
  }

  async *recover(): AsyncGenerator<JournalRecord, void> {
    if (this.#state !== 'open') throw new StoreError('closed', 'the store is not open')
    yield* new BackendReader(this.#backend, this.#writer, this.#planner).records()
  }

  commit(batch: readonly JournalRecord[]): Promise<void> {
    if (this.#state !== 'open') return Promise.reject(new StoreError('closed', 'the store is not open'))
    if (this.#refusal !== undefined && batch.length > 0 && this.#waitingBytes >= this.#maxWaitingBytes) {
      return Promise.reject(new StoreError('backlog', 'the backend fails, and no more can be kept for it'))
    }
    // The bytes are the caller's again when this resolves, or fails; what is kept for later is our own.
    const plan = this.#planner.plan(batch.map(owned))
    this.#plans.push(plan)
    this.#waitingBytes += plan.bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ plan, resolve, reject })
      this.#running ??= this.#run()
      this.#beginWatch()
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #run(): Promise<void> {
    await undefined // so that `#running` is set before it ends
    for (let plan = this.#plans[0]; plan !== undefined; plan = this.#plans[0]) {
      try {
        const progress = (): void => {
          this.#watch?.refresh()
        }
        if (plan.mark !== undefined && !(await this.#restatement.isAsLeft(plan))) {
          await this.#restatement.run(progress)
          this.#onRestated()
        }
        await plan.run(progress)
      } catch (error) {
        this.#refuse(refusalOf(error, 'the backend'))
        break
      }
      this.#plans.shift()
      this.#waitingBytes -= plan.bytes
      if (this.#plans.length === 0) this.#refusal = undefined
      this.#waiting = this.#waiting.filter((one) => {
        if (one.plan === plan) one.resolve()
        return one.plan !== plan
      })
    }
    clearTimeout(this.#watch)
    this.#watch = undefined
    // Here, not in a continuation: who waited for the last plan may commit the next before that runs.
    this.#running = undefined
  }

  /** All that wait are told no; their plans stay, to be carried out before anything newer. */
  #refuse(refusal: StoreError): void {
    clearTimeout(this.#watch)
    this.#watch = undefined
    this.#refusal = refusal
    const refused = this.#waiting
    this.#waiting = []
    for (const { reject } of refused) reject(refusal)
  }

  /** A backend that waits for its database for ever has failed, too; once it has, it need not be waited for so long. */
  #beginWatch(): void {
    if (this.#watch !== undefined) return
    const ms = this.#refusal === undefined ? this.#patience : this.#patience / 6
    this.#watch = setTimeout(() => {
      this.#refuse(new StoreError('device', `the backend: no answer for ${ms / 1000} s`))
    }, ms)
  }

  async #close(): Promise<void> {
    const wasOpen = this.#state === 'open'
    this.#state = 'closed'
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#patience / 2)
    })
    // What hangs now will not be told: nothing of it was acknowledged.
    await Promise.race([this.#running, patience])
    if (this.#plans.length > 0) this.#refuse(new StoreError('closed', 'the store was closed'))
    if (wasOpen) await Promise.race([this.#backend.destroy(), patience])
    clearTimeout(timer)
  }
}

/** The record with bytes of its own. */
function owned(record: JournalRecord): JournalRecord {
  if (record.type !== 'message-stored' && record.type !== 'will-set') return record
  return { ...record, payload: Buffer.from(record.payload), properties: Buffer.from(record.properties) }
}
