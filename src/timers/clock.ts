// The two times there are. `now` measures durations and never jumps; `wall` dates what outlives the process.
// Everything pure takes `now` as an argument; only timer-loop.ts and the broker's edges ask a Clock.

export interface Clock {
  /** Milliseconds of CLOCK_MONOTONIC, with fractions: the time base of the reactor's shared columns. */
  now(): number
  /** Milliseconds since 1970, UTC. Jumps when the system's clock is set. */
  wall(): number
}

// performance.now() is CLOCK_MONOTONIC less a constant, and allocates nothing, unlike process.hrtime.
const processStart = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export const systemClock: Clock = {
  now: () => processStart + performance.now(),
  wall: () => Date.now(),
}

/** A clock that stands still until told: for tests. */
export class ManualClock implements Clock {
  #now: number
  #wall: number

  constructor(now = 0, wall = Date.UTC(2026, 0, 1)) {
    this.#now = now
    this.#wall = wall
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#wall
  }

  /** Lets both times pass. */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`time does not run backwards: ${ms}`)
    this.#now += ms
    this.#wall += ms
  }

  /** Somebody sets the system's clock: only the wall time jumps. */
  setWall(wall: number): void {
    this.#wall = wall
  }
}
