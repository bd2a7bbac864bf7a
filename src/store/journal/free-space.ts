// Looks after the space that is left on the store's device. A store that fills its disk to the last byte can never get out of
// that by itself: the acknowledgements that would make old messages dead cannot be written, and a checkpoint that leaves
// them out has no room. So space counts as short while some is still left, and what is left is for those two.

import { statfs } from 'node:fs/promises'

export interface FreeSpaceOptions {
  readonly directory: string
  /** Fewer bytes than this free, and space is short; 0: never. At most an eighth of the device counts. */
  readonly least: number
  /** Space is short now, or no longer. */
  changed(isShort: boolean, free: number): void
  /** Space is still short, a second later. */
  stillShort(): void
}

const INTERVAL = 1000
/** Shortage ends at so many times the least, lest it come and go with every commit. */
const ENOUGH = 1.25

export class FreeSpace {
  /** Bytes anybody but root may still write, when they were last counted. */
  free = Infinity
  isShort = false
  readonly #options: FreeSpaceOptions
  #least = Infinity
  #unmeasured = 0
  #measuring: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: FreeSpaceOptions) {
    this.#options = options
    if (options.least === 0) return
    this.#timer = setInterval(() => this.#tick(), INTERVAL)
    this.#timer.unref()
  }

  /** How much a compaction may write: the rest is left to acknowledgements. Infinity: nobody counts. */
  get forCompaction(): number {
    return this.#options.least === 0 ? Infinity : Math.max(0, this.free - this.#least / 4)
  }

  /** So much was written; now and then that is reason enough to count anew. */
  wrote(bytes: number): void {
    if (this.#options.least === 0) return
    this.#unmeasured += bytes
    if (this.#unmeasured >= Math.min(this.#least, this.#options.least) / 8) void this.measure()
  }

  /** Counts what is free. Never rejects: a device that cannot be asked is left to say so when it is written to. */
  measure(): Promise<void> {
    if (this.#options.least === 0) return Promise.resolve()
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined
    })
    return this.#measuring
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #tick(): void {
    void this.measure().then(() => {
      if (this.isShort && this.#timer !== undefined) this.#options.stillShort()
    })
  }

  async #measure(): Promise<void> {
    this.#unmeasured = 0
    try {
      const { bavail, blocks, bsize } = await statfs(this.#options.directory)
      this.free = bavail * bsize
      this.#least = Math.min(this.#options.least, (blocks * bsize) / 8)
    } catch {
      return // the verdict stays what it was
    }
    const isShort = this.free < (this.isShort ? ENOUGH : 1) * this.#least
    if (isShort === this.isShort) return
    this.isShort = isShort
    this.#options.changed(isShort, this.free)
  }
}
