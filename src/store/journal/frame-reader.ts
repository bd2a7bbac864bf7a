// Reads the frames of one file, one after the other, and stops at the first that is not whole. Reads synchronously, a block
// at a time: it serves recovery, compaction (in its own thread) and the command line, never the broker at work.

import { readSync } from 'node:fs'
import { FRAME_HEAD_BYTES, frameChecksum, HEADER_BYTES } from './file-format.ts'

const BLOCK = 1 << 20

export class FrameReader {
  /** The last frame's body, in `bytes`; valid until the next call of `next`. */
  bytes = Buffer.allocUnsafeSlow(BLOCK)
  bodyStart = 0
  bodyEnd = 0
  /** Where the last frame began, in the file. */
  frameOffset = HEADER_BYTES
  /** Where the good frames end, in the file. */
  offset = HEADER_BYTES
  /** Why reading stopped before the end; undefined while there is nothing wrong. */
  fault: string | undefined
  readonly #fd: number
  readonly #id: number
  readonly #end: number
  /** The block: `bytes[0, #filled)` is the file from `#blockOffset` on. */
  #blockOffset = HEADER_BYTES
  #filled = 0

  /** Reads `fd`, the file `id`, from behind its header up to the byte `end`. */
  constructor(fd: number, id: number, end: number) {
    this.#fd = fd
    this.#id = id
    this.#end = end
  }

  /** Goes to the next frame; false at the end, or at the first frame that is not whole (`fault` says why). */
  next(): boolean {
    if (this.offset >= this.#end || this.fault !== undefined) return false
    if (!this.#have(FRAME_HEAD_BYTES)) return this.#stop('a frame head is cut off')
    let at = this.offset - this.#blockOffset
    const length = this.bytes.readUInt32LE(at + 4)
    if (length === 0) return this.#stop('a frame is empty')
    if (length > this.#end - this.offset - FRAME_HEAD_BYTES) return this.#stop('a frame is cut off')
    if (!this.#have(FRAME_HEAD_BYTES + length)) return this.#stop('a frame is cut off')
    at = this.offset - this.#blockOffset
    const end = at + FRAME_HEAD_BYTES + length
    if (this.bytes.readUInt32LE(at) !== frameChecksum(this.bytes, at, end, this.#id))
      return this.#stop('a checksum is wrong')
    this.bodyStart = at + FRAME_HEAD_BYTES
    this.bodyEnd = end
    this.frameOffset = this.offset
    this.offset += FRAME_HEAD_BYTES + length
    return true
  }

  /** The last frame is not what it seems: reading ends before it. */
  reject(fault: string): void {
    this.offset = this.frameOffset
    this.fault = fault
  }

  #stop(fault: string): false {
    this.fault ??= fault
    return false
  }

  /** Makes the block hold `count` bytes from `offset` on; false if the file does not have them. */
  #have(count: number): boolean {
    const at = this.offset - this.#blockOffset
    if (this.#filled - at >= count) return true
    const kept = this.bytes.subarray(at, this.#filled)
    const target = count > this.bytes.length ? Buffer.allocUnsafeSlow(count + BLOCK) : this.bytes
    target.set(kept)
    this.bytes = target
    this.#filled = kept.length
    this.#blockOffset = this.offset
    while (this.#filled < count) {
      const position = this.#blockOffset + this.#filled
      const wanted = Math.min(target.length - this.#filled, this.#end - position)
      const read = this.#read(target, wanted, position)
      if (read === 0) return false
      this.#filled += read
    }
    return true
  }

  #read(target: Buffer, wanted: number, position: number): number {
    if (wanted <= 0) return 0
    try {
      return readSync(this.#fd, target, this.#filled, wanted, position)
    } catch (error) {
      this.fault = `the file cannot be read: ${(error as Error).message}`
      return 0
    }
  }
}
