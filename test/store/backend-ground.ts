// Ground for tests of stores on aedes-persistence backends: backends that outlive their store, as a database does, and what a
// history means when the parts are left out that the interface cannot hold.

import { createRequire } from 'node:module'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { AedesStore } from '../../src/store/aedes-backend/aedes-store.ts'
import { asBackend, type Backend } from '../../src/store/aedes-backend/backend.ts'
import type { JournalRecord, MessageStored } from '../../src/store/durable-store.ts'
import { Model } from './model.ts'
import { recordBatches } from './random-records.ts'
import { opened } from './support.ts'

const require = createRequire(import.meta.url)

export type Call = (backend: Backend, method: string, args: readonly unknown[]) => unknown

/** The backend with every call going through `call`, which may refuse it, delay it or count it. */
export function intercepted(backend: Backend, call: Call): Backend {
  return new Proxy(backend, {
    get: (target, name) => {
      const method = Reflect.get(target, name, target) as unknown
      if (typeof method !== 'function') return method
      return (...args: unknown[]) => call(target, String(name), args)
    },
  })
}

export function passOn(backend: Backend, method: string, args: readonly unknown[]): unknown {
  return (backend as unknown as Record<string, (...args: readonly unknown[]) => unknown>)[method]!(...args)
}

/** aedes-persistence itself, in memory, left as it is when a store closes. */
export function memoryBackend(): Backend {
  const made = asBackend((require('aedes-persistence') as () => unknown)())
  return intercepted(made, (backend, method, args) =>
    method === 'destroy' ? Promise.resolve() : passOn(backend, method, args),
  )
}

/**
 * Random histories, restarts in between: what is read back means what was committed. `fresh` makes new ground and returns
 * a way to a backend on it, as the next process would have it.
 */
export async function checkHistories(
  fresh: () => Promise<() => Promise<Backend> | Backend>,
  numRuns: number,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(recordBatches(), fc.integer({ min: 1, max: 12 }), async (batches, between) => {
      const next = await fresh()
      let store = await opened(new AedesStore({ backend: await next() }))
      let committed: JournalRecord[] = []
      let newest = 0
      let offset = 0
      for (const [index, wild] of batches.entries()) {
        const batch = sensible(committed, wild)
        await store.commit(batch.map((record) => moved(record, offset)))
        committed = committed.concat(batch)
        newest = batch.reduce((most, record) => ('message' in record ? Math.max(most, record.message) : most), newest)
        if (index % between !== between - 1 && index !== batches.length - 1) continue
        await store.close()
        store = await opened(new AedesStore({ backend: await next() }))
        assert.equal(meaning(store.recovered), meaning(committed))
        offset = store.newestMessage - newest
      }
      await store.close()
    }),
    { numRuns },
  )
}

/** The batch without what no broker writes, or the interface cannot hold: it is not this test's business. */
function sensible(before: readonly JournalRecord[], batch: readonly JournalRecord[]): JournalRecord[] {
  const open = new Set<string>()
  const see = (record: JournalRecord): void => {
    if (record.type === 'session-opened') open.add(record.clientId)
    if (record.type === 'session-removed') open.delete(record.clientId)
  }
  before.forEach(see)
  return batch.flatMap((record): JournalRecord[] => {
    const isOfSession = 'clientId' in record && record.type !== 'will-set' && record.type !== 'will-removed'
    if (isOfSession && record.type !== 'session-opened' && !open.has(record.clientId)) return []
    see(record)
    const plain = { ...record } as Record<string, unknown>
    if ('properties' in record) plain.properties = new Uint8Array(0)
    // An empty retained message is none, and nobody stores one.
    if (record.type === 'message-stored') plain.payload = Buffer.concat([Buffer.from('p'), record.payload])
    if (record.type === 'retained-set') {
      const is = batch.find((one) => one.type === 'message-stored' && one.message === record.message)
      plain.topicName = (is as MessageStored).topicName
    }
    if ('subscriptionIdentifiers' in record) plain.subscriptionIdentifiers = []
    if (record.type === 'will-set') Object.assign(plain, { at: undefined, delayInterval: 0, username: undefined })
    if (record.type === 'message-sent') plain.group = undefined
    return [plain as unknown as JournalRecord]
  })
}

function moved(record: JournalRecord, offset: number): JournalRecord {
  return 'message' in record ? { ...record, message: record.message + offset } : record
}

interface MeantSession {
  opened: { expiryInterval: number }
  left: unknown
  inflight: { packetId: number }[]
  inbound: number[]
}

/** What records mean, without numbers, times of arrival and the order of identifiers, as text. */
function meaning(records: readonly JournalRecord[]): string {
  const state = structuredClone(new Model(records).state()) as {
    sessions: Record<string, MeantSession>
  }
  for (const session of Object.values(state.sessions)) {
    session.inflight.sort((a, b) => a.packetId - b.packetId)
    session.inbound.sort((a, b) => a - b)
    // Said again, and perhaps changed, when the client left.
    if (session.left !== undefined) session.opened.expiryInterval = 0
  }
  return JSON.stringify(state, (key, value: unknown) => {
    // As published, which the queue of a receiver does not say; and what a restart numbers anew.
    if (key === 'at' || (key === 'message' && typeof value === 'number') || key === 'number') return undefined
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value === Infinity ? 'never' : value
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
    const { type, qos, ...rest } = value as Record<string, unknown>
    const sorted = Object.entries(type === 'message-stored' || qos === undefined ? rest : { ...rest, qos })
    return Object.fromEntries(sorted.sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
