// Reads the frames of one file, one after the other, and stops at the first commit that is not whole. Reads synchronously, a
// block at a time: it serves recovery, compaction (in its own thread) and the command line, never the broker at work.

import { readSync } from 'node:fs'
import { FRAME_HEAD_BYTES, frameChecksum, frameLength, HEADER_BYTES } from './file-format.ts'
import { isDeviceError, twice } from './journal-files.ts'

const BLOCK = 1 << 20

export class FrameReader {
  /** The last frame's body, in `bytes`; valid until the commit's last frame is gone past. */
  bytes = Buffer.allocUnsafeSlow(BLOCK)
  bodyStart = 0
  bodyEnd = 0
  /** Where the last frame began, in the file, and where its commit did. */
  frameOffset = HEADER_BYTES
  commitOffset = HEADER_BYTES
  /** The commit of the last frame goes on in the next. */
  more = false
  /** Where the good frames end, in the file. */
  offset = HEADER_BYTES
  /** Why reading stopped before the end; undefined while there is nothing wrong. */
  fault: string | undefined
  /** The commit that ends here, in the file, was found whole. */
  #wholeUntil = HEADER_BYTES
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

  /** Goes to the next frame; false at the end, or at the first commit that is not whole (`fault` says why). */
  next(): boolean {
    if (this.offset >= this.#end || this.fault !== undefined) return false
    if (this.offset >= this.#wholeUntil && !this.#findCommit()) return false
    const at = this.offset - this.#blockOffset
    const { length, more } = frameLength(this.bytes, at)
    this.more = more
    this.bodyStart = at + FRAME_HEAD_BYTES
    this.bodyEnd = this.bodyStart + length
    this.frameOffset = this.offset
    this.offset += FRAME_HEAD_BYTES + length
    return true
  }

  /** The last commit is not what it seems: reading ends before it. */
  reject(fault: string): void {
    this.offset = this.commitOffset
    this.fault = fault
  }

  /** Has the commit at `offset` in the block, all its frames; false if it is not whole. */
  #findCommit(): boolean {
    for (let bytes = 0, goesOn = true; goesOn; ) {
      if (!this.#have(bytes + FRAME_HEAD_BYTES)) return this.#stop('a frame head is cut off')
      const { length, more } = frameLength(this.bytes, this.offset - this.#blockOffset + bytes)
      if (length === 0) return this.#stop('a frame is empty')
      const end = bytes + FRAME_HEAD_BYTES + length
      if (this.offset + end > this.#end || !this.#have(end)) return this.#stop('a frame is cut off')
      const start = this.offset - this.#blockOffset
      if (this.bytes.readUInt32LE(start + bytes) !== frameChecksum(this.bytes, start + bytes, start + end, this.#id))
        return this.#stop('a checksum is wrong')
      bytes = end
      goesOn = more
      this.#wholeUntil = this.offset + end
    }
    this.commitOffset = this.offset
    return true
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
      return twice(() => readSync(this.#fd, target, this.#filled, wanted, position))
    } catch (error) {
      if (!isDeviceError(error)) throw error
      this.fault = `the file cannot be read: ${(error as Error).message}`
      return 0
    }
  }
}
