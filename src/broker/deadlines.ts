// Everything in the broker that waits for a time: clients (connect, keep alive, linger), sessions (expiry), delayed
// wills. Each is its own entry of the one wheel and answers for itself.
import type { WheelEntry } from '../timers/deadline-wheel.ts'

export interface Deadline extends WheelEntry {
  /** Its time has come. Returns when to be asked again (ms of the clock), undefined when it is done. */
  handleDeadline(now: number): number | undefined
}

export interface Timers {
  set(entry: Deadline, at: number): void
  cancel(entry: Deadline): void
}
