// One process a directory. Node has no flock, so it is a file created with O_EXCL that says who made it: process, the time
// that process started (numbers come again), and its PID namespace. Whoever finds it asks the kernel whether that process
// lives. A process of another namespace (a container on the same volume) cannot be asked; its lock counts as long as its
// time stamp is seen to move, so the holder touches it every two seconds.

import { linkSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
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
  /** Clock ticks after boot, as text: field 22 of /proc/<pid>/stat. */
  readonly started: string
  readonly namespace: string
  readonly boot: string
}

export interface LockTimes {
  /** Milliseconds. */
  readonly watch?: number
}

export class DirectoryLock {
  readonly #path: string
  readonly #content: string
  readonly #touching: NodeJS.Timeout

  private constructor(path: string, content: string) {
    this.#path = path
    this.#content = content
    this.#touching = setInterval(() => this.#touch(), TOUCH_INTERVAL)
    this.#touching.unref()
  }

  /**
   * Takes the directory for this process.
   * @throws StoreError `locked`, naming the process that has it.
   */
  static async take(directory: string, times: LockTimes = {}): Promise<DirectoryLock> {
    const path = join(directory, NAME)
    const content = `${JSON.stringify(holderOf(process.pid))}\n`
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (createWhole(path, content)) return new DirectoryLock(path, content)
      const found = readIfThere(path)
      if (found === undefined) continue
      if (await isHeld(path, found, times.watch ?? WATCH_INTERVAL)) throw refusal(directory, found)
      removeStale(path, found)
    }
    throw new StoreError('locked', `${directory}: other processes are taking and leaving the lock all the time`)
  }

  /** Gives the directory back; idempotent. A lock that is not ours any more is left alone. */
  release(): void {
    clearInterval(this.#touching)
    if (readIfThere(this.#path) === this.#content) rmSync(this.#path, { force: true })
  }

  #touch(): void {
    const now = new Date()
    try {
      utimesSync(this.#path, now, now)
    } catch {
      // A full or failing device: only other namespaces look at the time, and only at start.
    }
  }
}

/** Creates the lock with its content in one step, so that nobody reads half of it. False if there is one. */
function createWhole(path: string, content: string): boolean {
  const draft = `${path}.${process.pid}.tmp`
  writeFileSync(draft, content, { mode: 0o640 })
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  } finally {
    rmSync(draft, { force: true })
  }
}

function refusal(directory: string, found: string): StoreError {
  const holder = parse(found)
  const name = holder === undefined ? 'another process' : `${nameOf(holder.pid)} (process ${holder.pid})`
  return new StoreError('locked', `${directory} is in use by ${name}`)
}

async function isHeld(path: string, found: string, watch: number): Promise<boolean> {
  const holder = parse(found)
  if (holder === undefined) return false // an empty or foreign file: nobody who lives wrote it
  const own = holderOf(process.pid)
  if (holder.boot === own.boot && holder.namespace === own.namespace) return startOf(holder.pid) === holder.started // our own process too: two stores of one process exclude each other
  if (holder.boot !== own.boot) return false
  const before = stampOf(path)
  await pause(watch)
  return before !== undefined && stampOf(path) !== before
}

function stampOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs
}

/** Removes a lock left behind, unless somebody took it over in this moment. */
function removeStale(path: string, found: string): void {
  const aside = `${path}.stale-${process.pid}`
  try {
    renameSync(path, aside) // of two who try, one gets the file
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    if (readFileSync(aside, 'utf8') !== found) linkSync(aside, path)
  } finally {
    rmSync(aside, { force: true })
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function parse(content: string): Holder | undefined {
  try {
    const { pid, started, namespace, boot } = JSON.parse(content) as Partial<Holder>
    if (!Number.isSafeInteger(pid) || started === undefined || namespace === undefined || boot === undefined)
      return undefined
    return { pid: pid as number, started, namespace, boot }
  } catch {
    return undefined
  }
}

function holderOf(pid: number): Holder {
  return { pid, started: startOf(pid) ?? '', namespace: namespaceOf(pid), boot: bootId() }
}

function namespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return 'unknown'
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return 'unknown'
  }
}

/** When the process started; undefined if there is none, or a zombie. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // the name may hold spaces and parentheses
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return 'a process'
  }
}
