// What waits for one shared group: waiting-queue.ts with the group's name and records. Its members are many, so none of them is
// ended when it is full or cannot be read; it is read again when the next of them asks.
import type { BrokerContext } from '../context.ts'
import type { Delivery } from '../message.ts'
import type { SlowReaderPolicy } from '../overload/settings.ts'
import type { SharedGroup } from '../routing/shared-subscriptions.ts'
import { WaitingQueue } from './waiting-queue.ts'

export class GroupQueue extends WaitingQueue {
  readonly #context: BrokerContext
  readonly #group: SharedGroup

  constructor(context: BrokerContext, group: SharedGroup) {
    super(context)
    this.#context = context
    this.#group = group
  }

  get recordName(): string {
    return this.#group.recordName
  }

  protected get name(): string {
    return this.#group.filter
  }

  protected get isStored(): boolean {
    return this.#group.isStored
  }

  protected get slowReaderPolicy(): SlowReaderPolicy {
    return this.#context.overload.settings.slowReaderPolicy
  }

  protected recordQueued(delivery: Delivery): void {
    this.#context.journal.groupQueued(this.#group.filter, delivery.message, delivery)
  }

  protected recordDropped({ message }: Delivery): void {
    this.#context.journal.groupTaken(this.#group.filter, message)
  }

  /** It has no client that could ask. */
  countDropped(): void {}

  protected handleFull(): void {}

  protected handleMore(): void {
    this.#group.drain()
  }

  protected handleStuck(): void {
    this.#group.stuck()
  }
}
