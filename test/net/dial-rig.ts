// A Dialer on a real Reactor and a clock that stands still until told: everything a test wants to see of it, in order.
// Owns no assertions. `withDialing` closes all of it and says which descriptors were left.
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { type ClientReactorSettings, openClientReactor } from '../../src/net/client-reactor.ts'
import type { Connection, ConnectionReceiver } from '../../src/net/connection.ts'
import type { Dial, DialFailure, DialOptions, DialReceiver } from '../../src/net/dial.ts'
import { Dialer, type DialerOptions } from '../../src/net/dialer.ts'
import type { Reactor } from '../../src/net/reactor.ts'
import type { LogFields, Logger } from '../../src/telemetry/log.ts'
import { ManualClock } from '../../src/timers/clock.ts'

/** Whoever asked for a connection, and what it was told, as words. */
export class Asker implements DialReceiver, ConnectionReceiver {
  readonly told: string[] = []
  readonly failures: DialFailure[] = []
  readonly waits: number[] = []
  connection: Connection | undefined
  dial!: Dial
  onConnected: (connection: Connection) => void = () => {}
  /** What it does whenever it is told something. */
  onTold: (what: string) => void = () => {}
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  handleConnected(connection: Connection): this {
    this.connection = connection
    this.#tell('connected')
    this.onConnected(connection)
    return this
  }

  handleDialFailed(failure: DialFailure): void {
    this.failures.push(failure)
    this.#tell(`${failure.reason} ${failure.code}`)
  }

  handleWaiting(ms: number): void {
    this.waits.push(ms)
    this.#tell('waiting')
  }

  handleGivenUp(failure: DialFailure | undefined): void {
    this.#tell(failure === undefined ? 'given up' : `given up ${failure.code}`)
  }

  handlePacket(first: number): void {
    this.#tell(`packet ${first}`)
  }

  handleEnded(): void {
    this.#tell('ended')
  }

  handleClosed(reason: number, errno: number): void {
    this.connection = undefined
    this.#tell(errno === 0 ? `closed ${reason}` : `closed ${reason} ${errno}`)
  }

  handleDrained(): void {}
  handleOverflowed(): void {}
  handleOversized(): void {}
  handleMalformedLength(): void {}

  count(what: string): number {
    return this.told.filter((one) => one === what).length
  }

  #tell(what: string): void {
    this.told.push(what)
    this.onTold(what)
    this.#changed()
  }
}

export class Dialing {
  readonly reactor: Reactor
  readonly clock = new ManualClock(1000)
  readonly dialer: Dialer
  readonly lines: string[] = []
  readonly bugs: unknown[] = []
  readonly #servers: Server[] = []
  readonly #peers: Socket[] = []
  #wakers: (() => void)[] = []

  constructor(options: Partial<DialerOptions> = {}, settings: ClientReactorSettings = {}) {
    this.reactor = openClientReactor({
      settings: { maxConnections: 64, poison: true, ...settings },
      handleBug: (error) => this.bugs.push(error),
    })
    const line = (fields: LogFields, message: string): void => {
      this.lines.push(`${message} ${fields.code ?? ''}`.trim())
    }
    const log: Logger = { debugging: false, debug: line, info: line, warn: line, error: line }
    // The greatest chance there is: every wait is as long as it can be.
    this.dialer = new Dialer({ reactor: this.reactor, log, clock: this.clock, random: () => 1, ...options })
  }

  dial(options: DialOptions, use: (asker: Asker) => void = () => {}): Asker {
    const asker = new Asker(() => this.#wake())
    use(asker)
    asker.dial = this.dialer.dial(options, asker)
    return asker
  }

  /** A server on `path`, or on a free port of 127.0.0.1; `handle` gets each connection. Returns the port. */
  async serve(
    handle: (socket: Socket) => void,
    where: { path: string } | { port: number } = { port: 0 },
  ): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#peers.push(socket)
      socket.on('error', () => {})
      handle(socket)
      this.#wake()
    })
    this.#servers.push(server)
    // Where the queue overflows, a SYN is sent again after a second.
    server.listen('path' in where ? where : { ...where, host: '127.0.0.1', backlog: 4096 })
    await once(server, 'listening')
    return 'path' in where ? 0 : (server.address() as { port: number }).port
  }

  /** A port of 127.0.0.1 nobody listens on; not one the system gives out, for then somebody might have it by chance. */
  async freePort(): Promise<number> {
    for (;;) {
      const port = 10_000 + Math.floor(Math.random() * 20_000)
      const server = createServer().listen(port, '127.0.0.1')
      const free = await once(server, 'listening').then(
        () => true,
        () => false,
      )
      if (!free) continue
      server.close()
      await once(server, 'close')
      return port
    }
  }

  /** Lets time pass, and what is due happen. */
  pass(ms: number): void {
    this.clock.advance(ms)
    this.dialer.timers.tick()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((settle) => this.#wakers.push(settle))
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake()
  }

  async close(): Promise<void> {
    this.dialer.close()
    this.reactor.close()
    for (const peer of this.#peers) peer.destroy()
    await Promise.all(
      this.#servers.map(async (server) => {
        server.close()
        await once(server, 'close')
      }),
    )
  }
}

/** Runs a test with a Dialing; throws if a socket is left open after it. */
export function withDialing(
  run: (dialing: Dialing) => Promise<void>,
  options: Partial<DialerOptions> = {},
  settings?: ClientReactorSettings,
): () => Promise<void> {
  return async () => {
    const before = new Set(descriptors())
    const dialing = new Dialing(options, settings)
    try {
      await run(dialing)
    } finally {
      await dialing.close()
    }
    // libuv closes what belongs to the reactor one iteration later.
    const left = (): string[] => descriptors().filter((one) => !before.has(one))
    for (let n = 0; n < 10 && left().length > 0; n++) await new Promise(setImmediate)
    if (left().length > 0) throw new Error(`descriptors are left open: ${left().join(', ')}`)
    if (dialing.bugs.length > 0) throw dialing.bugs[0]
  }
}

/** Sockets, epoll sets and the like; not what Node's threads read files with. */
function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
        .filter((target) => !target.startsWith('/'))
        .map((target) => `${fd} ${target}`)
    } catch {
      return [] // the descriptor of the listing itself
    }
  })
}
