// A disk of its own for a test, small enough to be filled: a tmpfs, where mounting is allowed. Owns the mount: it goes with
// the test process, even when the test fails.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runners of CI are no root, but may become it without a word. */
const asRoot = (...words: string[]): SpawnSyncReturns<Buffer> => {
  const command = process.getuid?.() === 0 ? words : ['sudo', '-n', ...words]
  return spawnSync(command[0]!, command.slice(1))
}

const mounted = new Set<string>()

process.on('exit', () => {
  for (const path of mounted) {
    asRoot('umount', '-l', path)
    rmSync(path, { recursive: true, force: true })
  }
})

export class SmallDisk {
  readonly path: string
  #fillers = 0

  /** `bytes`: its size. @throws Error, saying why, where mounting is not allowed. */
  constructor(bytes: number) {
    const path = mkdtempSync(join(tmpdir(), 'small-disk-'))
    const { status, stderr, error } = asRoot('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=777`, 'tmpfs', path)
    if (status !== 0) {
      rmSync(path, { recursive: true })
      throw new Error(`tmpfs cannot be mounted: ${error?.message ?? String(stderr).trim()}`)
    }
    mounted.add(path)
    this.path = path
  }

  /** Somebody else writes until nothing is left. Returns what takes it away again. */
  fill(): () => void {
    const path = join(this.path, `filler-${this.#fillers++}`)
    const file = openSync(path, 'w')
    try {
      for (const block = Buffer.alloc(4096); ; ) writeSync(file, block)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(file)
    }
    return () => rmSync(path)
  }

  unmount(): void {
    asRoot('umount', '-l', this.path)
    rmSync(this.path, { recursive: true, force: true })
    mounted.delete(this.path)
  }
}

/** Why no test can have a disk of its own; undefined when it can. */
export function noSmallDisk(): string | undefined {
  try {
    new SmallDisk(1 << 16).unmount()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
