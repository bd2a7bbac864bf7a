// QoS 2 messages in flight whose packet identifiers the store does not know yet. Each is sent when it does, in order; what
// is left when the connection ends is sent again by the next one like everything unacknowledged. Exists only while used.
import type { Journal } from '../journal/journal.ts'
import type { JournalWaiter } from '../journal/journal-commits.ts'

export class UnstoredMessages implements JournalWaiter {
  readonly #journal: Journal
  readonly #send: (packetId: number) => void
  /** Packet identifier → the ticket that makes it safe; oldest first. */
  readonly #tickets = new Map<number, number>()

  constructor(journal: Journal, send: (packetId: number) => void) {
    this.#journal = journal
    this.#send = send
  }

  has(packetId: number): boolean {
    return this.#tickets.has(packetId)
  }

  /** The record that names it has just been appended. */
  add(packetId: number): void {
    if (this.#tickets.size === 0) this.#journal.wait(this)
    this.#tickets.set(packetId, this.#journal.openTicket)
  }

  handleStored(ticket: number): void {
    for (const [packetId, needed] of this.#tickets) {
      if (needed > ticket) return
      this.#tickets.delete(packetId)
      this.#send(packetId)
    }
    this.#journal.forget(this)
  }

  clear(): void {
    this.#tickets.clear()
    this.#journal.forget(this)
  }
}
