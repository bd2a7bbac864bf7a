// A Redis of the test's own, on a Unix socket in a temporary folder. Owns the process and the folder; with `keeping` its
// data outlives it (an append-only file, synced by every command), else a Redis that is started again is empty.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PeerProcess } from './peers.ts'

export class Redis {
  readonly #folder = mkdtempSync(join(tmpdir(), 'redis-'))
  readonly #keeping: boolean
  #process: PeerProcess | undefined

  constructor(keeping = false) {
    this.#keeping = keeping
    process.once('exit', () => rmSync(this.#folder, { recursive: true, force: true }))
  }

  /** Where it listens. */
  get path(): string {
    return join(this.#folder, 'redis.sock')
  }

  /** The broker's settings for it. */
  get settings(): { persistence: string; persistence_options: Record<string, unknown> } {
    return { persistence: 'aedes:aedes-persistence-redis', persistence_options: { path: this.path } }
  }

  /** Starts it, again if it was killed; resolves when it can be used. */
  async start(): Promise<this> {
    const append = this.#keeping ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
    const where = ['--port', '0', '--unixsocket', this.path, '--dir', this.#folder]
    this.#process = new PeerProcess('redis-server', [...where, '--save', '', ...append])
    await this.#process.waitForLines(/ready to accept connections/i)
    return this
  }

  async kill9(): Promise<void> {
    this.#process?.kill9()
    await this.#process?.exit()
    this.#process = undefined
  }

  /** Ends it, and forgets everything. */
  async end(): Promise<void> {
    await this.kill9()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
