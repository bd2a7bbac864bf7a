// The broker a backend is given by `setup`. Some (Redis) publish their own news on `$SYS/sub/…` through it and wait until
// they hear them again: so it has just enough of a message bus for a backend to talk to itself. No client hears any of it.

import { matches } from '../../mqtt/topic.ts'
import type { AedesPacket } from '../aedes/aedes-packet.ts'

type Done = (error?: Error | null) => void
type Listener = (packet: AedesPacket, done: () => void) => void

const noop = (): void => {}

/** Constant, so that the next process finds the wills of this one. One broker has the backend. */
export const BROKER_ID = 'martlet'

export class LoopbackBroker {
  readonly id = BROKER_ID
  counter = 0
  readonly #listeners: { filter: string; listener: Listener }[] = []

  publish(packet: AedesPacket, done: Done = noop): void {
    for (const { filter, listener } of [...this.#listeners]) if (matches(filter, packet.topic)) listener(packet, noop)
    queueMicrotask(() => done(null))
  }

  subscribe(filter: string, listener: Listener, done: Done = noop): void {
    this.#listeners.push({ filter, listener })
    queueMicrotask(() => done(null))
  }

  unsubscribe(filter: string, listener: Listener, done: Done = noop): void {
    const at = this.#listeners.findIndex((one) => one.filter === filter && one.listener === listener)
    if (at >= 0) this.#listeners.splice(at, 1)
    queueMicrotask(() => done(null))
  }
}
