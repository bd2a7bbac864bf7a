// One process a directory. Node has no flock, so it is a symbolic link whose target says who made it: process, the time that
// process started (numbers come again), boot, PID namespace and directory. A link is made in one step with all it says, and
// needs no data block, so it works on a full disk. Whoever finds it asks /proc whether that process lives. A process of
// another namespace (a container on the same volume) cannot be asked; its lock counts as long as its time is seen to
// move, so the holder touches it every two seconds, and looks whether it is still its own: a process that stood still
// (stopped, frozen, swapped out) may have been taken for dead.

import { createHash } from 'node:crypto'
import {
  linkSync,
  lstatSync,
  lutimesSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { StoreError } from '../store-error.ts'

const NAME = 'lock'
const TOUCH_INTERVAL = 2000
/** How long a foreign lock is watched before it counts as left behind. */
const WATCH_INTERVAL = 5000
const ATTEMPTS = 3

interface Holder {
  readonly pid: number
  /** Clock ticks after boot: field 22 of /proc/<pid>/stat. */
  readonly started: string
  readonly boot: string
  readonly namespace: string
  /** The directory that was locked: a copy of it, lock and all, is nobody's. */
  readonly place: string
}

export interface LockOptions {
  /** Milliseconds a foreign lock is watched. */
  readonly watch?: number
  /** Milliseconds between two looks at our own. */
  readonly touch?: number | undefined
  /** Somebody else has it now. */
  readonly onLost?: () => void
}

export class DirectoryLock {
  readonly #path: string
  readonly #target: string
  readonly #touching: NodeJS.Timeout
  readonly #onLost: () => void

  private constructor(path: string, target: string, { touch = TOUCH_INTERVAL, onLost = () => {} }: LockOptions) {
    this.#path = path
    this.#target = target
    this.#onLost = onLost
    this.#touching = setInterval(() => this.#touch(), touch)
    this.#touching.unref()
  }

  /**
   * Takes the directory for this process.
   * @throws StoreError `locked`, naming the process that has it.
   */
  static async take(directory: string, options: LockOptions = {}): Promise<DirectoryLock> {
    const path = join(directory, NAME)
    const own = ownHolder(directory)
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (create(path, textOf(own))) return new DirectoryLock(path, textOf(own), options)
      const found = targetOf(path)
      if (found === undefined) continue
      const holder = parse(found)
      if (holder !== undefined && (await isHeld(path, holder, own, options.watch ?? WATCH_INTERVAL)))
        throw new StoreError('locked', `${directory} is in use by ${nameOf(holder.pid)} (process ${holder.pid})`)
      removeStale(path, found)
    }
    throw new StoreError('locked', `${directory}: other processes are taking and leaving it all the time`)
  }

  /** Gives the directory back; idempotent. A lock that is not ours any more is left alone. */
  release(): void {
    clearInterval(this.#touching)
    if (targetOf(this.#path) === this.#target) rmSync(this.#path, { force: true })
  }

  #touch(): void {
    const now = new Date()
    try {
      const target = targetOf(this.#path)
      if (target !== undefined && target !== this.#target) {
        clearInterval(this.#touching)
        this.#onLost()
        return
      }
      lutimesSync(this.#path, now, now)
    } catch {
      // A full or failing device: only other namespaces look at the time, and only at start.
    }
  }
}

/** False if there is one. */
function create(path: string, target: string): boolean {
  try {
    symlinkSync(target, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

/** What the lock says; empty if it is something else than a lock, undefined if there is none. */
function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return ''
    throw error
  }
}

async function isHeld(path: string, holder: Holder, own: Holder, watch: number): Promise<boolean> {
  if (holder.boot !== own.boot || holder.place !== own.place) return false
  // Our own process too: two stores of one process exclude each other.
  if (holder.namespace === own.namespace) return startOf(holder.pid) === holder.started
  const before = stampOf(path)
  await pause(watch)
  return before !== undefined && stampOf(path) !== before
}

function stampOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.mtimeMs
}

/** Removes a lock left behind, unless somebody took it over in this moment. */
function removeStale(path: string, found: string): void {
  const aside = `${path}.stale-${process.pid}.tmp`
  try {
    renameSync(path, aside) // of two who try, one gets it
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    if (targetOf(aside) !== found) linkSync(aside, path)
  } finally {
    rmSync(aside, { force: true })
  }
}

function textOf({ pid, started, boot, namespace, place }: Holder): string {
  return ['martlet', pid, started, boot, namespace, place].join(':')
}

function parse(text: string): Holder | undefined {
  const match = /^martlet:(\d+):(\d*):(\w+):(\w+):(\w+)$/.exec(text)
  if (match === null) return undefined
  const [, pid, started = '', boot = '', namespace = '', place = ''] = match
  return { pid: Number(pid), started, boot, namespace, place }
}

function ownHolder(directory: string): Holder {
  const { dev, ino } = statSync(directory)
  return {
    pid: process.pid,
    started: startOf(process.pid) ?? '',
    boot: short(read('/proc/sys/kernel/random/boot_id')),
    namespace: short(namespaceOf()),
    place: short(`${dev}:${ino}`),
  }
}

/** Eight digits of a hash: the target stays under 60 bytes, which a file system keeps in the inode. */
function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}

function namespaceOf(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/** When the process started; undefined if there is none, or a zombie. */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // the name may hold spaces and parentheses
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function nameOf(pid: number): string {
  return read(`/proc/${pid}/comm`) || 'a process of another container'
}

/** What /proc says; empty if it says nothing. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
