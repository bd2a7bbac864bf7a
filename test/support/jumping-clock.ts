// The system's clock with leaps forward, for embedded brokers whose sockets live in real time: keep alive and linger go on
// as ever, and an expiry of an hour is over when the test says so. The broker's timer notices a leap within a second.
import { type Clock, systemClock } from '../../src/timers/clock.ts'

export class JumpingClock implements Clock {
  #leapt = 0

  now(): number {
    return systemClock.now() + this.#leapt
  }

  wall(): number {
    return systemClock.wall() + this.#leapt
  }

  /** Lets seconds pass at once. */
  leap(seconds: number): void {
    this.#leapt += seconds * 1000
  }
}
