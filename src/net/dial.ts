// One target of a Dialer: its addresses tried in order, then the next round after a wait, and again when a connection is
// lost. Owns the attempt under way and the state of the backoff; the connection belongs to its receiver.
import { isIP } from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { ConnectOptions } from '../../native/index.js'
import type { WheelEntry } from '../timers/deadline-wheel.ts'
import { Backoff, type BackoffOptions } from './backoff.ts'
import type { Connection, ConnectionReceiver } from './connection.ts'
import type { Dialer } from './dialer.ts'
import type { Attempt, ConnectReceiver } from './outgoing.ts'
import { CloseReason } from './wire.ts'

export interface DialOptions
  extends Readonly<Omit<ConnectOptions, 'host' | 'port' | 'socketPath'>>,
    Readonly<Partial<Pick<ConnectOptions, 'port' | 'socketPath'>>> {
  /** A name or a numeric address; with `port`. Without meaning with `socketPath`. */
  readonly host?: string
  /** ms that a look-up, or one address, may take, a TLS handshake included. Default 10,000. */
  readonly connectTimeout?: number
  /** Absent: every address is tried once, and a connection that is lost is not made again. */
  readonly retry?: RetryOptions
}

export interface RetryOptions extends BackoffOptions {
  /** Rounds in a row without a steady connection after which it gives up. Default: never. */
  readonly rounds?: number
  /** ms a connection must last to make the waits short again. Default: `max`. */
  readonly steadyAfter?: number
}

export interface DialFailure {
  /** `ip port`, the path of a Unix socket, or the name that was looked up. */
  readonly address: string
  readonly reason: 'lookup' | 'timeout' | 'system' | 'itself' | 'handshake'
  /** The system's: ECONNREFUSED, ENETUNREACH, ENOTFOUND, …; ETIMEDOUT for ours; ELOOP if it reached itself. */
  readonly code: string
  /** What a layer said. */
  readonly detail?: string
}

/** Whoever wants the connection. Called in a turn of the reactor or of a timer, never within `dial`. */
export interface DialReceiver {
  /** Returns who handles what comes from it. */
  handleConnected(connection: Connection): ConnectionReceiver
  /** One address, or the look-up, came to nothing. */
  handleDialFailed?(failure: DialFailure): void
  /** The next round begins after `ms`. */
  handleWaiting?(ms: number): void
  /** Nothing more will be tried; the last failure, unless there was none. Not told after `close` and `stop`. */
  handleGivenUp?(failure: DialFailure | undefined): void
}

const CONNECT_TIMEOUT = 10_000
/** Of one name, in one round. */
const MOST_ADDRESSES = 16

type State = 'resolving' | 'connecting' | 'connected' | 'waiting' | 'stopped' | 'closed'

export class Dial implements WheelEntry, ConnectReceiver {
  wheelNext: WheelEntry | undefined = undefined
  wheelPrevious: WheelEntry | undefined = undefined
  dueAt = 0
  /** How the log names it. */
  readonly target: string
  readonly #dialer: Dialer
  readonly #options: DialOptions
  readonly #receiver: DialReceiver
  readonly #backoff: Backoff | undefined
  #state: State = 'resolving'
  #addresses: readonly string[] = []
  #nextAddress = 0
  #attempt: Attempt | undefined
  #connectedAt = 0
  /** In a row, without a steady connection. */
  #rounds = 0
  #lastFailure: DialFailure | undefined

  /** Only for Dialer.dial. */
  constructor(dialer: Dialer, options: DialOptions, receiver: DialReceiver) {
    const { host, port, socketPath, retry, connectTimeout = CONNECT_TIMEOUT } = options
    if (!(connectTimeout > 0)) throw new RangeError(`connectTimeout must be above 0 ms: ${connectTimeout}`)
    if (socketPath === undefined && (!host || !(Number(port) > 0 && Number(port) <= 65535))) {
      throw new RangeError(`host and port, or socketPath: ${host}, ${port}`)
    }
    this.#dialer = dialer
    this.#options = options
    this.#receiver = receiver
    this.#backoff = retry === undefined ? undefined : new Backoff(retry, dialer.random)
    this.target = socketPath ?? `${host} ${port}`
    this.#resolve()
  }

  get state(): State {
    return this.#state
  }

  /** The connection that stands. */
  get connection(): Connection | undefined {
    return this.#attempt?.connection
  }

