// What lies in a store's directory, and which of it counts: the newest checkpoint and the chain of segments behind it. Looks
// only; who may change something does.

import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StoreError } from '../store-error.ts'
import { type FileHeader, type FileKind, HEADER_BYTES, NO_HEADER, parseFileName, readHeader } from './file-format.ts'

/** A file whose frames are to be read, from behind the header up to `end`. */
export interface Source {
  readonly kind: FileKind
  readonly id: number
  readonly path: string
  readonly end: number
  /** The segment behind says where this one ends: a fault before that is damage, not a commit cut short by a crash. */
  readonly sealed: boolean
  /** `end` is where its first fault was found: what is missing behind it is known to be. */
  readonly cut?: boolean
  /** What could not be read of it could not be copied either: the file must not be deleted. */
  readonly irreplaceable?: boolean
}

export interface Layout {
  /** What to read, in this order: the newest checkpoint first, if there is one. */
  readonly sources: readonly Source[]
  /** Superseded or never finished; may be deleted. */
  readonly obsolete: readonly string[]
  /** Files with a header that cannot be read, and why: `has no readable header`. */
  readonly unreadable: readonly { readonly path: string; readonly problem: string }[]
  /** Ids that the chain names and nobody has. */
  readonly missing: readonly number[]
  /** Highest id in use; 0: none. */
  readonly newestId: number
}

interface Found {
  readonly id: number
  readonly kind: FileKind
  readonly path: string
  readonly size: number
  readonly header: FileHeader | undefined
  readonly problem: string
}

/** Gets a file that a checkpoint stands for out of the way. */
export async function discard({ path, irreplaceable }: Source): Promise<void> {
  if (irreplaceable === true) await rename(path, `${path}.damaged`)
  else await rm(path, { force: true })
}

/** Looks at a directory. @throws what the file system says if it cannot be listed. */
export function surveyDirectory(directory: string): Layout {
  const names = readdirSync(directory)
  const obsolete = names.filter((name) => name.endsWith('.tmp')).map((name) => join(directory, name))
  const found = names.flatMap((name) => {
    const parsed = parseFileName(name)
    return parsed === undefined ? [] : [look(join(directory, name), parsed.id, parsed.kind)]
  })
  found.sort((a, b) => b.id - a.id)
  const newestId = found[0]?.id ?? 0
  const unreadable = found.filter(({ header, size }) => header === undefined && size > 0)
  obsolete.push(...found.filter(({ size }) => size === 0).map(({ path }) => path))

  const whole = found.filter(({ header }) => header !== undefined)
  const [checkpoint, ...older] = whole.filter(({ kind }) => kind === 'checkpoint')
  obsolete.push(...older.map(({ path }) => path))
  const covered = checkpoint?.id ?? 0
  const segments = whole.filter(({ kind }) => kind === 'journal')
  obsolete.push(...segments.filter(({ id }) => id <= covered).map(({ path }) => path))

  const chain = chainOf(segments.filter(({ id }) => id > covered))
  obsolete.push(...chain.orphans)
  const missing = chain.missing.filter((id) => id > covered && !unreadable.some((file) => file.id === id))
  const sources = checkpoint === undefined ? chain.sources : [sourceOf(checkpoint, checkpoint.size), ...chain.sources]
  return { sources, obsolete, unreadable, missing, newestId }
}

/** The segments that count, oldest first, found by going back from the newest along what each says it follows. */
function chainOf(newestFirst: readonly Found[]): { sources: Source[]; orphans: string[]; missing: number[] } {
  const sources: Source[] = []
  const orphans: string[] = []
  const missing: number[] = []
  let follows: FileHeader | undefined
  for (const segment of newestFirst) {
    if (follows !== undefined && segment.id > follows.previous) {
      orphans.push(segment.path) // its records were written again in the segment behind it
      continue
    }
    if (follows !== undefined && segment.id < follows.previous) missing.push(follows.previous)
    const end = follows?.previous === segment.id ? follows.previousEnd : segment.size
    sources.unshift({ ...sourceOf(segment, end), sealed: follows !== undefined })
    follows = segment.header
  }
  if (follows !== undefined && follows.previous > 0) missing.push(follows.previous)
  return { sources, orphans, missing }
}

function sourceOf({ kind, id, path }: Found, end: number): Source {
  return { kind, id, path, end, sealed: true }
}

function look(path: string, id: number, kind: FileKind): Found {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isFile() !== true) return { id, kind, path, size: 1, header: undefined, problem: 'is no file' }
  const { size } = found
  const header = size === 0 ? NO_HEADER : headerOf(path)
  if (typeof header === 'string') return { id, kind, path, size, header: undefined, problem: header }
  const isOurs = header.id === id && header.kind === kind
  return { id, kind, path, size, header: isOurs ? header : undefined, problem: 'has the header of another file' }
}

/**
 * Or why there is none. What is not the device's fault (no permission, no descriptors) may pass, and is thrown.
 * @throws StoreError `newer` for the header of a format to come.
 */
function headerOf(path: string): FileHeader | string {
  let fd: number | undefined
  try {
    fd = twice(() => openSync(path, 'r'))
    const bytes = Buffer.alloc(Math.min(HEADER_BYTES, fstatSync(fd).size))
    return readSync(fd, bytes, 0, bytes.length, 0) === HEADER_BYTES ? readHeader(bytes) : NO_HEADER
  } catch (error) {
    if (error instanceof StoreError) throw new StoreError(error.reason, `${path}: ${error.message}`)
    if (isDeviceError(error)) return `cannot be read (${(error as Error).message})`
    throw error
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** The device cannot give the bytes back. Only that is damage. */
export function isDeviceError(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EIO'
}

/** Tries again, once, what the device refused: what it refuses twice counts as damage, so it is worth asking. */
export function twice<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isDeviceError(error)) throw error
    return read()
  }
}
