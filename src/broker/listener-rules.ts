// What the broker knows of a listener, by the reactor's number of it: its name for the log, and what it decides for those
// who come through it. Where a listener says nothing of its own, what holds for the whole broker holds.
import type { Connection, PeerIdentity } from '../net/connection.ts'
import type { OverloadSettings, SlowReaderPolicy } from './overload/settings.ts'

/** Where a client's user name comes from. `identity`: a PSK identity, or a certificate's common name. */
export type UsernameSource = 'connect' | 'identity' | 'subject'

export interface ListenerRules {
  /** For the log: `127.0.0.1:1883`, `/run/mqtt.sock`. */
  readonly name: string
  readonly username: UsernameSource
  /** What happens when the queue or output of one who came through it is full. */
  readonly slowReaderPolicy: SlowReaderPolicy
}

export class ListenerTable {
  readonly #rules: ListenerRules[] = []
  readonly #usual: ListenerRules

  constructor({ slowReaderPolicy }: OverloadSettings) {
    this.#usual = { name: '', username: 'connect', slowReaderPolicy }
  }

  /** To be called in the turn that opens the listener, before anybody comes through it. */
  set(listener: number, rules: Partial<ListenerRules>): void {
    this.#rules[listener] = { ...this.#usual, ...rules }
  }

  at(listener: number): ListenerRules {
    return this.#rules[listener] ?? this.#usual
  }

  of({ listener }: Connection): ListenerRules {
    return this.at(listener)
  }
}

/** The user name that the transport has proved; undefined when there is none. */
export function provenUsername(source: 'identity' | 'subject', peer: PeerIdentity): string | undefined {
  if (source === 'subject') return peer.subject
  return peer.pskIdentity ?? peer.commonName
}
