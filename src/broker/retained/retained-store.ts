// The retained messages with their limits [MQTT-3.3.1-5]. Holds one reference on each message. What does not fit is
// delivered but not kept, counted and logged.

import type { Counters } from '../../telemetry/counters.ts'
import type { ThrottledLog } from '../../telemetry/throttled-log.ts'
import type { Clock } from '../../timers/clock.ts'
import type { Journal } from '../journal/journal.ts'
import type { Message } from '../message.ts'
import type { MemoryGuard } from '../overload/memory-guard.ts'
import type { Publication } from '../publication.ts'
import type { BrokerSettings } from '../settings.ts'
import { RetainedMessages } from './retained-messages.ts'

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
      this.#remove(name)
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
      this.#remove(name) // what it replaces is not so any more
      return
    }
    const message = publication.keep().hold()
    this.messages.set(name, message)
    this.#counters.retainedBytes += size
    if (isStored(name)) this.#journal.retained(message)
    if (previous !== undefined) {
      if (isStored(name)) this.#journal.retainedReplaced(previous)
      this.#forget(previous)
    }
    this.#counters.retained = this.messages.size
  }

  /** Puts back what a journal remembers; takes over the reference. */
  restore(message: Message): void {
    this.messages.set(message.topic, message)
    this.#counters.retainedBytes += message.size
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
    this.#remove(message.topic)
  }

  #remove(name: string): void {
    const message = this.messages.delete(name)
    this.#counters.retained = this.messages.size
    if (message === undefined) return
    if (isStored(name)) this.#journal.retainedRemoved(message)
    this.#forget(message)
  }

  #forget(message: Message): void {
    this.#counters.retainedBytes -= message.size
    message.release()
  }
}

/** What the broker says of itself under $SYS is true of this process only. */
function isStored(name: string): boolean {
  return !name.startsWith('$SYS/')
}
