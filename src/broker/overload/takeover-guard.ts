// Two devices with one Client Identifier throw each other out for ever, as fast as they can connect. After a few takeovers
// in a short time the operator is told both addresses, once, and each newcomer has to wait before it may take over: longer
// every time, up to a limit, and until there was quiet. One newcomer waits at a time; a newer one takes its place.
import type { Counters } from '../../telemetry/counters.ts'
import type { ThrottledLog } from '../../telemetry/throttled-log.ts'
import { BoundedTable } from './bounded-table.ts'
import type { OverloadSettings } from './settings.ts'

/** So many takeovers … */
const TAKEOVERS = 5
/** … within so long are a fight, ms. */
const WINDOW = 10_000
/** A fight is over when for so long nobody tried, beyond the longest delay; ms. */
const QUIET = 30_000
/** Client Identifiers remembered; the one fought for longest ago is forgotten. */
const MOST_CLIENTS = 16_384

interface Contest {
  /** When the last takeovers were, oldest first; at most TAKEOVERS. */
  readonly times: number[]
  /** 0: no fight. Else one more than the takeovers since it began. */
  round: number
  /** When somebody last had to wait, ms. */
  lastAt: number
}

/** A newcomer that waits. */
export interface Contender {
  /** A newer one waits in its place. */
  superseded(): void
}

export class TakeoverGuard {
  readonly #settings: OverloadSettings
  readonly #counters: Counters
  readonly #throttled: ThrottledLog
  readonly #contests = new BoundedTable<Contest>(MOST_CLIENTS)
  /** By Client Identifier; no more than there are connections. */
  readonly #waiting = new Map<string, Contender>()

  constructor(settings: OverloadSettings, counters: Counters, throttled: ThrottledLog) {
    this.#settings = settings
    this.#counters = counters
    this.#throttled = throttled
  }

  /** Client Identifiers remembered now. */
  get contests(): number {
    return this.#contests.size
  }

  /** A takeover happened. */
  happened(clientId: string, now: number): void {
    if (this.#settings.takeoverDelay === 0) return
    const contest = this.#contests.touch(clientId, () => ({ times: [], round: 0, lastAt: now }))
    contest.times.push(now)
    if (contest.times.length > TAKEOVERS) contest.times.shift()
    if (contest.round > 0) contest.round++
  }

  /** `newcomer` wants the place of `holder`: how many milliseconds it has to wait for it, mostly 0. */
  delay(clientId: string, holder: string, newcomer: string, now: number): number {
    const contest = this.#contests.get(clientId)
    if (contest === undefined) return 0
    const { takeoverDelay, takeoverDelayMax } = this.#settings
    if (contest.round > 0 && now - contest.lastAt > takeoverDelayMax + QUIET) {
      contest.round = 0
      contest.times.length = 0
    }
    if (contest.round === 0) {
      if (contest.times.length < TAKEOVERS || now - contest.times[0]! > WINDOW) return 0
      contest.round = 1
      this.#throttled.warn(
        `takeovers:${clientId}`,
        now,
        { client: clientId, address: newcomer, other: holder, takeovers: TAKEOVERS },
        'two connections fight for one client id: newcomers have to wait from now on',
      )
    }
    this.#counters.takeoversDelayed++
    contest.lastAt = now
    return Math.min(takeoverDelayMax, takeoverDelay * 2 ** Math.min(contest.round - 1, 30))
  }

  /** `contender` waits for a Client Identifier; whoever waited for it before need not any more. */
  wait(clientId: string, contender: Contender): void {
    const before = this.#waiting.get(clientId)
    this.#waiting.set(clientId, contender)
    before?.superseded()
  }

  /** It waits no longer. */
  stopWaiting(clientId: string, contender: Contender): void {
    if (this.#waiting.get(clientId) === contender) this.#waiting.delete(clientId)
  }
}