  /** No further connection is made; one that stands lives on. Idempotent. */
  stop(): void {
    if (this.#state === 'closed') return
    const stands = this.#state === 'connected' || this.#state === 'stopped'
    if (!stands) this.close()
    else this.#state = 'stopped'
  }

  /** Stops, and closes the connection that stands at once: its receiver is told `handleClosed`. Idempotent. */
  close(): void {
    if (this.#state === 'closed') return
    this.#end()
    this.#attempt?.cancel()
    this.#attempt?.connection?.close()
    this.#attempt = undefined
  }

  /** Its deadline has passed; the dialer's timer calls this. */
  handleDue(): undefined {
    if (this.#state === 'waiting') {
      this.#resolve()
    } else if (this.#state === 'resolving' || this.#state === 'connecting') {
      this.#attempt?.cancel()
      this.#failed({ address: this.#address(), reason: 'timeout', code: 'ETIMEDOUT' })
    }
  }

  handleConnected(connection: Connection): ConnectionReceiver {
    this.#state = 'connected'
    this.#dialer.timers.cancel(this)
    this.#connectedAt = this.#dialer.clock.now()
    this.#dialer.connected(this.target, connection.remoteAddress)
    return this.#receiver.handleConnected(connection)
  }

  handleConnectFailed(reason: number, errno: number, why: string | undefined): void {
    const address = this.#address()
    if (reason === CloseReason.ReactorClosed) {
      this.#giveUp({ address, reason: 'system', code: 'ECANCELED' })
    } else if (reason === CloseReason.ReachedItself) {
      this.#failed({ address, reason: 'itself', code: 'ELOOP' })
    } else if (why !== undefined) {
      this.#failed({ address, reason: 'handshake', code: 'EPROTO', detail: why })
    } else {
      const code = errno === 0 ? 'ECANCELED' : getSystemErrorName(-errno)
      this.#failed({ address, reason: 'system', code })
    }
  }

  handleDisconnected(reason: number): void {
    this.#attempt = undefined
    if (this.#state === 'closed') return
    if (this.#state === 'stopped') {
      this.#end()
      return
    }
    if (reason === CloseReason.ReactorClosed) {
      this.#giveUp(undefined)
      return
    }
    const { retry } = this.#options
    const lasted = this.#dialer.clock.now() - this.#connectedAt
    if (retry !== undefined && lasted >= (retry.steadyAfter ?? retry.max)) {
      this.#backoff!.reset()
      this.#rounds = 0
    }
    this.#lastFailure = undefined
    this.#endRound()
  }

  /** Begins a round: the addresses anew, for they may have changed. */
  #resolve(): void {
    this.#state = 'resolving'
    this.#addresses = []
    this.#nextAddress = 0
    const { host = '', socketPath } = this.#options
    this.#setDeadline(this.#options.connectTimeout ?? CONNECT_TIMEOUT)
    const known = socketPath ?? (isIP(host) ? host : undefined)
    const found = known === undefined ? this.#dialer.addressesOf(host) : Promise.resolve([known])
    const round = this.#rounds
    const isLate = (): boolean => this.#state !== 'resolving' || this.#rounds !== round
    found.then(
      (addresses) => {
        if (!isLate()) this.#tryAll(addresses)
      },
      (error: NodeJS.ErrnoException) => {
        if (!isLate()) this.#failed({ address: host, reason: 'lookup', code: error.code ?? error.message })
      },
    )
  }

  #tryAll(addresses: readonly string[]): void {
    this.#addresses = addresses.slice(0, MOST_ADDRESSES)
    if (addresses.length > 0) this.#tryNext()
    else this.#failed({ address: this.#options.host!, reason: 'lookup', code: 'ENODATA' })
  }

  #tryNext(): void {
    const address = this.#addresses[this.#nextAddress++]
    if (address === undefined) {
      this.#endRound()
      return
    }
    const { host, port = 0, socketPath, connectTimeout = CONNECT_TIMEOUT, retry: _, ...rest } = this.#options
    const where = socketPath === undefined ? { host: address, port } : { host: '', port: 0, socketPath }
    const named = rest.tls === undefined || host === undefined ? {} : { serverName: host }
    this.#state = 'connecting'
    this.#setDeadline(connectTimeout)
    this.#dialer.counters.attempts++
    try {
      this.#attempt = this.#dialer.reactor.connect({ ...named, ...rest, ...where }, this)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const address = this.#address()
      if (code !== undefined && code !== 'ECANCELED') {
        this.#failed({ address, reason: 'system', code })
        return
      }
      // The reactor is closed; or the error is no system's but a bug, which is not to be tried again.
      this.#giveUp({ address, reason: 'system', code: 'ECANCELED' })
      if (code === undefined) throw error
    }
  }

  #failed(failure: DialFailure): void {
    this.#attempt = undefined
    this.#lastFailure = failure
    this.#dialer.failed(this.target, failure)
    try {
      this.#receiver.handleDialFailed?.(failure)
    } finally {
      if (this.#isLive()) this.#tryNext()
    }
  }

  #endRound(): void {
    this.#rounds++
    if (this.#backoff === undefined || this.#rounds >= (this.#options.retry!.rounds ?? Number.POSITIVE_INFINITY)) {
      this.#giveUp(this.#lastFailure)
      return
    }
    const wait = this.#backoff.next()
    this.#state = 'waiting'
    this.#setDeadline(wait)
    this.#receiver.handleWaiting?.(wait)
  }

  #giveUp(failure: DialFailure | undefined): void {
    this.#end()
    this.#receiver.handleGivenUp?.(failure)
  }

  #end(): void {
    this.#state = 'closed'
    this.#dialer.forget(this)
  }

  #isLive(): boolean {
    return this.#state !== 'closed'
  }

  #setDeadline(ms: number): void {
    this.#dialer.timers.set(this, this.#dialer.clock.now() + ms)
  }

  /** What is being tried now. */
  #address(): string {
    const { host = '', port, socketPath } = this.#options
    const address = this.#addresses[this.#nextAddress - 1]
    return socketPath ?? (address === undefined ? host : `${address} ${port}`)
  }
}
