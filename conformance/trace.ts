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
  readonly #secret: Buffer
  #dropped = 0

  /** The password of the run is left out of what was sent: reports are shown to others. */
  constructor(password: string | undefined = undefined) {
    this.#secret = Buffer.from(password ?? '')
  }

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
    if (bytes !== undefined) event.hex = hexText(bytes, what === 'sent' ? secretIn(bytes, this.#secret) : undefined)
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

const CONNECT = 1

/** Where the password, or the beginning of it, ends a CONNECT; undefined if it does not. */
function secretIn(bytes: Uint8Array, secret: Buffer): { from: number; to: number } | undefined {
  if (secret.length === 0 || (bytes[0] ?? 0) >> 4 !== CONNECT) return undefined
  const announced = Buffer.concat([Buffer.of(secret.length >> 8, secret.length & 0xff), secret])
  const all = Buffer.from(bytes)
  const whole = all.lastIndexOf(announced)
  if (whole >= 0) return { from: whole + 2, to: whole + announced.length }
  for (let length = announced.length - 1; length > 2; length--) {
    if (all.subarray(-length).equals(announced.subarray(0, length))) {
      return { from: all.length - length + 2, to: all.length }
    }
  }
  return undefined
}

/** `10 0c 00 04 …`, at most 256 bytes of it; `**` for the bytes that are not to be seen. */
function hexText(bytes: Uint8Array, hidden?: { from: number; to: number }): string {
  const pair = (byte: number, index: number): string =>
    hidden !== undefined && index >= hidden.from && index < hidden.to ? '**' : byte.toString(16).padStart(2, '0')
  const shown = Array.from(bytes.subarray(0, MAX_HEX_BYTES), pair).join(' ')
  return bytes.length > MAX_HEX_BYTES ? `${shown} … (${bytes.length} bytes)` : shown
}
