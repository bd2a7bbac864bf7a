// The answers of one client that must wait for the store, and everything behind them: acknowledgements leave in the
// order of the packets they answer, so one that need not wait stands behind one that must. Exists only while it must.
import { PacketType } from '../mqtt/packet-type.ts'
import type { Client } from './client.ts'

/** What is done when its turn comes: write an answer, attach the session, finish the connection. */
interface Held {
  readonly ticket: number
  readonly type: number
  readonly packetId: number
  readonly reasonCode: number
  readonly action: (() => void) | undefined
}

export class Acknowledgements {
  readonly #client: Client
  #held: Held[] = []

  constructor(client: Client) {
    this.#client = client
    client.context.journal.wait(client)
  }

  /** PUBACKs that wait: their messages still count against our Receive Maximum. */
  unansweredPublishes = 0

  add(type: number, packetId: number, reasonCode: number): void {
    if (type === PacketType.Puback) this.unansweredPublishes++
    this.#held.push({ ticket: this.#ticket(), type, packetId, reasonCode, action: undefined })
  }

  addAction(action: () => void): void {
    this.#held.push({ ticket: this.#ticket(), type: 0, packetId: 0, reasonCode: 0, action })
  }

  /** Everything up to this ticket is safe. Returns whether nothing is held any more. */
  release(ticket: number): boolean {
    while (this.#held.length > 0 && this.#held[0]!.ticket <= ticket) {
      const { type, packetId, reasonCode, action } = this.#held.shift()!
      if (type === PacketType.Puback) this.unansweredPublishes--
      if (action !== undefined) action()
      else this.#client.writeAcknowledgement(type, packetId, reasonCode)
    }
    if (this.#held.length > 0) return false
    this.#client.context.journal.forget(this.#client)
    return true
  }

  /** Whether anything here waits for this ticket. */
  waitsFor(ticket: number): boolean {
    return this.#held.length > 0 && this.#held[0]!.ticket <= ticket
  }

  /** What need not wait itself goes with what it stands behind. */
  #ticket(): number {
    const { journal } = this.#client.context
    if (journal.mustWait) return journal.openTicket
    return this.#held.at(-1)?.ticket ?? 0
  }
}
