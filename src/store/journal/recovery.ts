// Reads back what earlier processes stored, and leaves the directory fit for writing: what was superseded is removed, what
// cannot be read is kept aside under another name and never in the way of a start.

import { existsSync, truncateSync } from 'node:fs'
import { lstat, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import type { JournalRecord } from '../journal-record.ts'
import { damagedName } from './file-format.ts'
import { copyRange, syncDirectory } from './file-io.ts'
import { type Layout, type Source, surveyDirectory } from './journal-files.ts'
import { JournalReader, type ReadFault } from './journal-reader.ts'
import { MessageIndex } from './message-index.ts'
import type { RecoveryProgress, StoreEvent, StoreMetrics } from './store-events.ts'

/** After so many bytes the event loop gets a turn, and the owner hears how far it is. */
const BREATH = 4 << 20
/** Of `.damaged` files the newest are kept. */
const KEPT_DAMAGED = 16

export interface RecoveryOptions {
  readonly metrics: StoreMetrics
  tell(event: StoreEvent): void
  onProgress?(progress: RecoveryProgress): void
}

/** What recovery found out for whoever goes on writing. */
export interface Recovered {
  /** The newest checkpoint and the segments behind it, each as long as it is good. */
  readonly sources: readonly Source[]
  /** The last segment, and how much of it counts. */
  readonly previous: { readonly id: number; readonly end: number; readonly nextId: number }
  readonly newestWallTime: number
  readonly newestMessage: number
  /** Where the messages are. */
  readonly index: MessageIndex
}

export class Recovery {
  readonly #directory: string
  readonly #options: RecoveryOptions
  readonly #layout: Layout
  readonly #reader = new JournalReader()
  readonly #index = new MessageIndex()
  /** Source → where its good bytes end, for those with a fault. */
  readonly #ends = new Map<string, number>()
  /** Sources whose unreadable part could not be copied. */
  readonly #irreplaceable = new Set<string>()

  constructor(directory: string, options: RecoveryOptions) {
    this.#directory = directory
    this.#options = options
    this.#layout = surveyDirectory(directory)
  }

  /** There is nothing to read. */
  get isEmpty(): boolean {
    return this.#layout.sources.length === 0
  }

  /** With `borrows` the bytes of a record are valid until the next one is asked for. */
  async *records(borrows: boolean): AsyncGenerator<JournalRecord, void> {
    this.#reader.decoder.borrows = borrows
    const { metrics } = this.#options
    const totalBytes = this.#layout.sources.reduce((sum, { end }) => sum + end, 0)
    let bytes = 0
    let breath = BREATH
    for (const { id, path } of this.#layout.sources) this.#index.add(id, path)
    for (const { source, offset, end, records, pieces } of this.#reader.commits(this.#layout.sources)) {
      this.#index.note(source.id, pieces, 0, end)
      for (const record of records) yield record
      metrics.recordsRecovered += records.length
      bytes += end - offset
      if (bytes < breath) continue
      breath = bytes + BREATH
      this.#options.onProgress?.({ bytes, totalBytes, records: metrics.recordsRecovered })
      await breathe()
    }
    this.#options.onProgress?.({ bytes: totalBytes, totalBytes, records: metrics.recordsRecovered })
  }

  /** Once all records were read: sets aside what could not be, and says where to go on. */
  async finish(): Promise<Recovered> {
    const { tell, metrics } = this.#options
    for (const id of this.#layout.missing) {
      metrics.faults++
      tell({ kind: 'damaged', level: 'error', text: `segment ${id} of the store is missing; what it held is lost` })
    }
    for (const { path, problem } of this.#layout.unreadable) await this.#setFileAside(path, problem)
    for (const fault of this.#reader.faults) await this.#setTailAside(fault)
    for (const path of this.#layout.obsolete) await this.#remove(path)
    await this.#dropOldDamaged()
    const sources = this.#layout.sources.map((source) => ({
      ...source,
      end: this.#ends.get(source.path) ?? source.end,
    }))
    const last = sources.at(-1)
    const previous = { id: last?.id ?? 0, end: last?.end ?? 0, nextId: this.#layout.newestId + 1 }
    const { newestWallTime, newestMessage } = this.#reader.decoder
    return { sources, previous, newestWallTime, newestMessage, index: this.#index }
  }

  async #setTailAside({ source, offset, reason }: ReadFault): Promise<void> {
    const { metrics, tell } = this.#options
    metrics.faults++
    this.#ends.set(source.path, offset)
    const size = existsSync(source.path) ? (await stat(source.path)).size : 0
    const target = join(this.#directory, damagedName(source.id, offset))
    let outcome = 'nothing was left to keep'
    if (size > offset) {
      try {
        await copyRange(source.path, offset, size, target)
        metrics.bytesSetAside += size - offset
        outcome = `the ${size - offset} bytes behind it are kept as ${target}`
        truncateSync(source.path, offset)
      } catch (error) {
        outcome = `the ${size - offset} bytes behind it stay there, unread: ${(error as Error).message}`
        this.#irreplaceable.add(source.path)
      }
    }
    const torn = !source.sealed
    tell({
      kind: torn ? 'torn-tail' : 'damaged',
      level: torn ? 'warn' : 'error',
      text: `${source.path}: ${reason} at byte ${offset}${torn ? ', the last commit was cut short by a crash' : ''}; ${outcome}`,
    })
  }

  /** A file with no header: created in the moment of a crash, or overwritten by somebody. */
  async #setFileAside(path: string, problem: string): Promise<void> {
    const { metrics, tell } = this.#options
    const target = `${path}.damaged`
    metrics.faults++
    let text = `${path} ${problem}; it is kept as ${target}`
    try {
      metrics.bytesSetAside += (await lstat(path)).size
      await rename(path, target)
      await syncDirectory(dirname(path))
    } catch (error) {
      text = `${path} ${problem} and stays where it is, unread: ${(error as Error).message}`
    }
    tell({ kind: 'damaged', level: 'warn', text })
  }

  async #remove(path: string): Promise<void> {
    try {
      await rm(path, { force: true })
    } catch (error) {
      // It is not read the next time either; space is all that is lost.
      this.#options.tell({ kind: 'damaged', level: 'warn', text: `${path} is superseded but cannot be removed`, error })
    }
  }

  async #dropOldDamaged(): Promise<void> {
    const damaged = (await readdir(this.#directory)).filter((name) => name.endsWith('.damaged')).sort()
    for (const name of damaged.slice(0, -KEPT_DAMAGED)) await this.#remove(join(this.#directory, name))
  }
}
