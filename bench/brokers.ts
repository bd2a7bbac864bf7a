// The brokers under test: how each is found, started on a free port, and ended. What a broker prints goes to a file and
// is shown only when it fails: a terminal that scrolls would be measured too.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { exists, root } from './compile.ts'
import type { Protocol } from './shapes.ts'

const startDeadline = 15_000 // ms
const stopDeadline = 10_000 // ms
const probeInterval = 20 // ms

/** Processes to end even when the benchmark itself is interrupted. */
const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** A broker that can be started. */
export interface Broker {
  readonly name: string
  readonly version: string
  readonly protocols: readonly Protocol[]
  /** Spoken to in MQTT 5, whatever the others are: one broker in both versions, side by side. */
  readonly mqtt5?: true
  /** The command for a broker that listens on 127.0.0.1:`port`; `folder` is its own and is deleted afterwards. */
  command(port: number, folder: string, protocol: Protocol): Promise<readonly string[]>
}

/** Mosquitto as fast as it gets without dropping: no limits on what is in flight or queued, no Nagle. */
const mosquittoSettings = [
  'allow_anonymous true',
  'max_inflight_messages 0',
  'max_queued_messages 0',
  'set_tcp_nodelay true',
]

/** As durable as it gets: everything is written to disk, though not synced, at most a second after it changed. */
const mosquittoPersistence = [
  'persistence true',
  'autosave_on_changes true',
  'autosave_interval 1',
  'user root', // else a Mosquitto that root starts cannot write into the folder
]

/**
 * The broker for a word of --broker: `martlet`, `martlet-v5` (the same in MQTT 5), `martlet-fsync` and its likes with persistence, `floor`, `mosquitto`,
 * `mosquitto-disk` with persistence, or `NAME=COMMAND` with `{port}` and `{folder}` in
 * the command. Throws an Error that says why when it cannot be run here.
 */
export async function findBroker(word: string, floor: string): Promise<Broker> {
  const equals = word.indexOf('=')
  if (equals > 0) return custom(word.slice(0, equals), word.slice(equals + 1))
  if (word === 'floor')
    return { name: 'floor', version: '', protocols: ['tcp'], command: async (port) => [floor, String(port)] }
  if (word === 'martlet') return martlet()
  if (word === 'martlet-v5') return { ...(await martlet()), name: word, mqtt5: true }
  if (word === 'mosquitto') return mosquitto(word, [])
  if (word === 'mosquitto-disk') return mosquitto(word, mosquittoPersistence)
  const durability = /^martlet-(fsync|os|none)$/.exec(word)?.[1]
  if (durability !== undefined) return durableMartlet(word, durability)
  throw new RangeError(
    `no broker ${word}; there are martlet, martlet-v5, martlet-fsync, martlet-os, martlet-none, floor, mosquitto, mosquitto-disk, and NAME=COMMAND with {port} in it`,
  )
}

function custom(name: string, line: string): Broker {
  if (!line.includes('{port}')) throw new RangeError(`--broker ${name}: its command needs {port}`)
  const words = line.split(/\s+/).filter((word) => word !== '')
  return {
    name,
    version: '',
    protocols: ['tcp'],
    command: async (port, folder) =>
      words.map((word) => word.replaceAll('{port}', String(port)).replaceAll('{folder}', folder)),
  }
}

async function martlet(): Promise<Broker> {
  const script = join(root, 'bin', 'martlet.js')
  if (!(await exists(script))) throw new Error(`${script} is missing`)
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return {
    name: 'martlet',
    version: `${version} on Node ${process.version}`,
    protocols: ['tcp', 'websocket', 'tls'],
    command: async (port, folder, protocol) => {
      if (protocol === 'tcp') return [process.execPath, script, '-p', String(port)]
      const file = join(folder, 'martlet.yaml')
      const listener = {
        port,
        host: '127.0.0.1',
        ...(protocol === 'tls' ? certificate(folder) : { protocol: 'websockets' }),
      }
      const settings = { allow_anonymous: true, connection_messages: false, listeners: [listener] }
      await writeFile(file, JSON.stringify(settings)) // JSON is YAML
      return [process.execPath, script, '--config', file]
    },
  }
}

