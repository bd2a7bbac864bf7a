// What lies in a store's directory, and which of it counts: the newest checkpoint and the chain of segments behind it. Looks
// only; who may change something does.

import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type FileHeader, type FileKind, HEADER_BYTES, parseFileName, readHeader } from './file-format.ts'

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
}

export interface Layout {
  /** What to read, in this order: the newest checkpoint first, if there is one. */
  readonly sources: readonly Source[]
  /** Superseded or never finished; may be deleted. */
  readonly obsolete: readonly string[]
  /** Files with a header that cannot be read. */
  readonly unreadable: readonly string[]
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
  const unreadable = found.filter(({ header, size }) => header === undefined && size > 0).map(({ path }) => path)
  obsolete.push(...found.filter(({ size }) => size === 0).map(({ path }) => path))

  const whole = found.filter(({ header }) => header !== undefined)
  const [checkpoint, ...older] = whole.filter(({ kind }) => kind === 'checkpoint')
  obsolete.push(...older.map(({ path }) => path))
  const covered = checkpoint?.id ?? 0
  const segments = whole.filter(({ kind }) => kind === 'journal')
  obsolete.push(...segments.filter(({ id }) => id <= covered).map(({ path }) => path))

  const chain = chainOf(segments.filter(({ id }) => id > covered))
  obsolete.push(...chain.orphans)
  const missing = chain.missing.filter((id) => id > covered)
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
  const { size } = statSync(path)
  const header = size === 0 ? undefined : headerOf(path)
  return { id, kind, path, size, header: header?.id === id && header.kind === kind ? header : undefined }
}

function headerOf(path: string): FileHeader | undefined {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.min(HEADER_BYTES, fstatSync(fd).size))
    return readSync(fd, bytes, 0, bytes.length, 0) === HEADER_BYTES ? readHeader(bytes) : undefined
  } catch {
    return undefined // a file that cannot be read is as good as one without a header
  } finally {
    closeSync(fd)
  }
}
