// The store a configuration asks for: the journal in its folder, or none. What the store has to tell becomes log lines.
import type { Configuration } from '../config/configuration.ts'
import type { DurableStore } from '../store/durable-store.ts'
import { JournalStore, type RecoveryProgress } from '../store/journal-store.ts'
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
    onEvent: ({ kind, level, text, error }) =>
      log[level]({ store: kind, directory, ...(error === undefined ? {} : { err: error }) }, text),
    onProgress: progressLog(directory, log),
  })
}

/** A line for every tenth, and at least one a second: an operator who waits sees that something happens, and how far it is. */
function progressLog(directory: string, log: Logger): (progress: RecoveryProgress) => void {
  let toldPercent = 0
  let toldAt = performance.now()
  return ({ bytes, totalBytes, records }) => {
    const percent = Math.floor((bytes / totalBytes) * 100)
    const now = performance.now()
    if (percent < toldPercent + 10 && percent < 100 && now < toldAt + 1000) return
    toldPercent = percent
    toldAt = now
    log.info({ directory, percent, records }, 'recovering')
  }
}
