// What the broker's thread and the backend's say to each other. Everything is copied on its way.

import type { JournalRecord } from '../journal-record.ts'
import type { StoreRefusal } from '../store-error.ts'

/** What the thread is started with. */
export interface ThreadTask {
  /** The file the package begins with. */
  readonly file: string
  readonly options: Readonly<Record<string, unknown>>
  readonly maxWaitingBytes: number
}

export type Request =
  | { readonly ask: 'open' }
  | { readonly ask: 'recover' }
  | { readonly ask: 'commit'; readonly batch: readonly JournalRecord[] }
  | { readonly ask: 'close' }

/** An error that crosses threads: classes do not. */
export type Failure =
  | { readonly kind: 'store'; readonly reason: StoreRefusal; readonly message: string }
  | { readonly kind: 'problem'; readonly message: string; readonly advice: string }
  | { readonly kind: 'other'; readonly message: string }

export type Answer =
  /** Of a request, in no particular order. */
  | { readonly id: number; readonly failure?: Failure; readonly value?: unknown }
  /** What the backend's code threw or rejected where nobody was listening. */
  | { readonly stray: string }

/** A piece of what `recover` tells; undefined records: that was all. */
export interface RecoveredPiece {
  readonly records: readonly JournalRecord[] | undefined
  readonly newestMessage: number
  readonly newestWallTime: number
}

/** The record with bytes of its own: a view of a large buffer would be copied with all of it. */
export function unshared(record: JournalRecord): JournalRecord {
  if (record.type !== 'message-stored' && record.type !== 'will-set') return record
  return { ...record, payload: new Uint8Array(record.payload), properties: new Uint8Array(record.properties) }
}
