// The store of `persistence: aedes:PACKAGE`, as the broker has it: an AedesStore in a thread of its own (backend-thread.ts says why).
// Owns the thread. A thread that ends by itself takes the store with it: everything is refused from then on.

import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import type { DurableStore, JournalRecord } from '../durable-store.ts'
import { StoreError } from '../store-error.ts'
import { BackendProblem } from './backend.ts'
import {
  type Answer,
  type Failure,
  type RecoveredPiece,
  type Request,
  type ThreadTask,
  unshared,
} from './thread-messages.ts'

export interface ThreadedStoreOptions extends ThreadTask {
  /** Hears what the package writes or throws where nobody else listens. */
  readonly onStray: (text: string) => void
}

interface Pending {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

/** How long `open` waits for a database that is not there, ms, and `close` for one that does not answer. */
const OPEN_PATIENCE = 30_000
const CLOSE_PATIENCE = 2000

export class ThreadedStore implements DurableStore {
  readonly volatile = false
  newestMessage = 0
  newestWallTime = -Infinity
  readonly #options: ThreadedStoreOptions
  readonly #pending = new Map<number, Pending>()
  #worker: Worker | undefined
  #ended: StoreError | undefined
  #lastId = 0
  #closing: Promise<void> | undefined

  constructor(options: ThreadedStoreOptions) {
    this.#options = options
  }

  /** @throws BackendProblem for a package that cannot be used; StoreError `device` when its database does not answer. */
  async open(): Promise<void> {
    if (this.#worker !== undefined) throw new Error('a store is opened once')
    const { file, options, maxWaitingBytes } = this.#options
    const worker = new Worker(new URL('./backend-thread.js', import.meta.url), {
      workerData: { file, options, maxWaitingBytes } satisfies ThreadTask,
      stdout: true,
      stderr: true,
      // Nothing of ours that is for the main thread alone: a loader, a test's coverage, a heap limit.
      execArgv: [],
    })
    this.#worker = worker
    for (const output of [worker.stdout, worker.stderr]) this.#listen(output)
    worker.on('message', (answer: Answer) => this.#answered(answer))
    worker.on('error', (error) => this.#end(`the backend's thread failed: ${error.message}`))
    worker.on('exit', () => this.#end("the backend's thread has ended"))
    try {
      await within(OPEN_PATIENCE, this.#ask({ ask: 'open' }))
    } catch (error) {
      await this.#terminate()
      throw error
    }
  }

  async *recover(): AsyncGenerator<JournalRecord, void> {
    for (;;) {
      const piece = await this.#ask<RecoveredPiece>({ ask: 'recover' })
      this.newestMessage = piece.newestMessage
      this.newestWallTime = piece.newestWallTime
      if (piece.records === undefined) return
      yield* piece.records
    }
  }

  commit(batch: readonly JournalRecord[]): Promise<void> {
    return this.#ask({ ask: 'commit', batch: batch.map(unshared) })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #ask<T = void>(request: Request): Promise<T> {
    const worker = this.#worker
    if (worker === undefined || this.#ended !== undefined || (this.#closing !== undefined && request.ask !== 'close'))
      return Promise.reject(this.#ended ?? new StoreError('closed', 'the store is not open'))
    const id = ++this.#lastId
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      worker.postMessage({ id, ...request })
    })
  }

  #answered(answer: Answer): void {
    if ('stray' in answer) {
      this.#options.onStray(answer.stray)
      return
    }
    const pending = this.#pending.get(answer.id)
    this.#pending.delete(answer.id)
    if (answer.failure !== undefined) pending?.reject(errorOf(answer.failure))
    else pending?.resolve(answer.value as never)
  }

  #listen(output: Readable): void {
    createInterface({ input: output }).on('line', (line) => {
      // An error comes with its stack; its first line will do.
      if (line.trim() !== '' && !/^\s+at /.test(line)) this.#options.onStray(line)
    })
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return
    this.#ended = new StoreError(this.#closing === undefined ? 'device' : 'closed', why)
    for (const { reject } of this.#pending.values()) reject(this.#ended)
    this.#pending.clear()
  }

  async #close(): Promise<void> {
    if (this.#worker === undefined || this.#ended !== undefined) return
    try {
      // Behind all commits: the thread answers them first, or has waited for its backend long enough.
      await within(CLOSE_PATIENCE, this.#ask({ ask: 'close' }))
    } catch (error) {
      this.#options.onStray(`closing failed: ${(error as Error).message}`)
    }
    await this.#terminate()
  }

  async #terminate(): Promise<void> {
    await this.#worker?.terminate()
    this.#end('the store is closed')
  }
}

function errorOf(failure: Failure): Error {
  if (failure.kind === 'store') return new StoreError(failure.reason, failure.message)
  if (failure.kind === 'problem') return new BackendProblem(failure.message, failure.advice)
  return new StoreError('device', `the backend: ${failure.message}`)
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StoreError('device', `the backend: no answer for ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
