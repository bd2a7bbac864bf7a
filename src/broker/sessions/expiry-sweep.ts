// Messages whose Message Expiry Interval ran out are never sent [MQTT-3.3.2-5]; here their memory comes back before anyone
// asks for them. A slice a second, so that a million retained messages cost no pause.
import type { BrokerContext } from '../context.ts'
import type { Message } from '../message.ts'
import type { RetainedCursor } from '../retained/retained-messages.ts'
import type { Session } from './session.ts'

const SESSIONS_A_SLICE = 1000
const RETAINED_A_SLICE = 2000

export class ExpirySweep {
  readonly #context: BrokerContext
  #sessions: Iterator<Session> | undefined
  #retained: RetainedCursor<Message> | undefined

  constructor(context: BrokerContext) {
    this.#context = context
  }

  /** Looks at the next slice; `now` in ms of the broker's clock. */
  run(now: number): void {
    this.#sweepQueues(now)
    this.#sweepRetained(now)
  }

  #sweepQueues(now: number): void {
    if (this.#context.counters.messagesQueued === 0) return
    this.#sessions ??= this.#context.sessions[Symbol.iterator]()
    for (let looked = 0; looked < SESSIONS_A_SLICE; looked++) {
      const next = this.#sessions.next()
      if (next.done === true) {
        this.#sessions = undefined
        return
      }
      next.value.dropExpired(now)
    }
  }

  #sweepRetained(now: number): void {
    const { retained } = this.#context
    if (retained.messages.size === 0) return
    this.#retained ??= retained.messages.all()
    for (const message of this.#retained.next(RETAINED_A_SLICE)) if (message.expiresAt <= now) retained.expire(message)
    if (this.#retained.done) this.#retained = undefined
  }
}
