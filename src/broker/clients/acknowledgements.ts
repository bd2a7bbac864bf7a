// The answers of one client that must wait for the store, and everything behind them: acknowledgements leave in the
// order of the packets they answer, so one that need not wait stands behind one that must. Exists only while it must.
import { PacketType } from '../../mqtt/packet-type.ts'
import type { EarlyRelease, StoredMessage } from '../journal/journal-batch.ts'
import type { Client } from './client.ts'

/** What is done when its turn comes: write an answer, attach the session, finish the connection. */
class Held implements EarlyRelease {
  readonly #client: Client
  /** What must be stored first; 0: nothing (any more). */
  ticket: number
  readonly type: number
  readonly packetId: number
  readonly reasonCode: number
  readonly action: (() => void) | undefined

  constructor(
    client: Client,
    ticket: number,
    answer: { type: number; packetId: number; reasonCode: number; action?: () => void },
  ) {
    this.#client = client
    this.ticket = ticket
    this.type = answer.type
    this.packetId = answer.packetId
    this.reasonCode = answer.reasonCode
    this.action = answer.action
  }

  releaseEarly(): void {
    this.ticket = 0
    this.#client.handleStored(0)
  }
}

export class Acknowledgements {
  readonly #client: Client
  #held: Held[] = []
  #first = 0

  constructor(client: Client) {
    this.#client = client
    client.context.journal.wait(client)
  }

  /** PUBACKs that wait: their messages still count against our Receive Maximum. */
  unansweredPublishes = 0

  /** `message`: the only thing a PUBACK waits for, and may come to wait for no more. */
  add(type: number, packetId: number, reasonCode: number, message: StoredMessage | undefined): void {
    if (type === PacketType.Puback) this.unansweredPublishes++
    const held = new Held(this.#client, this.#ticket(), { type, packetId, reasonCode })
    if (message !== undefined) message.waiting = held
    this.#held.push(held)
  }

  /** `waits`: for the store too, not only for the answers before it. */
  addAction(action: () => void, waits: boolean): void {
    this.#held.push(new Held(this.#client, waits ? this.#ticket() : 0, { type: 0, packetId: 0, reasonCode: 0, action }))
  }

  /** Everything up to this ticket is safe. Returns whether nothing is held any more. */
  release(ticket: number): boolean {
    // An action may bring us here again: the place is moved on before anything is done, and looked up anew behind it.
    for (let next = this.#next(ticket); next !== undefined; next = this.#next(ticket)) {
      this.#first++
      const { type, packetId, reasonCode, action } = next
      if (type === PacketType.Puback) this.unansweredPublishes--
      if (action !== undefined) action()
      else this.#client.writeAcknowledgement(type, packetId, reasonCode)
    }
    this.#trim()
    return this.#first === this.#held.length
  }

  /** The oldest, if it need not wait any more. */
  #next(ticket: number): Held | undefined {
    const oldest = this.#held[this.#first]
    return oldest !== undefined && oldest.ticket <= ticket ? oldest : undefined
  }

  /** Gives back what is done when it is most of the array, so that each answer is moved about once. */
  #trim(): void {
    if (this.#first < 64 || this.#first * 2 < this.#held.length) return
    this.#held = this.#held.slice(this.#first)
    this.#first = 0
  }

  #ticket(): number {
    const { journal } = this.#client.context
    return journal.mustWait ? journal.openTicket : 0
  }
}
