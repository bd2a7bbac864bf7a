// The retained messages with their limits [MQTT-3.3.1-5]. Holds one reference on each message. What does not fit is
// delivered but not kept, counted and logged.

import type { Counters } from '../telemetry/counters.ts'
import type { ThrottledLog } from '../telemetry/throttled-log.ts'
import type { Clock } from '../timers/clock.ts'
import type { Journal } from './journal.ts'
import type { Message } from './message.ts'
import type { MemoryGuard } from './overload/memory-guard.ts'
import type { Publication } from './publication.ts'
import { RetainedMessages } from './retained-messages.ts'
import type { BrokerSettings } from './settings.ts'

export class RetainedStore {
  readonly messages = new RetainedMessages<Message>()
  readonly #settings: BrokerSettings
  readonly #counters: Counters
  readonly #throttled: ThrottledLog
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #memory: MemoryGuard

  constructor(parts: {
    settings: BrokerSettings
    counters: Counters
    throttled: ThrottledLog
    journal: Journal
    clock: Clock
    memory: MemoryGuard
  }) {
    this.#settings = parts.settings
    this.#counters = parts.counters
    this.#throttled = parts.throttled
    this.#journal = parts.journal
    this.#clock = parts.clock
    this.#memory = parts.memory
  }

  /** Replaces the topic's retained message [MQTT-3.3.1-5]; an empty payload removes it [MQTT-3.3.1-6]. */
  apply(publication: Publication): void {
    const { name } = publication.topic
    if (publication.payloadLength === 0) {
      this.#forget(this.messages.delete(name), name)
      return
    }
    const size = 2 + publication.topicLength + publication.payloadLength
    const previous = this.messages.get(name)
    const { maxRetainedMessages, maxRetainedBytes } = this.#settings
    this.#memory.grew()
    const isShort = previous === undefined && this.#memory.isHeapShort
    if (isShort) this.#counters.refusedForMemory++
    const tooMany = isShort || (previous === undefined && this.messages.size >= maxRetainedMessages)
    if (tooMany || this.#counters.retainedBytes - (previous?.size ?? 0) + size > maxRetainedBytes) {
      this.#counters.droppedRetained++
      this.#throttled.warn(
        'retained-full',
        this.#clock.now(),
        { topic: name, retained: this.messages.size },
        'retained message not kept: limit reached',
      )
      return
    }
    const message = publication.keep().hold()
    this.messages.set(name, message)
    this.#counters.retainedBytes += size
    this.#journal.retained(message)
    this.#forget(previous, undefined)
    this.#counters.retained = this.messages.size
  }

  /** The message a topic retains, unless it has expired. */
  get(name: string): Message | undefined {
    return this.messages.get(name)
  }

  /** Removes a message found to have expired. */
  expire(message: Message): void {
    if (this.messages.get(message.topic) !== message) return
    this.#counters.droppedExpired++
    this.#forget(this.messages.delete(message.topic), message.topic)
  }

  #forget(message: Message | undefined, removed: string | undefined): void {
    this.#counters.retained = this.messages.size
    if (message === undefined) return
    this.#counters.retainedBytes -= message.size
    if (removed !== undefined) this.#journal.retainedRemoved(removed)
    message.release()
  }
}
