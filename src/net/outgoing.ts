// A connection of ours, from `connect` to `closed`: who is told what becomes of it, and how it is taken back.
// Made and remembered by the Reactor.
import type { Connection, ConnectionReceiver } from './connection.ts'
import type { Destination } from './outbox.ts'

/** Whoever asked for a connection. Called in the reactor's turn; either of the first two, once. */
export interface ConnectReceiver {
  /** It stands; with TLS, the handshake is through. Returns who handles what comes from it. */
  handleConnected(connection: Connection): ConnectionReceiver
  /** It came to nothing. `reason` is a CloseReason, `errno` 0 or the socket's error, `why` what a layer says of it. */
  handleConnectFailed(reason: number, errno: number, why: string | undefined): void
  /** After `handleConnected`, and after its receiver's `handleClosed`. */
  handleDisconnected(reason: number): void
}

export class Attempt implements Destination {
  readonly slot: number
  readonly generation: number
  readonly receiver: ConnectReceiver
  /** Once it stands; the Reactor writes it. */
  connection: Connection | undefined
  /** What a layer said before it failed; the Reactor writes it. */
  why: string | undefined
  #cancel: ((attempt: Attempt) => void) | undefined

  constructor(slot: number, generation: number, receiver: ConnectReceiver, cancel: (attempt: Attempt) => void) {
    this.slot = slot
    this.generation = generation
    this.receiver = receiver
    this.#cancel = cancel
  }

  /** Takes it back: nothing more is told. Does nothing once it stands, or has failed. */
  cancel(): void {
    const cancel = this.connection === undefined ? this.#cancel : undefined
    this.#cancel = undefined
    cancel?.(this)
  }
}
