// The retained messages a new subscription is owed [MQTT-3.3.1-6], found as the socket takes them: a `#` over a million
// retained messages costs neither a list of them nor room in the session's queue.
import type { QoS } from '../../mqtt/qos.ts'
import type { Clock } from '../../timers/clock.ts'
import { Delivery, type Message } from '../message.ts'
import type { RetainedCursor } from './retained-messages.ts'
import type { RetainedStore } from './retained-store.ts'

export class RetainedReplay {
  /** Of the subscription it is for. */
  readonly filter: string
  readonly #cursor: RetainedCursor<Message>
  readonly #qos: QoS
  readonly #subscriptionIds: readonly number[] | undefined
  readonly #store: RetainedStore
  readonly #clock: Clock

  constructor(
    store: RetainedStore,
    clock: Clock,
    filter: string,
    qos: QoS,
    subscriptionIds: readonly number[] | undefined,
  ) {
    this.filter = filter
    this.#store = store
    this.#clock = clock
    this.#cursor = store.messages.match(filter)
    this.#qos = qos
    this.#subscriptionIds = subscriptionIds
  }

  /** Whether all were found. */
  get done(): boolean {
    return this.#cursor.done
  }

  /** The next one, held for the caller. Undefined: none in the few nodes looked at now; `done` says whether to go on. */
  next(): Delivery | undefined {
    const [message] = this.#cursor.next(1)
    if (message === undefined) return undefined
    if (message.expiresAt <= this.#clock.now()) {
      this.#store.expire(message)
      return undefined
    }
    const qos = Math.min(message.qos, this.#qos) as QoS
    return new Delivery(message.hold(), qos, true, this.#subscriptionIds) // RETAIN 1 [MQTT-3.3.1-8]
  }
}
