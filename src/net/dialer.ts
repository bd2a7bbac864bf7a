// Makes connections and makes them again when they are lost. Owns the timer and the counters of all its dials and their
// share of the log; each Dial (dial.ts) is one target. `close` stops everything.
import { lookup as systemLookup } from 'node:dns/promises'
import type { ConnectOptions } from '../../native/index.js'
import type { Logger } from '../telemetry/log.ts'
import { ThrottledLog } from '../telemetry/throttled-log.ts'
import { type Clock, systemClock } from '../timers/clock.ts'
import { TimerLoop } from '../timers/timer-loop.ts'
import { Dial, type DialFailure, type DialOptions, type DialReceiver } from './dial.ts'
import type { Attempt, ConnectReceiver } from './outgoing.ts'

/** Plain fields, since the start. */
export interface DialCounters {
  /** Connections asked for: one for each address tried. */
  attempts: number
  /** That stood. */
  connected: number
  /** Attempts and look-ups that came to nothing, for whatever reason: the three below among them. */
  failures: number
  /** After the connect timeout. */
  timeouts: number
  /** That had reached themselves. */
  selfConnections: number
  /** Names that could not be resolved. */
  lookupFailures: number
}

/** What a Dialer needs of a Reactor. */
export interface DialReactor {
  connect(options: ConnectOptions, receiver: ConnectReceiver): Attempt
}

/** The numeric addresses of a host, in the order in which to try them. */
export type Lookup = (host: string) => Promise<readonly string[]>

export interface DialerOptions {
  readonly reactor: DialReactor
  readonly log: Logger
  readonly clock?: Clock
  /** Evenly in [0, 1). */
  readonly random?: () => number
  /** Default: the system's resolver, in its order. */
  readonly lookup?: Lookup
}

/** ms: as exact as waits of a tenth of a second deserve. */
const RESOLUTION = 10

const resolve: Lookup = async (host) => (await systemLookup(host, { all: true })).map(({ address }) => address)

export class Dialer {
  readonly counters: DialCounters = {
    attempts: 0,
    connected: 0,
    failures: 0,
    timeouts: 0,
    selfConnections: 0,
    lookupFailures: 0,
  }
  readonly reactor: DialReactor
  readonly clock: Clock
  readonly random: () => number
  readonly timers: TimerLoop<Dial>
  readonly #log: Logger
  readonly #throttled: ThrottledLog
  readonly #lookup: Lookup
  /** Under way, by name: a thousand dials to one name ask once, and who gave up waiting asks no second time. */
  readonly #lookups = new Map<string, Promise<readonly string[]>>()
  readonly #dials = new Set<Dial>()
  #closed = false

  constructor({ reactor, log, clock = systemClock, random = Math.random, lookup = resolve }: DialerOptions) {
    this.reactor = reactor
    this.clock = clock
    this.random = random
    this.timers = new TimerLoop<Dial>(clock, (dial) => dial.handleDue(), { resolution: RESOLUTION })
    this.#log = log
    this.#throttled = new ThrottledLog(log)
    this.#lookup = lookup
  }

  /** Dials that are not closed. */
  get size(): number {
    return this.#dials.size
  }

  /**
   * Connects to a target, and again whenever the connection is lost, if `retry` says so. Nothing is told before this has
   * returned. Throws a RangeError for options that cannot be.
   */
  dial(options: DialOptions, receiver: DialReceiver): Dial {
    if (this.#closed) throw new Error('the dialer is closed')
    const dial = new Dial(this, options, receiver)
    this.#dials.add(dial)
    return dial
  }

  /** Closes every dial with its connection, at once: those are told `handleClosed`, and nobody anything else. Idempotent. */
  close(): void {
    this.#closed = true
    for (const dial of this.#dials) dial.close()
    this.timers.close()
    this.#throttled.close()
  }

  /** For Dial: the addresses of a name. */
  addressesOf(host: string): Promise<readonly string[]> {
    let lookup = this.#lookups.get(host)
    if (lookup === undefined) {
      lookup = this.#lookup(host).finally(() => this.#lookups.delete(host))
      this.#lookups.set(host, lookup)
    }
    return lookup
  }

  /** For Dial: counts and logs. */
  failed(target: string, failure: DialFailure): void {
    const { counters, clock } = this
    counters.failures++
    if (failure.reason === 'timeout') counters.timeouts++
    if (failure.reason === 'itself') counters.selfConnections++
    if (failure.reason === 'lookup') counters.lookupFailures++
    const message =
      failure.reason === 'itself' ? 'a connection reached itself: nobody listens there' : 'could not connect'
    this.#throttled.warn(`dial:${target}:${failure.code}`, clock.now(), { target, ...failure }, message)
  }

  /** For Dial: counts and logs. */
  connected(target: string, address: string): void {
    this.counters.connected++
    this.#throttled.flush(this.clock.now())
    this.#log.info({ target, address }, 'connected')
  }

  /** For Dial: it is closed. */
  forget(dial: Dial): void {
    this.timers.cancel(dial)
    this.#dials.delete(dial)
  }
}
