// What waits for one session: waiting-queue.ts with the session's name, its records, and its client, who is ended when the
// store cannot be read or the policy says so.
import type { BrokerContext } from '../context.ts'
import type { Delivery } from '../message.ts'
import type { SlowReaderPolicy } from '../overload/settings.ts'
import type { DropReason } from './dropped-messages.ts'
import type { Session } from './session.ts'
import { WaitingQueue } from './waiting-queue.ts'

export class SessionQueue extends WaitingQueue {
  readonly #context: BrokerContext
  readonly #session: Session

  constructor(context: BrokerContext, session: Session) {
    super(context)
    this.#context = context
    this.#session = session
  }

  get recordName(): string {
    return this.#session.clientId
  }

  protected get name(): string {
    return this.#session.clientId
  }

  protected get isStored(): boolean {
    return this.#session.isStored
  }

  protected get slowReaderPolicy(): SlowReaderPolicy {
    return this.#session.slowReaderPolicy
  }

  protected recordQueued(delivery: Delivery): void {
    this.#context.journal.queued(this.#session.clientId, delivery)
  }

  protected recordDropped(delivery: Delivery): void {
    this.#context.journal.queuedDropped(this.#session.clientId, delivery)
  }

  countDropped(reason: DropReason): void {
    this.#session.countDropped(reason)
  }

  protected handleFull(): void {
    this.#session.owner?.tooSlow()
  }

  protected handleMore(): void {
    this.#session.pump()
  }

  /** The client is disconnected, and when it comes back the page is read again. */
  protected handleStuck(): void {
    this.#session.owner?.queueUnreadable()
  }
}
