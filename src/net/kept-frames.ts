// The handles of frames that outlive their turn. TypeScript chooses them (a free list); native code holds the bytes.
// A handle is given out again only after the command that released the old frame, because commands keep their order.
import type { NativeReactor } from '../../native/index.js'
import type { Outbox } from './outbox.ts'
import { Command } from './wire.ts'

export class KeptFrames {
  readonly #outbox: Outbox
  #native: NativeReactor | undefined
  #free: number[] = []
  #next = 1
  #held = 0

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  attach(native: NativeReactor): void {
    this.#native = native
  }

  /** Frames held now, those that arrived already kept not counted. */
  get held(): number {
    return this.#held
  }

  /** Keeps head and tail of a PUBLISH of this turn's inbox. Returns the handle. */
  keep(bodyOffset: number, bodyLength: number, tailOffset: number): number {
    const handle = this.#take()
    this.#outbox.keep(handle, bodyOffset, bodyLength, tailOffset)
    return handle
  }

  /** Keeps a frame given as bytes: Topic Name with its length, then from `headLength` on the payload. */
  keepBytes(bytes: Uint8Array, headLength: number): number {
    const handle = this.#take()
    this.#native!.keepBytes(handle, bytes, headLength)
    return handle
  }

  /** Says where the tail of a frame that arrived already kept begins, counted from its body's start. */
  shape(handle: number, tailOffset: number): void {
    this.#outbox.command3(Command.Shape, handle, tailOffset)
  }

  /** Copies bytes of a kept frame's body; returns how many there were. */
  read(handle: number, offset: number, target: Uint8Array): number {
    return this.#native!.readKept(handle, offset, target)
  }

  release(handle: number): void {
    this.#outbox.command2(Command.Release, handle)
    if (handle < 0) return
    this.#free.push(handle)
    this.#held--
  }

  #take(): number {
    this.#held++
    return this.#free.pop() ?? this.#next++
  }
}
