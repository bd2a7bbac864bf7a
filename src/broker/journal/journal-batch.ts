// The batch that collects while another one is being stored. Its records may still be taken back: a message that all its
// receivers acknowledged before the batch was handed over leaves it, payload unread, as if it had never been there.
// Owns a hold on each message it will store; gives it back when the payload is copied, or not wanted any more.
import type { JournalRecord } from '../../store/journal-record.ts'
import type { Message } from '../message.ts'

/** Told when what an acknowledgement waits for has become unnecessary. */
export interface EarlyRelease {
  releaseEarly(): void
}

/** Stands for the batch of all that was read back from the store: none that will be open again. */
export const RECOVERED = -1

/** What the journal knows of one Application Message. */
export class StoredMessage {
  readonly message: Message
  /** The number all records name it by. */
  readonly number: number
  /** Places in sessions, groups and the retained messages that need it, as the records say. */
  references = 0
  /** The ticket of the batch that stores it, and its place there. */
  readonly batch: number
  readonly at: number
  /** Records of that batch that name it. */
  records = 0
  /** It waited in a shared group, and may come back to it: taking records back could leave it nobody's for a moment. */
  wasShared = false
  /** The PUBACK that waits for nothing but this message. */
  waiting: EarlyRelease | undefined

  constructor(message: Message, number: number, batch: number, at: number) {
    this.message = message
    this.number = number
    this.batch = batch
    this.at = at
  }
}

/** What a record takes beside its payload, about: it bounds memory, not the file. */
const RECORD_SIZE = 64
const MESSAGE_SIZE = 160

export class JournalBatch {
  /** Told as stored when the batch is. */
  readonly ticket: number
  readonly #entries: (JournalRecord | StoredMessage | undefined)[] = []
  readonly #wills = new Map<string, number>()
  #live = 0
  /** About how many bytes of memory it holds. */
  bytes = 0

  constructor(ticket: number) {
    this.ticket = ticket
  }

  get isEmpty(): boolean {
    return this.#live === 0
  }

  /** Records and messages in it. */
  get size(): number {
    return this.#live
  }

  /** Appends a record and returns its place. */
  add(record: JournalRecord): number {
    this.#live++
    this.bytes += RECORD_SIZE
    return this.#entries.push(record) - 1
  }

  /** Appends a message, to be read when the batch is handed over. */
  addMessage(message: Message, number: number): StoredMessage {
    this.#live++
    const stored = new StoredMessage(message.hold(), number, this.ticket, this.#entries.length)
    this.bytes += MESSAGE_SIZE + message.size
    this.#entries.push(stored)
    return stored
  }

  /** A client's will record; only its last one in a batch says anything. */
  addWill(clientId: string, record: JournalRecord): void {
    const earlier = this.#wills.get(clientId)
    if (earlier !== undefined) this.takeBack(earlier)
    this.#wills.set(clientId, this.add(record))
  }

  replace(at: number, record: JournalRecord): void {
    this.#entries[at] = record
  }

  /** The record never happened. */
  takeBack(at: number): void {
    this.#entries[at] = undefined
    this.#live--
    this.bytes -= RECORD_SIZE
  }

  /** A message that no record of this batch names any more, and nobody needs. */
  takeBackMessage(stored: StoredMessage): void {
    this.#entries[stored.at] = undefined
    this.#live--
    this.bytes -= MESSAGE_SIZE + stored.message.size
    stored.message.release()
  }

  /** The records as the store gets them; payloads are copied now. The batch is used up. */
  finish(recordOf: (stored: StoredMessage) => JournalRecord): JournalRecord[] {
    const records: JournalRecord[] = []
    for (const entry of this.#entries) {
      if (entry === undefined) continue
      if (!(entry instanceof StoredMessage)) {
        records.push(entry)
        continue
      }
      records.push(recordOf(entry))
      entry.waiting = undefined
      entry.message.release()
    }
    return records
  }
}
