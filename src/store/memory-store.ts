// The store of a broker without persistence: keeps nothing, so nothing is lost that was promised. Sessions live as long as
// the process, in the broker's own memory.

import type { DurableStore } from './durable-store.ts'
import type { JournalRecord } from './journal-record.ts'

const COMMITTED = Promise.resolve()

export class MemoryStore implements DurableStore {
  readonly volatile = true

  async open(): Promise<void> {}

  async *recover(): AsyncGenerator<JournalRecord, void> {}

  commit(_batch: readonly JournalRecord[]): Promise<void> {
    return COMMITTED
  }

  async close(): Promise<void> {}
}
