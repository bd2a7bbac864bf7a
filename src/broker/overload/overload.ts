// The defences against overload of one broker, put together; see docs/overload.md for what each of them answers. Owns
// their tables. Decides nothing by itself but whose connections to cut when the output of all of them takes too much.
import type { Counters } from '../../telemetry/counters.ts'
import type { ThrottledLog } from '../../telemetry/throttled-log.ts'
import type { Clock } from '../../timers/clock.ts'
import type { Timers } from '../deadlines.ts'
import { FloodWatch } from './flood-watch.ts'
import { type Heap, v8Heap } from './heap.ts'
import { LoginGuard } from './login-guard.ts'
import { MemoryGuard } from './memory-guard.ts'
import { RateLimits } from './rate-limits.ts'
import type { OverloadSettings } from './settings.ts'
import { TakeoverGuard } from './takeover-guard.ts'
import { wait } from './wait.ts'

/** A connection that has taken nothing for so long is stuck, ms. */
const STUCK_AFTER = 1000
/** So many within a second are worth a line in the log. */
const MANY_CONNECTIONS = 500
const MANY_TOPICS = 10_000

export interface OverloadParts {
  readonly settings: OverloadSettings
  readonly counters: Counters
  readonly throttled: ThrottledLog
  readonly clock: Clock
  readonly timers: Timers
  readonly keptBytes: () => number
  readonly heap?: Heap
}

/** A client, as far as cutting it off is concerned. */
export interface StuckClient {
  readonly connection: { readonly slot: number }
  cutOff(reason: string): void
}

/** Columns of the reactor's memory, by slot. */
interface OutputColumns {
  readonly queued: Uint32Array
  readonly lastWrite: Float64Array
}

export class Overload {
  readonly settings: OverloadSettings
  readonly takeovers: TakeoverGuard
  readonly logins: LoginGuard
  readonly rates: RateLimits
  readonly memory: MemoryGuard
  readonly #parts: OverloadParts
  readonly #connections = new FloodWatch(MANY_CONNECTIONS)
  readonly #topics = new FloodWatch(MANY_TOPICS)

  constructor(parts: OverloadParts) {
    const { settings, counters, throttled, clock, keptBytes, heap = v8Heap } = parts
    this.#parts = parts
    this.settings = settings
    this.takeovers = new TakeoverGuard(settings, counters, throttled)
    this.logins = new LoginGuard(settings)
    this.rates = new RateLimits(settings, counters)
    this.memory = new MemoryGuard({ settings, counters, throttled, clock, heap, keptBytes })
  }

  /** A time to wait, see wait.ts. */
  wait(ms: number): ReturnType<typeof wait> {
    return wait(this.#parts.timers, this.#parts.clock, ms)
  }

  /** A connection was opened from this address. */
  connectionOpened(address: string): void {
    const { counters, throttled, clock } = this.#parts
    counters.connectionOpened()
    const now = clock.now()
    if (!this.#connections.counts(now)) return
    const fields = { address, connections: counters.connectionsCurrent, total: counters.connectionsTotal }
    throttled.warn('connections', now, fields, 'very many connections within a second; the latest address is named')
  }

  /** A client published to a topic that has no id. */
  topicUnknown(client: string, address: string): void {
    const { counters, throttled, clock } = this.#parts
    counters.topicsUnknown++
    const now = clock.now()
    if (!this.#topics.counts(now)) return
    const fields = { client, address, total: counters.topicsUnknown }
    throttled.warn('topics', now, fields, 'very many new topics within a second, which are not remembered')
  }

  /**
   * Cuts off connections that take nothing, those with the most output first, until all output together is within its limit.
   * Those that read, however slowly, stay.
   */
  relieveOutput(total: number, columns: OutputColumns, clients: () => readonly StuckClient[]): void {
    const { settings, counters, throttled, clock } = this.#parts
    if (total <= settings.maxOutputBytesTotal) return
    const now = clock.now()
    const queued = (client: StuckClient): number => columns.queued[client.connection.slot]!
    const isStuck = (client: StuckClient): boolean =>
      queued(client) > 0 && columns.lastWrite[client.connection.slot]! + STUCK_AFTER <= now
    const stuck = clients()
      .filter(isStuck)
      .sort((a, b) => queued(b) - queued(a))
    let left = total
    for (const client of stuck) {
      if (left <= settings.maxOutputBytesTotal) return
      left -= queued(client)
      counters.slowReadersDisconnected++
      throttled.warn(
        'output-full',
        now,
        { output: total, limit: settings.maxOutputBytesTotal },
        'output of all connections together is full: those that read nothing are cut off',
      )
      client.cutOff('reads nothing while all output together is full')
    }
  }
}
