// Will Messages [MQTT-3.1.2-8]: who published one at which end of a connection, and the delayed ones of MQTT 5. A will
// stands with its client while that is connected; here live only those whose delay runs [MQTT-3.1.3-9].
import type { QoS } from '../mqtt/qos.ts'
import type { Counters } from '../telemetry/counters.ts'
import type { Clock } from '../timers/clock.ts'
import type { WheelEntry } from '../timers/deadline-wheel.ts'
import type { Deadline, Timers } from './deadlines.ts'
import type { ClientIdentity } from './hooks.ts'
import type { Journal } from './journal/journal.ts'

export interface Will {
  /** Whose it is. */
  readonly client: ClientIdentity
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: QoS
  readonly retain: boolean
  /** MQTT 5 properties to forward, encoded. */
  readonly properties: Uint8Array
  /** Seconds; 0 = none. */
  readonly delay: number
  /** Message Expiry Interval in seconds; Infinity = none. */
  readonly expiry: number
}

class DelayedWill implements Deadline {
  wheelNext: WheelEntry | undefined
  wheelPrevious: WheelEntry | undefined
  dueAt = 0
  readonly clientId: string
  readonly will: Will
  readonly #wills: Wills

  constructor(wills: Wills, clientId: string, will: Will) {
    this.#wills = wills
    this.clientId = clientId
    this.will = will
  }

  handleDeadline(): undefined {
    this.#wills.publishDelayed(this.clientId)
  }
}

/** Publishes a will, if its client may; `done` is called when that is over, in the same call as what it caused. */
export type PublishWill = (clientId: string, will: Will, done: () => void) => void

/** Wills published in one turn; more wait for the next ones, so that 10,000 lost clients do not make everybody else wait. */
const WILLS_A_TURN = 100

export class Wills {
  /** Due, but not this turn; oldest first, one a client, so no more than there are sessions. */
  readonly #due = new Map<string, Will>()
  #publishedThisTurn = 0
  readonly #counters: Counters
  readonly #delayed = new Map<string, DelayedWill>()
  /** An authorizer is asked about them: recorded until it has answered, for a crash may come first. One a client. */
  readonly #asked = new Map<string, Will>()
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #publish: PublishWill

  constructor(timers: Timers, clock: Clock, journal: Journal, counters: Counters, publish: PublishWill) {
    this.#timers = timers
    this.#clock = clock
    this.#journal = journal
    this.#publish = publish
    this.#counters = counters
  }

  /** Wills whose delay runs. */
  get delayedCount(): number {
    return this.#delayed.size
  }

  /** A will was accepted with its client's CONNECT. */
  record(clientId: string, will: Will): void {
    this.#publishWaiting(clientId) // else the end of that one would be taken for the end of this
    this.#asked.delete(clientId) // one that is still asked about: this record takes the place of its own
    this.#journal.willSet(clientId, will, false)
  }

  /** The client left with DISCONNECT: its will is deleted, unpublished [MQTT-3.1.2-10]. */
  discard(clientId: string): void {
    this.#journal.willRemoved(clientId)
  }

  /** The connection ended without DISCONNECT: now, or when the delay or the session is over, whichever is first. */
  connectionLost(clientId: string, will: Will, sessionExpiry: number): void {
    const delay = Math.min(will.delay, sessionExpiry)
    if (delay <= 0) {
      this.#send(clientId, will)
      return
    }
    this.#journal.willSet(clientId, will, true)
    this.restore(clientId, will, this.#clock.now() + delay * 1000)
  }

  /** A will whose delay runs out at `dueAt` (ms of the clock, maybe past already) unless its client comes back. */
  restore(clientId: string, will: Will, dueAt: number): void {
    const delayed = new DelayedWill(this, clientId, will)
    this.#delayed.set(clientId, delayed)
    this.#timers.set(delayed, dueAt)
  }

  /** The client is back before the delay was over: its will is not sent [MQTT-3.1.3-9]. */
  cancelDelayed(clientId: string): void {
    const delayed = this.#delayed.get(clientId)
    if (delayed === undefined) return
    this.#delayed.delete(clientId)
    this.#timers.cancel(delayed)
    this.#journal.willRemoved(clientId)
  }

  /** The delay is over, or the session has ended. */
  publishDelayed(clientId: string): void {
    const delayed = this.#delayed.get(clientId)
    if (delayed === undefined) return
    this.#delayed.delete(clientId)
    this.#timers.cancel(delayed)
    this.#send(clientId, delayed.will)
  }

  /** Publishes what is due and was left for later turns, all of it: the broker is closing. */
  publishDue(): void {
    for (const clientId of [...this.#due.keys()]) this.#publishWaiting(clientId)
  }

  #send(clientId: string, will: Will): void {
    this.#publishWaiting(clientId) // an earlier one of this client comes first
    if (this.#publishedThisTurn === 0) setImmediate(() => this.#nextTurn())
    if (this.#publishedThisTurn < WILLS_A_TURN) {
      this.#publishNow(clientId, will)
      return
    }
    this.#counters.willsPostponed++
    this.#due.set(clientId, will)
  }

  #nextTurn(): void {
    this.#publishedThisTurn = 0
    for (const clientId of this.#due.keys()) {
      if (this.#publishedThisTurn === WILLS_A_TURN) break
      this.#publishWaiting(clientId)
    }
    if (this.#publishedThisTurn > 0) setImmediate(() => this.#nextTurn())
  }

  #publishWaiting(clientId: string): void {
    const will = this.#due.get(clientId)
    if (will === undefined) return
    this.#due.delete(clientId)
    this.#publishNow(clientId, will)
  }

  #publishNow(clientId: string, will: Will): void {
    this.#publishedThisTurn++
    this.#asked.set(clientId, will)
    this.#publish(clientId, will, () => {
      if (this.#asked.get(clientId) !== will) return
      this.#asked.delete(clientId)
      this.#journal.willRemoved(clientId)
    })
  }
}