/** Persistence on, in the broker's folder, and like Mosquitto's no limit on how many messages wait. */
async function durableMartlet(name: string, durability: string): Promise<Broker> {
  const plain = await martlet()
  return {
    name,
    version: plain.version,
    protocols: ['tcp'],
    command: async (port, folder) => {
      const file = join(folder, 'martlet.yaml')
      const settings = {
        listeners: [{ port, host: '127.0.0.1' }],
        allow_anonymous: true,
        persistence: true,
        persistence_location: join(folder, 'data'),
        durability,
        max_queued_messages: 0,
      }
      const lines = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
      await writeFile(file, lines.join(''))
      const [node, script] = await plain.command(port, folder, 'tcp')
      return [node!, script!, '--config', file]
    },
  }
}

function mosquitto(name: string, more: readonly string[]): Broker {
  // Debian puts it where only root's PATH looks.
  const found = ['mosquitto', '/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto']
    .map((program) => ({ program, run: spawnSync(program, ['-h'], { encoding: 'utf8' }) }))
    .find(({ run }) => run.error === undefined)
  if (!found) throw new Error('it is not installed')
  return {
    name,
    version: /version (\S+)/.exec(found.run.stdout)?.[1] ?? '',
    protocols: ['tcp', 'websocket', 'tls'],
    command: async (port, folder, protocol) => {
      const file = join(folder, 'mosquitto.conf')
      const lines = [`listener ${port} 127.0.0.1`, ...mosquittoSettings]
      if (more.length > 0) lines.push(`persistence_location ${folder}/`, ...more)
      if (protocol === 'websocket') lines.push('protocol websockets')
      if (protocol === 'tls')
        for (const [key, path] of Object.entries(certificate(folder))) lines.push(`${key} ${path}`)
      await writeFile(file, `${lines.join('\n')}\n`)
      return [found.program, '-c', file]
    },
  }
}

/** A key and a certificate it signed itself, of the kind brokers are mostly run with: elliptic, for quick handshakes. */
function certificate(folder: string): { certfile: string; keyfile: string } {
  const files = { certfile: join(folder, 'certificate.pem'), keyfile: join(folder, 'key.pem') }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', files.keyfile]
  const words = ['req', '-x509', ...key, '-out', files.certfile, '-subj', '/CN=localhost', '-days', '2']
  const { status, error, stderr } = spawnSync('openssl', words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl cannot make a certificate: ${error?.message ?? stderr}`)
  return files
}

/** A broker process that accepts connections. */
export class RunningBroker {
  readonly port: number
  readonly pid: number
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown>
  readonly #folder: string

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.port = port
    this.pid = child.pid ?? 0
    this.#child = child
    this.#exit = new Promise((resolve) => child.once('exit', resolve))
    alive.add(child)
    this.#folder = folder
  }

  /** Rejects with an Error that ends in the broker's last words when it does not come up within 15 s. */
  static async start(broker: Broker, protocol: Protocol = 'tcp'): Promise<RunningBroker> {
    const folder = await mkdtemp(join(tmpdir(), 'martlet-bench-'))
    const port = await freePort()
    const [program, ...args] = await broker.command(port, folder, protocol)
    const log = join(folder, 'log')
    const output = openSync(log, 'w')
    const child = spawn(program!, args, { stdio: ['ignore', output, output], cwd: folder })
    closeSync(output)
    const failed = new Promise<Error>((resolve) => child.once('error', resolve))
    const running = new RunningBroker(child, port, folder)
    const problem = child.pid === undefined ? await failed : await running.#accepting()
    if (problem === undefined) return running
    const words = (await readFile(log, 'utf8')).trim().split('\n').slice(-5).join('\n')
    await running.stop()
    throw new Error(`${broker.name} did not start: ${problem.message}${words && `\n${words}`}`)
  }

  async #accepting(): Promise<Error | undefined> {
    const deadline = Date.now() + startDeadline
    while (Date.now() < deadline) {
      if (!this.running) return new Error('it ended')
      if (await accepts(this.port)) return undefined
      await delay(probeInterval)
    }
    return new Error(`nothing listens on port ${this.port}`)
  }

  get running(): boolean {
    return this.pid !== 0 && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** SIGTERM, then, for one that does not listen, SIGKILL. Idempotent. */
  async stop(): Promise<void> {
    if (this.running) {
      this.#child.kill('SIGTERM')
      const kill = setTimeout(() => this.#child.kill('SIGKILL'), stopDeadline)
      await this.#exit
      clearTimeout(kill)
    }
    alive.delete(this.#child)
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A port nobody listens on, on 127.0.0.1. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
