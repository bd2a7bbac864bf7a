// A promise for a time to come, on the broker's wheel: it costs one entry, wakes nobody early, and stands still with a
// clock that stands still.
import type { Clock } from '../../timers/clock.ts'
import type { WheelEntry } from '../../timers/deadline-wheel.ts'
import type { Deadline, Timers } from '../deadlines.ts'

/** One thing to do at one time; may be set again when that is over. */
export class Alarm implements Deadline {
  wheelNext: WheelEntry | undefined
  wheelPrevious: WheelEntry | undefined
  dueAt = 0
  readonly #rings: () => void

  constructor(rings: () => void) {
    this.#rings = rings
  }

  handleDeadline(): undefined {
    this.#rings()
  }
}

/** Resolves after `ms`, or when `stop` is called; never, if the broker closes before. */
export function wait(timers: Timers, clock: Clock, ms: number): { readonly over: Promise<void>; stop(): void } {
  let settle: () => void
  const over = new Promise<void>((resolve) => {
    settle = resolve
  })
  const alarm = new Alarm(() => settle())
  timers.set(alarm, clock.now() + ms)
  return {
    over,
    stop() {
      timers.cancel(alarm)
      settle()
    },
  }
}
