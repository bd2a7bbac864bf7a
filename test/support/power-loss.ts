// What a disk may hold after the power went, given the log of calls that native/faults.c wrote. The strictest reading of
// POSIX: of a file only what was there at its last fsync is sure, of a directory only the names at its last fsync. What came
// later may be there or not: of appended bytes any beginning survives, of names the old or the new state.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

interface FileState {
  content: Buffer
  synced: Buffer
}

export interface Call {
  readonly name: string
  readonly path: string
  readonly more: string
  readonly data: Buffer
}

/** Reads a log. */
export function readCalls(log: string): Call[] {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [name = '', , path = '', more = '', data = ''] = line.split(' ')
    return { name, path, more, data: Buffer.from(data, 'hex') }
  })
}

/** A generator of numbers that are the same in every run; Park and Miller's. Called with n, it returns one of 0 … n − 1. */
export function chances(seed: number): (choices: number) => number {
  let state = seed
  return (choices) => {
    state = (state * 48271) % 2147483647
    return state % choices
  }
}

/**
 * A generator as above, with a seed of its own in every run, or the one of MARTLET_SEED: `again` is the line that repeats the
 * run, for whoever sees it fail.
 */
export function seededChances(): { chance: (choices: number) => number; again: string } {
  const seed = Number(process.env.MARTLET_SEED ?? 1 + Math.floor(Math.random() * 2147483646))
  return { chance: chances(seed), again: `to be repeated with MARTLET_SEED=${seed}` }
}

export class SimulatedDisk {
  readonly #directory: string
  #names = new Map<string, FileState>()
  #syncedNames = new Map<string, FileState>()

  /** Looks at the files of one directory, empty at first. */
  constructor(directory: string) {
    this.#directory = directory
  }

  apply({ name, path, more, data }: Call): void {
    if (name === 'fsync' && path === this.#directory) {
      this.#syncedNames = new Map(this.#names)
      return
    }
    if (dirname(path) !== this.#directory) return
    const file = this.#names.get(basename(path))
    if (name === 'open' && file === undefined)
      this.#names.set(basename(path), { content: Buffer.alloc(0), synced: Buffer.alloc(0) })
    else if (name === 'unlink') this.#names.delete(basename(path))
    else if (name === 'rename' && file !== undefined) {
      this.#names.delete(basename(path))
      this.#names.set(basename(more), file)
    } else if (file === undefined) return
    else if (name === 'fsync') file.synced = file.content
    else if (name === 'truncate') file.content = file.content.subarray(0, Number(more))
    else if (name === 'write') {
      const at = Number(more) < 0 ? file.content.length : Number(more)
      const grown = Buffer.alloc(Math.max(file.content.length, at + data.length))
      file.content.copy(grown)
      data.copy(grown, at)
      file.content = grown
    }
  }

  /**
   * Writes what is left into `target`. `chance` says what becomes of the unsure: called with n, it returns one of 0 … n − 1.
   */
  losePower(target: string, chance: (choices: number) => number): void {
    mkdirSync(target, { recursive: true })
    const names = chance(2) === 0 ? this.#syncedNames : this.#names
    for (const [name, { content, synced }] of names) {
      const unsure = content.length - synced.length
      const kept = unsure > 0 ? content.subarray(0, synced.length + chance(unsure + 1)) : synced
      // Sometimes the file has its new length, and the blocks were never written.
      const zeros = unsure > 0 && chance(4) === 0 ? content.length - kept.length : 0
      writeFileSync(join(target, name), Buffer.concat([kept, Buffer.alloc(zeros)]))
    }
  }
}
