// The packets of a client whose handler waits for a promise: the rest of what its connection delivered in that turn,
// copied, in order. Bounded by the turn's inbox, since reading is paused at once.
import type { KeptFrames } from '../../net/kept-frames.ts'

export interface ParkedPacket {
  first: number
  bytes: Uint8Array
  offset: number
  length: number
  /** A kept frame instead of bytes, 0 if there is none. */
  kept: number
}

const NO_BYTES = new Uint8Array(0)

export class Parking {
  #packets: ParkedPacket[] = []

  add(first: number, kept: number, inbox: Uint8Array, offset: number, length: number): void {
    const bytes = kept === 0 ? inbox.slice(offset, offset + length) : NO_BYTES
    this.#packets.push({ first, bytes, offset: 0, length, kept })
  }

  shift(): ParkedPacket | undefined {
    return this.#packets.shift()
  }

  /** What an earlier parking still had comes before anything new. */
  takeOver(earlier: Parking): void {
    this.#packets = [...earlier.#packets, ...this.#packets]
    earlier.#packets = []
  }

  /** The connection is gone: frames are given back. */
  drop(kept: KeptFrames): void {
    for (const packet of this.#packets) if (packet.kept !== 0) kept.release(packet.kept)
    this.#packets = []
  }
}
