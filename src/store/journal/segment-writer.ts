// The segment being written, and the way from one to the next. A file on which a write or a sync has failed is never
// touched again: the kernel may have dropped its dirty pages and say "fine" the next time. It ends where the last good
// sync left it, which the header of the next segment states.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommitGroup } from './commit-group.ts'
import { fileName, writeHeader } from './file-format.ts'
import { closeFile, createFile, syncDirectory, syncFile, truncateFile, writeAll } from './file-io.ts'

/** What a resolved commit means. */
export type Durability =
  /** On the device: survives a power loss. */
  | 'fsync'
  /** Handed to the kernel: survives a crash of the broker, not of the machine. */
  | 'os'
  /** Taken: what was not yet written is lost if the broker crashes. */
  | 'none'

/** A segment that is complete. */
export interface SealedSegment {
  readonly id: number
  readonly path: string
  /** How many bytes of it count. */
  readonly end: number
}

export interface SegmentWriterEvents {
  sealed(segment: SealedSegment): void
  /** A sync that nobody waits for failed (durability `os` and `none`). */
  lateSyncFailed(error: unknown): void
}

export class SegmentWriter {
  /** Syncs done. */
  syncs = 0
  readonly #directory: string
  readonly #durability: Durability
  readonly #events: SegmentWriterEvents
  #fd: number | undefined
  #current: { id: number; path: string } | undefined
  /** How many bytes of the current segment are good. */
  #end = 0
  #previous: { id: number; end: number }
  #nextId: number

  /** `previous`: the last segment there is, and how much of it counts. */
  constructor(
    directory: string,
    durability: Durability,
    previous: { id: number; end: number; nextId: number },
    events: SegmentWriterEvents,
  ) {
    this.#directory = directory
    this.#durability = durability
    this.#events = events
    this.#previous = previous
    this.#nextId = previous.nextId
  }

  /** The segment that is open; undefined before the first and after a failure. */
  get fileId(): number | undefined {
    return this.#current?.id
  }

  get end(): number {
    return this.#end
  }

  /** A number for a new segment. */
  takeId(): number {
    return this.#nextId++
  }

  /** Writes the group behind what is there, or into the new segment it starts. After a rejection the segment is closed. */
  async write(group: CommitGroup): Promise<void> {
    if (group.startsFile) return await this.#startFile(group)
    const fd = this.#fd!
    try {
      await writeAll(fd, group.out.bytes, group.bytes, this.#end)
      if (this.#durability === 'fsync') await this.#sync(fd)
    } catch (error) {
      await this.#abandon()
      throw error
    }
    this.#end += group.bytes
  }

  /** Closes the segment for good; what it has is complete. */
  async close(): Promise<void> {
    await this.#seal()
  }

  async #startFile(group: CommitGroup): Promise<void> {
    await this.#seal()
    const { id: previous, end: previousEnd } = this.#previous
    writeHeader({ kind: 'journal', id: group.fileId, previous, previousEnd }, group.out.bytes)
    const path = join(this.#directory, fileName(group.fileId, 'journal'))
    const fd = await createFile(path)
    try {
      await writeAll(fd, group.out.bytes, group.bytes, 0)
      if (this.#durability === 'fsync') {
        await this.#sync(fd)
        await syncDirectory(this.#directory)
      }
    } catch (error) {
      await closeFile(fd).catch(() => {}) // the first error is the one to tell
      // Should it stay, nothing follows it: the next segment names another as the one before it.
      await rm(path, { force: true }).catch(() => {})
      throw error
    }
    this.#fd = fd
    this.#current = { id: group.fileId, path }
    this.#end = group.bytes
  }

  async #sync(fd: number): Promise<void> {
    await syncFile(fd)
    this.syncs++
  }

  /** Ends the current segment where it is; in the weaker modes it is synced now, so that only the newest segment is at stake. */
  async #seal(): Promise<void> {
    const [fd, current, end] = [this.#fd, this.#current, this.#end]
    if (fd === undefined || current === undefined) return
    this.#fd = undefined
    this.#current = undefined
    this.#previous = { id: current.id, end }
    try {
      if (this.#durability !== 'fsync') {
        await this.#sync(fd)
        await syncDirectory(this.#directory)
      }
      await closeFile(fd)
    } catch (error) {
      this.#events.lateSyncFailed(error)
    }
    this.#events.sealed({ ...current, end })
  }

  /** The current segment failed: it ends behind its last good group. */
  async #abandon(): Promise<void> {
    const [fd, current, end] = [this.#fd!, this.#current!, this.#end]
    this.#fd = undefined
    this.#current = undefined
    this.#previous = { id: current.id, end }
    // What stands behind may be much, and on a full disk it is missed. Nobody reads it, so it may stay as well.
    await truncateFile(fd, end).catch(() => {})
    await closeFile(fd).catch(() => {}) // it failed already; the descriptor is gone either way
    this.#events.sealed({ ...current, end })
  }
}
