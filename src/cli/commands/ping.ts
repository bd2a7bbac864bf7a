// `martlet ping`: is a broker serving? One CONNECT, one CONNACK, exit code 0. For health checks of containers, and with
// --wait for scripts that start a broker and go on when it is there.

import { readFileSync } from 'node:fs'
import { CommanderError, Command as Parser } from 'commander'
import { openClientReactor } from '../../net/client-reactor.ts'
import type { Connection, ConnectionReceiver } from '../../net/connection.ts'
import type { DialFailure, DialOptions, DialReceiver } from '../../net/dial.ts'
import { Dialer } from '../../net/dialer.ts'
import { openLog } from '../../telemetry/log.ts'
import type { Command } from '../commands.ts'
import { complain } from '../complain.ts'
import { ExitCode } from '../exit-code.ts'

// MQTT 3.1.1, Clean Session, Keep Alive 10 s, an empty Client Identifier: the broker makes one and keeps nothing.
const CONNECT = Uint8Array.of(0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0x02, 0, 10, 0, 0)
const DISCONNECT = Uint8Array.of(0xe0, 0)
const CONNACK = 0x20
const CONNACK_SIZE = 4

interface PingOptions {
  readonly host: string
  readonly port: string
  readonly unix?: string
  readonly cafile?: string
  readonly servername?: string
  readonly timeout: string
  readonly wait?: string
}

export const ping: Command = {
  name: 'ping',
  summary: 'ask a broker whether it serves (for health checks)',
  async run(args) {
    const parser = new Parser('martlet ping')
      .description(
        'Says CONNECT to a broker and ends with 0 if it answers, a refusal included; 1 if not, 3 for wrong arguments.',
      )
      .option('-h, --host <host>', 'host of the broker', '127.0.0.1')
      .option('-p, --port <port>', 'port of the broker', '1883')
      .option('--unix <path>', 'its Unix socket, instead of host and port')
      .option('--cafile <file>', 'speak TLS; who may have signed its certificate')
      .option('--servername <name>', 'the name in its certificate, if that is not the host')
      .option('--timeout <seconds>', 'how long to wait for an answer', '4')
      .option('--wait <seconds>', 'ask again until it serves, for so long')
      .helpOption('--help', 'show this')
      .configureOutput({ writeErr: complain })
      .exitOverride()
    try {
      parser.parse([...args], { from: 'user' })
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      return error.exitCode === 0 ? ExitCode.Fine : ExitCode.Invalid
    }
    const { host, port, unix, cafile, servername, timeout, wait } = parser.opts<PingOptions>()
    const problem = problemWith(port, timeout, wait)
    if (problem !== undefined) {
      process.stderr.write(`Error: ${problem}\n`)
      return ExitCode.Invalid
    }
    const connectTimeout = Number(timeout) * 1000
    const target = unix === undefined ? { host, port: Number(port) } : { socketPath: unix }
    const name = servername ?? (unix === undefined ? undefined : 'localhost')
    const named = name === undefined ? {} : { serverName: name }
    let answer: string
    try {
      const authorities = cafile === undefined ? undefined : readFileSync(cafile, 'utf8')
      const patience = wait === undefined ? undefined : Number(wait) * 1000
      answer = await knock({ ...target, ...named, connectTimeout }, authorities, patience)
    } catch (error) {
      if (cafile === undefined) throw error
      process.stderr.write(`Error: ${cafile}: ${(error as Error).message}\n`)
      return ExitCode.Invalid
    }
    process.stdout.write(`${answer}\n`)
    return answer === SERVING ? ExitCode.Fine : ExitCode.Failed
  },
}

function problemWith(port: string, timeout: string, wait: string | undefined): string | undefined {
  if (!(Number(port) > 0 && Number(port) < 65536)) return `Invalid port specified (${port}).`
  if (!(Number(timeout) > 0)) return `Invalid timeout specified (${timeout}).`
  if (wait !== undefined && !(Number(wait) > 0)) return `Invalid wait specified (${wait}).`
  return undefined
}

