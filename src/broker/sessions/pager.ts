// Reads the payloads of queued messages back from disk. One read at a time, as commits are written: whatever is asked for
// meanwhile joins the next one, so that a thousand clients that come back at once share what lies side by side on disk,
// and reading never takes the threads that commits need. Knows no queue.
import type { DurableStore, MessageStored } from '../../store/durable-store.ts'

/** One read takes no more requests once they come to this many bytes. */
const READ_BYTES = 4 << 20

export interface PagerParts {
  readonly store: DurableStore
  /** Bytes of a queue that stay in memory at its front, and about as many at its end. */
  readonly windowBytes: number
  /** And messages. */
  readonly windowMessages?: number
}

const WINDOW_MESSAGES = 256

/** Told how its read ended, later than the call that asked for it. */
export interface PageReader {
  /** In the order asked for; undefined for one the store does not have. */
  handleRead(messages: readonly (MessageStored | undefined)[]): void
  handleReadFailed(error: unknown): void
}

interface Request {
  readonly numbers: readonly number[]
  readonly bytes: number
  readonly reader: PageReader
}

export class Pager {
  /** Whether the store reads back what it was given: else payloads stay in memory. */
  readonly isActive: boolean
  readonly windowBytes: number
  readonly windowMessages: number
  readonly #store: DurableStore
  #waiting: Request[] = []
  #isReading = false
  /** Messages read so far. */
  messagesRead = 0

  constructor({ store, windowBytes, windowMessages = WINDOW_MESSAGES }: PagerParts) {
    this.#store = store
    this.isActive = store.readsBack === true && store.readMessages !== undefined
    this.windowBytes = windowBytes
    this.windowMessages = windowMessages
  }

  /** Reads the messages of these numbers, `bytes` in all. */
  read(numbers: readonly number[], bytes: number, reader: PageReader): void {
    this.#waiting.push({ numbers, bytes, reader })
    if (this.#isReading) return
    this.#isReading = true
    queueMicrotask(() => void this.#readAll())
  }

  async #readAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const requests = this.#take()
      const found = await this.#read(requests)
      if (found instanceof Error && requests.length > 1) {
        // One bad place on the disk is one session's fate, not that of all who asked together.
        for (const request of requests) tell([request], await this.#read([request]))
      } else tell(requests, found)
    }
    this.#isReading = false
  }

  async #read(requests: readonly Request[]): Promise<readonly (MessageStored | undefined)[] | Error> {
    try {
      const found = await this.#store.readMessages!(requests.flatMap(({ numbers }) => numbers))
      this.messagesRead += found.length
      return found
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  #take(): Request[] {
    let count = 0
    let bytes = 0
    while (count < this.#waiting.length && (count === 0 || bytes + this.#waiting[count]!.bytes <= READ_BYTES))
      bytes += this.#waiting[count++]!.bytes
    return this.#waiting.splice(0, count)
  }
}

function tell(requests: readonly Request[], found: readonly (MessageStored | undefined)[] | Error): void {
  let at = 0
  for (const { numbers, reader } of requests) {
    try {
      if (found instanceof Error) reader.handleReadFailed(found)
      else reader.handleRead(found.slice(at, at + numbers.length))
    } catch (error) {
      reader.handleReadFailed(error) // ours: what it has not taken over is still on disk
    }
    at += numbers.length
  }
}
