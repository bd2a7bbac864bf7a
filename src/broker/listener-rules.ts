// What a listener decides for those who come through it, by the reactor's number of the listener. The broker asks by
// connection; where a listener says nothing of its own, what holds for the whole broker holds.
import type { Connection, PeerIdentity } from '../net/connection.ts'
import type { OverloadSettings, SlowReaderPolicy } from './overload/settings.ts'

/** Where a client's user name comes from. `identity`: a PSK identity, or a certificate's common name. */
export type UsernameSource = 'connect' | 'identity' | 'subject'

export interface ListenerRules {
  readonly username: UsernameSource
  /** What happens when the queue or output of one who came through it is full. */
  readonly slowReaderPolicy: SlowReaderPolicy
}

export class ListenerTable {
  readonly #rules: ListenerRules[] = []
  readonly #usual: ListenerRules

  constructor({ slowReaderPolicy }: OverloadSettings) {
    this.#usual = { username: 'connect', slowReaderPolicy }
  }

  /** To be called in the turn that opens the listener, before anybody comes through it. */
  set(listener: number, rules: Partial<ListenerRules>): void {
    this.#rules[listener] = { ...this.#usual, ...rules }
  }

  of({ listener }: Connection): ListenerRules {
    return this.#rules[listener] ?? this.#usual
  }
}

/** The user name that the transport has proved; undefined when there is none. */
export function provenUsername(source: 'identity' | 'subject', peer: PeerIdentity): string | undefined {
  if (source === 'subject') return peer.subject
  return peer.pskIdentity ?? peer.commonName
}
