// A store looked at and worked on from outside: what `martlet store` does. Reading takes no lock and changes nothing, so it is
// safe on a copy and on a store in use (whose newest commits it may or may not see); writing takes the lock.

import { type CompactionResult, compact } from './journal/compaction.ts'
import { syncDirectory } from './journal/file-io.ts'
import { discard, type Source, surveyDirectory } from './journal/journal-files.ts'
import { JournalReader } from './journal/journal-reader.ts'
import { LiveState } from './journal/live-state.ts'
import { DirectoryLock } from './journal/lock.ts'
import { Recovery } from './journal/recovery.ts'
import { newMetrics, type StoreEvent } from './journal/store-events.ts'
import type { JournalRecord } from './journal-record.ts'
import { JournalStore } from './journal-store.ts'
import { StoreError } from './store-error.ts'

export { fromJson, toJson } from './journal/record-json.ts'

/** Records committed at once by `importStore`. */
const IMPORT_BATCH = 1000

export interface StoreReport {
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly records: number }[]
  /** Records by type. */
  readonly records: Readonly<Record<string, number>>
  /** A commit cut short at the very end: what a crash leaves, nothing that was acknowledged. */
  readonly tornTail: string | undefined
  /** What was stored and cannot be read, one sentence each. */
  readonly damage: readonly string[]
}

/** Reads everything and counts. @throws what the file system says if the directory cannot be listed. */
export function checkStore(directory: string): StoreReport {
  const { sources, unreadable, missing } = surveyDirectory(directory)
  const reader = new JournalReader()
  const perFile = new Map(sources.map(({ path, end }) => [path, { path, bytes: end, records: 0 }]))
  const records: Record<string, number> = {}
  for (const commit of reader.commits(sources)) {
    perFile.get(commit.source.path)!.records += commit.records.length
    for (const { type } of commit.records) records[type] = (records[type] ?? 0) + 1
  }
  const sentence = ({ source, offset, reason }: { source: Source; offset: number; reason: string }): string =>
    `${source.path}: ${reason} at byte ${offset}`
  const torn = reader.faults.find(({ source }) => !source.sealed)
  const damage = [
    ...missing.map((id) => `segment ${id} is missing`),
    ...unreadable.map(({ path, problem }) => `${path} ${problem}`),
    ...reader.faults.filter(({ source }) => source.sealed).map(sentence),
  ]
  return { files: [...perFile.values()], records, tornTail: torn === undefined ? undefined : sentence(torn), damage }
}

/** Every record there is, dead or alive, in the order it was committed, and where it stands. Reads as it is asked. */
export function* dumpStore(
  directory: string,
): Generator<{ path: string; offset: number; record: JournalRecord }, void> {
  for (const { source, offset, records } of new JournalReader().commits(surveyDirectory(directory).sources))
    for (const record of records) yield { path: source.path, offset, record }
}

/** What is alive, as records that say it from the beginning; what cannot be read is left out. Reads as it is asked. */
export function* exportStore(directory: string): Generator<JournalRecord, void> {
  const { sources } = surveyDirectory(directory)
  const state = new LiveState()
  for (const { records } of new JournalReader({ skipBodies: true }).commits(sources))
    for (const record of records) state.apply(record)
  yield* state.withoutMessages()
  for (const { records } of new JournalReader().commits(sources))
    for (const record of records) if (record.type === 'message-stored' && state.claim(record.message)) yield record
  yield* state.references()
}

/**
 * Fills a new store, in a directory that is empty or not there yet; returns how many records. All or nothing: when it fails,
 * also because the records end with an error, no store is left there.
 * @throws StoreError `exists` if there is a store already; else what the records or the file system say.
 */
export async function importStore(
  directory: string,
  records: Iterable<JournalRecord> | AsyncIterable<JournalRecord>,
): Promise<number> {
  const store = new JournalStore({ directory })
  await store.open()
  let isOurs = false
  try {
    for await (const _ of store.recover()) throw new StoreError('exists', `${directory} holds a store already`)
    isOurs = true
    return await fill(store, records)
  } catch (error) {
    if (isOurs) {
      await store.close()
      const { sources } = surveyDirectory(directory)
      for (const source of sources) await discard(source)
    }
    throw error
  } finally {
    await store.close()
  }
}

async function fill(
  store: JournalStore,
  records: Iterable<JournalRecord> | AsyncIterable<JournalRecord>,
): Promise<number> {
  let count = 0
  let batch: JournalRecord[] = []
  for await (const record of records) {
    count++
    if (batch.push(record) < IMPORT_BATCH) continue
    await store.commit(batch)
    batch = []
  }
  await store.commit(batch)
  return count
}

/**
 * Makes one checkpoint of everything; undefined if there is nothing.
 * @throws StoreError `locked` if a broker has it.
 */
export async function compactStore(
  directory: string,
  tell: (event: StoreEvent) => void,
): Promise<Omit<CompactionResult, 'pieces'> | undefined> {
  const lock = await DirectoryLock.take(directory)
  try {
    const metrics = newMetrics()
    const recovery = new Recovery(directory, { metrics, tell })
    for await (const _ of recovery.records(false)); // to learn where each file ends
    const { sources } = await recovery.finish()
    if (sources.length === 0) return undefined
    const [first] = sources
    if (sources.length === 1 && first?.kind === 'checkpoint' && first.cut !== true)
      return { checkpoint: first, records: metrics.recordsRecovered } // compacted already
    const result = compact({ directory, sources })
    for (const source of sources) if (source.path !== result.checkpoint.path) await discard(source)
    await syncDirectory(directory)
    return result
  } finally {
    lock.release()
  }
}