const SERVING = 'serving'
const TOO_LATE = 'no answer in time'
const NO_ANSWER = 'closed without an answer'
const NOT_MQTT = 'the answer is not MQTT'
const RETRY = { min: 200, max: 2000 }

interface Target extends DialOptions {
  readonly connectTimeout: number
}

/** What a broker says to one CONNECT; with `patience` (ms), it is asked until it serves. Throws when `authorities` are none. */
async function knock(target: Target, authorities: string | undefined, patience: number | undefined): Promise<string> {
  // Nothing but a CONNACK is read: a longer packet is told as oversized before it is there.
  const reactor = openClientReactor({ settings: { maxConnections: 1, unadmittedPacketLimit: CONNACK_SIZE } })
  const dialer = new Dialer({ reactor, log: openLog({ level: 'silent', format: 'text', destinations: [] }) })
  try {
    const tls = authorities === undefined ? {} : { tls: reactor.secureCaller({ authorities, protocols: ['mqtt'] }) }
    const retry = patience === undefined ? {} : { retry: RETRY }
    return await new Promise((settle) => {
      const visitor = new Visitor(target.connectTimeout, patience === undefined ? settle : ifServing(settle))
      dialer.dial({ ...target, ...tls, ...retry }, visitor)
      if (patience !== undefined) setTimeout(() => settle(visitor.answer), patience).unref()
    })
  } finally {
    await new Promise(setImmediate) // what was written last is on its way
    dialer.close()
    reactor.close()
  }
}

const MEANINGS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'there is no such host',
  ENOENT: 'there is no such file',
}

function explained(code: string): string {
  return Object.hasOwn(MEANINGS, code) ? `${MEANINGS[code]} (${code})` : code
}

const ifServing =
  (settle: (answer: string) => void) =>
  (answer: string): void => {
    if (answer === SERVING) settle(answer)
  }

/** Says CONNECT on every connection, and tells what came of it. */
class Visitor implements DialReceiver, ConnectionReceiver {
  /** The latest. */
  answer = TOO_LATE
  readonly #timeout: number
  readonly #tell: (answer: string) => void
  #connection: Connection | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(timeout: number, tell: (answer: string) => void) {
    this.#timeout = timeout
    this.#tell = tell
  }

  handleConnected(connection: Connection): this {
    this.#connection = connection
    this.#timer = setTimeout(() => this.#finish(TOO_LATE), this.#timeout)
    connection.send(CONNECT)
    return this
  }

  handleDialFailed({ address, reason, code, detail }: DialFailure): void {
    this.answer = reason === 'timeout' ? TOO_LATE : `${address}: ${explained(detail ?? code)}`
  }

  handleGivenUp(failure: DialFailure | undefined): void {
    if (failure !== undefined) this.#tell(this.answer)
  }

  /** A refusal is an answer too: who refuses serves (anonymous clients may be unwanted). */
  handlePacket(first: number): void {
    if (first === CONNACK) this.#connection?.send(DISCONNECT)
    this.#finish(first === CONNACK ? SERVING : NOT_MQTT)
  }

  handleMalformedLength(): void {
    this.#finish(NOT_MQTT)
  }

  handleOversized(): void {
    this.#finish(NOT_MQTT)
  }

  handleEnded(): void {
    this.#finish(NO_ANSWER)
  }

  handleClosed(): void {
    this.#finish(NO_ANSWER)
  }

  handleDrained(): void {}
  handleOverflowed(): void {}

  /** The first answer of a connection counts. */
  #finish(answer: string): void {
    const connection = this.#connection
    if (connection === undefined) return
    this.#connection = undefined
    clearTimeout(this.#timer)
    if (answer === SERVING) connection.finish()
    else connection.close()
    this.answer = answer
    this.#tell(answer)
  }
}
