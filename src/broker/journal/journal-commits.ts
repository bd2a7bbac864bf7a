// Store, then acknowledge: the batches. One is being stored, all that comes meanwhile joins the next; says when what was
// collected so far is safe, and whether more may be collected. With a volatile store nothing is collected and nobody waits.
// What a failing store refused stays with it, to be stored before anything newer; meanwhile nothing more is handed over.
import type { DurableStore } from '../../store/durable-store.ts'
import type { JournalRecord } from '../../store/journal-record.ts'
import type { Clock } from '../../timers/clock.ts'
import { JournalBatch, type StoredMessage } from './journal-batch.ts'

/** Told when a ticket is safe. */
export interface JournalWaiter {
  handleStored(ticket: number): void
}

export interface JournalParts {
  readonly store: DurableStore
  readonly clock: Clock
  /** Bytes that may wait for the store before publishers do. */
  readonly limit: number
  /** The store refused a batch; `retry` asks whether it works again. */
  failed(error: unknown): void
  /** After failures the store took everything again. */
  recovered(): void
}

export abstract class JournalCommits {
  /** Nothing outlives the process: nothing is collected, nobody waits. */
  readonly isVolatile: boolean
  protected readonly parts: JournalParts
  protected batch = new JournalBatch(1)
  protected appended = 0
  protected appendedAtBegin = 0
  #committing: Promise<void> | undefined
  /** Records the store was given and has not confirmed. */
  #withStore = 0
  #isScheduled = false
  #waiters = new Set<JournalWaiter>()
  #forRoom: (() => void)[] = []
  /** The store refused the last batch. */
  isFailing = false
  /** Batches the store has taken. */
  commits = 0
  /** The store has everything up to this ticket. */
  storedTicket = 0

  constructor(parts: JournalParts) {
    this.parts = parts
    this.isVolatile = parts.store.volatile
  }

  /** The handling of a packet begins: what it appends, its answer must wait for. */
  begin(): void {
    this.appendedAtBegin = this.appended
  }

  /** Whether anything was collected since `begin`, in this call into JavaScript. */
  get mustWait(): boolean {
    return this.appended !== this.appendedAtBegin
  }

  /** The ticket that will be told as stored once everything collected up to now is safe. */
  get openTicket(): number {
    return this.batch.ticket
  }

  /** The store fails, or has hardly any space left: nothing is taken that it would have to keep. */
  get takesNothingNew(): boolean {
    return this.isFailing || this.isShort
  }

  /** The store takes what it is given, but its space is nearly used up. */
  get isShort(): boolean {
    return this.parts.store.shortage !== undefined
  }

  /** Records collected and not confirmed by the store: what depends on them was not acknowledged. */
  get unstoredRecords(): number {
    return this.#withStore + this.batch.size
  }

  /** Whether more must not be collected for now: the store is behind, fails, or is nearly full. */
  get isBlocked(): boolean {
    return this.takesNothingNew || this.batch.bytes >= this.parts.limit
  }

  /** Resolves when it may have changed that more must not be collected. */
  room(): Promise<void> {
    return new Promise((resolve) => this.#forRoom.push(resolve))
  }

  /** Asks to be told of every ticket that becomes safe, until `forget`. */
  wait(waiter: JournalWaiter): void {
    this.#waiters.add(waiter)
  }

  forget(waiter: JournalWaiter): void {
    this.#waiters.delete(waiter)
  }

  /** The store failed a while ago: asks whether it works again. */
  retry(): void {
    if (this.#forRoom.length > 0 && !this.isBlocked) this.#tellRoom() // space was short, and is no longer
    // An empty batch stands behind what was refused, so when it is stored all that is too.
    if (this.isFailing) this.#handOver([], this.batch.ticket - 1)
  }

  /** Starts a commit if there is something to commit and none is under way. */
  #commit(): void {
    if (this.isFailing || this.batch.isEmpty) return
    if (this.#committing !== undefined) return
    const batch = this.batch
    this.batch = new JournalBatch(batch.ticket + 1)
    const records = batch.finish((stored) => this.messageRecord(stored))
    this.#withStore = records.length
    this.#handOver(records, batch.ticket)
    this.#tellRoom()
  }

  #handOver(records: JournalRecord[], ticket: number): void {
    this.#committing ??= this.parts.store.commit(records).then(
      () => this.#committed(ticket),
      (error: unknown) => this.#failed(error),
    )
  }

  #committed(ticket: number): void {
    this.#committing = undefined
    this.#withStore = 0
    this.commits++
    this.storedTicket = ticket
    if (this.isFailing) {
      this.isFailing = false
      this.parts.recovered()
      this.#tellRoom()
    }
    for (const waiter of [...this.#waiters]) waiter.handleStored(ticket)
    this.#commit()
  }

  /** What was not stored is never acknowledged. */
  #failed(error: unknown): void {
    this.#committing = undefined
    this.isFailing = true
    // Those who stand still for want of room must look again: some of them are refused now.
    this.#tellRoom()
    this.parts.failed(error)
  }

  #tellRoom(): void {
    const waiting = this.#forRoom
    this.#forRoom = []
    for (const resolve of waiting) resolve()
  }

  /** Resolves when everything collected is committed, or the store has failed. */
  async settle(): Promise<void> {
    while (this.#committing !== undefined || !this.batch.isEmpty) {
      if (this.isFailing) this.retry()
      else this.#commit()
      await this.#committing
      if (this.isFailing) return
    }
  }

  /** A message as the store gets it; asked when its batch is handed over. */
  protected abstract messageRecord(stored: StoredMessage): JournalRecord

  protected append(record: JournalRecord): number {
    const at = this.batch.add(record)
    this.collected()
    return at
  }

  protected appendWill(record: JournalRecord & { clientId: string }): void {
    this.batch.addWill(record.clientId, record)
    this.collected()
  }

  protected collected(): void {
    this.appended++
    if (this.#isScheduled) return
    this.#isScheduled = true
    // A microtask runs when the turn's one call, or the timer or promise that brought us here, is over: the batch is
    // everything that call did, and whoever comes next (a deadline, a hook's answer) has collected nothing yet.
    queueMicrotask(() => {
      this.#isScheduled = false
      this.begin()
      this.#commit()
    })
  }
}
