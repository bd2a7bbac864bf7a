// Guessing passwords is slow here: the refusal of a failed login is held back, longer with every failure of that address,
// and forgiven with time. A right password is never held back. While many refusals of one address are being held back,
// its next CONNECTs are turned away before anybody looks at their password, so that guessing in parallel gains nothing.
import { BoundedTable } from './bounded-table.ts'
import type { OverloadSettings } from './settings.ts'

/** Failures without a delay: a person mistypes, a device is told its new password late. */
const FREE_FAILURES = 5
/** One failure is forgiven after so long, ms. */
const FORGIVE_AFTER = 10_000
/** Refusals of one address held back at a time. */
const MOST_HELD = 64
/** Addresses remembered; the one that failed longest ago is forgotten. */
const MOST_ADDRESSES = 16_384
/** Failures that count: more would only take longer to forgive. */
const MOST_FAILURES = 30

interface Failures {
  count: number
  /** When `count` was right, ms. */
  at: number
  held: number
}

export class LoginGuard {
  readonly #settings: OverloadSettings
  readonly #addresses = new BoundedTable<Failures>(MOST_ADDRESSES)

  constructor(settings: OverloadSettings) {
    this.#settings = settings
  }

  /** Addresses remembered now. */
  get addresses(): number {
    return this.#addresses.size
  }

  /** Whether a CONNECT of this address is looked at. */
  admits(address: string): boolean {
    return (this.#addresses.get(address)?.held ?? 0) < MOST_HELD
  }

  /** A login failed: for how many milliseconds its answer is held back. `release` has to follow when that is not 0. */
  failed(address: string, now: number): number {
    const { loginDelay, loginDelayMax } = this.#settings
    if (loginDelay === 0) return 0
    const failures = this.#addresses.touch(address, () => ({ count: 0, at: now, held: 0 }))
    const forgiven = Math.floor((now - failures.at) / FORGIVE_AFTER)
    failures.count = Math.min(MOST_FAILURES, Math.max(0, failures.count - forgiven) + 1)
    failures.at = failures.count === 1 ? now : failures.at + forgiven * FORGIVE_AFTER
    if (failures.count <= FREE_FAILURES) return 0
    failures.held++
    return Math.min(loginDelayMax, loginDelay * 2 ** (failures.count - FREE_FAILURES - 1))
  }

  /** A refusal that was held back is answered, or its connection is gone. */
  release(address: string): void {
    const failures = this.#addresses.get(address)
    if (failures !== undefined && failures.held > 0) failures.held--
  }
}
