// The store a configuration asks for: the journal in its folder, or none. What the store has to tell becomes log lines.
import type { Configuration } from '../config/configuration.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { JournalStore } from '../store/journal-store.ts'
import { MemoryStore } from '../store/memory-store.ts'
import type { Logger } from '../telemetry/log.ts'

/** How much more than one waiting batch the store may hold: what it refused stays with it until it works again. */
const STORE_ROOM = 8

/** Makes the store, not yet open. */
export function storeOf(configuration: Configuration, log: Logger): DurableStore {
  const { persistence, persistenceLocation: directory, durability, maxUnstoredBytes } = configuration
  if (!persistence) return new MemoryStore()
  return new JournalStore({
    directory,
    durability: durability as 'fsync' | 'os' | 'none',
    maxWaitingBytes: maxUnstoredBytes * STORE_ROOM,
    segmentBytes: configuration.storeSegmentSize,
    onEvent: ({ kind, level, text, error }) =>
      log[level]({ store: kind, directory, ...(error === undefined ? {} : { err: error }) }, text),
    onProgress: ({ bytes, totalBytes, records }) =>
      log.info({ directory, percent: Math.floor((bytes / totalBytes) * 100), records }, 'recovering'),
  })
}
