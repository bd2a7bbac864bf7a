// What happened in a case, in order: the evidence under every verdict. Bounded, because a broker gone mad may send
// without end.

import type { Packet } from './packet.ts'
import { describe } from './packet.ts'

export interface TraceEvent {
  /** Milliseconds since the case began. */
  at: number
  /** Label of the connection; absent for remarks about the whole case. */
  client?: string
  what: 'open' | 'sent' | 'received' | 'closed' | 'expected' | 'failed' | 'note'
  text: string
  /** Wire bytes of `sent` and `received`, hex, shortened when long. */
  hex?: string
}

const MAX_EVENTS = 2000
const MAX_HEX_BYTES = 256

export class Trace {
  readonly events: TraceEvent[] = []
  readonly #begin = performance.now()
  #dropped = 0

  /** Milliseconds since the case began, one decimal. */
  now(): number {
    return Math.round((performance.now() - this.#begin) * 10) / 10
  }

  add(what: TraceEvent['what'], text: string, client?: string, bytes?: Uint8Array): void {
    if (this.events.length >= MAX_EVENTS) {
      this.#dropped++
      return
    }
    const event: TraceEvent = { at: this.now(), what, text }
    if (client !== undefined) event.client = client
    if (bytes !== undefined) event.hex = hexText(bytes)
    this.events.push(event)
  }

  packet(what: 'sent' | 'received', packet: Packet, client: string): void {
    this.add(what, describe(packet), client, packet.bytes)
  }

  /** Events that did not fit. */
  get dropped(): number {
    return this.#dropped
  }
}

/** `10 0c 00 04 …`, at most 256 bytes of it. */
export function hexText(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, MAX_HEX_BYTES))
    .toString('hex')
    .replace(/(..)(?!$)/g, '$1 ')
  return bytes.length > MAX_HEX_BYTES ? `${shown} … (${bytes.length} bytes)` : shown
}
