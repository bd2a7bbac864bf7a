// The thread a backend runs in. Packages of others do their work here: what they compute stalls no client, and what they throw
// where nobody listens (a database client's own promises, when the connection breaks) ends no broker.

import { parentPort, workerData } from 'node:worker_threads'
import type { JournalRecord } from '../journal-record.ts'
import { StoreError } from '../store-error.ts'
import { AedesStore } from './aedes-store.ts'
import { BackendProblem } from './backend.ts'
import { loadBackend } from './load-backend.ts'
import { type Failure, type RecoveredPiece, type Request, type ThreadTask, unshared } from './thread-messages.ts'

const PIECE_RECORDS = 1000
const PIECE_BYTES = 4 << 20

const { file, options, maxWaitingBytes } = workerData as ThreadTask
const port = parentPort!
let store: AedesStore | undefined
let recovering: AsyncGenerator<JournalRecord, void> | undefined

const stray = (error: unknown): void =>
  port.postMessage({ stray: error instanceof Error ? error.message : String(error) })
process.on('unhandledRejection', stray)
process.on('uncaughtException', stray)

port.on('message', ({ id, ...request }: Request & { id: number }) => {
  answer(request as Request).then(
    (value) => port.postMessage({ id, value }),
    (error: unknown) => port.postMessage({ id, failure: failureOf(error) }),
  )
})

async function answer(request: Request): Promise<unknown> {
  switch (request.ask) {
    case 'open':
      store = new AedesStore({
        backend: await loadBackend(file, options),
        maxWaitingBytes,
        onRestated: () => stray('it had lost what it held, and was given all of it again'),
      })
      return store.open()
    case 'recover':
      recovering ??= store!.recover()
      return piece(recovering, store!)
    case 'commit':
      return store!.commit(request.batch)
    case 'close':
      return store?.close()
    default:
      return request satisfies never
  }
}

/** So much of what is recovered as one message should carry. */
async function piece(all: AsyncGenerator<JournalRecord, void>, from: AedesStore): Promise<RecoveredPiece> {
  const records: JournalRecord[] = []
  let bytes = 0
  while (records.length < PIECE_RECORDS && bytes < PIECE_BYTES) {
    const { done, value } = await all.next()
    if (done === true) break
    records.push(value)
    if ('payload' in value) bytes += value.payload.length
  }
  const { newestMessage, newestWallTime } = from
  return { records: records.length === 0 ? undefined : records.map(unshared), newestMessage, newestWallTime }
}

function failureOf(error: unknown): Failure {
  if (error instanceof StoreError) return { kind: 'store', reason: error.reason, message: error.message }
  if (error instanceof BackendProblem) return { kind: 'problem', message: error.message, advice: error.advice }
  return { kind: 'other', message: error instanceof Error ? error.message : String(error) }
}
