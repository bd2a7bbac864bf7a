// The system calls of the writing side, as promises. On the callback API: a FileHandle costs more per commit than the
// commit's own work. Every function rejects with Node's own error, code and path included.

import fs from 'node:fs'
import { dirname } from 'node:path'

/** Creates a file that must not exist yet; for writing. */
export function createFile(path: string): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.open(path, 'wx', 0o640, (error, fd) => (error === null ? resolve(fd) : reject(error))),
  )
}

/** Writes `bytes[0, length)` at `position`; goes on after a short write, as POSIX allows one at any time. */
export function writeAll(fd: number, bytes: Uint8Array, length: number, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0
    const step = (): void =>
      fs.write(fd, bytes, done, length - done, position + done, (error, written) => {
        if (error !== null) return reject(error)
        done += written
        if (done === length) return resolve()
        // A device that takes nothing and reports nothing would keep us here for ever.
        if (written === 0) return reject(Object.assign(new Error('EIO: nothing was written'), { code: 'EIO' }))
        step()
      })
    step()
  })
}

/** The file's bytes, and what is needed to find them, are on the device when it resolves. */
export function syncFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error))))
}

/** Cuts the file off behind `length` bytes. */
export function truncateFile(fd: number, length: number): Promise<void> {
  return new Promise((resolve, reject) =>
    fs.ftruncate(fd, length, (error) => (error === null ? resolve() : reject(error))),
  )
}

export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.close(fd, (error) => (error == null ? resolve() : reject(error))))
}

/** Names created, renamed or removed in the directory survive a power loss when it resolves. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.promises.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The same, at once; for threads that may block. */
export function syncDirectorySync(directory: string): void {
  const fd = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Copies `path[start, end)` to a new file beside it and makes that durable; what was there under the name is replaced. */
export async function copyRange(path: string, start: number, end: number, target: string): Promise<void> {
  await fs.promises.rm(target, { force: true })
  const output = fs.createWriteStream(target, { flags: 'wx', mode: 0o640, flush: true })
  const input = fs.createReadStream(path, { start, end: end - 1 })
  const { pipeline } = await import('node:stream/promises')
  await pipeline(input, output)
  await syncDirectory(dirname(target))
}

/**
 * Makes a directory and those above it that are missing. (Node's own `recursive` goes round for ever where a file system
 * says ENOENT to a name that it does not take, as /proc does.)
 * @throws what the file system says.
 */
export function makeDirectory(directory: string): void {
  const parent = dirname(directory)
  if (!fs.existsSync(parent)) makeDirectory(parent)
  try {
    fs.mkdirSync(directory, 0o750)
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && fs.statSync(directory).isDirectory()
    if (!isThere) throw error
  }
}
