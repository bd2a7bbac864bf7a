// What a case has in its hands: connections, names of its own, and the words to judge with. One per case run; closes
// every connection it opened and leaves neither sessions nor retained messages behind.

import { Client, type ConnectionLog } from './client.ts'
import type { Features } from './features.ts'
import { describe, type Packet } from './packet.ts'
import { type Version, type VersionName, versionName } from './protocol.ts'
import type { Target } from './target.ts'
import { Trace } from './trace.ts'
import { openTransport } from './transport.ts'
import { Failed, Skipped } from './verdict.ts'
import * as wire from './wire.ts'

export interface ContextOptions {
  target: Target
  /** A WebSocket address of the same broker, if there is one. */
  webSocket: Target | undefined
  version: Version
  features: Features
  /** Starts the names of this case: letters and digits, unique in the run. */
  unique: string
  /** Milliseconds to wait for an answer. */
  patience: number
}

export interface ConnectArguments extends wire.ConnectOptions {
  /** Name of the connection in the trace. */
  label?: string
}

const MAX_CLEANUP = 50

export class Context {
  readonly version: Version
  readonly features: Features
  readonly target: Target
  readonly webSocket: Target | undefined
  readonly patience: number
  readonly trace: Trace
  readonly remarks: string[] = []
  readonly #unique: string
  readonly #clients: Client[] = []
  readonly #sessions = new Map<string, Version>()
  readonly #retained = new Set<string>()
  #over = false

  constructor(options: ContextOptions) {
    this.version = options.version
    this.features = options.features
    this.target = options.target
    this.trace = new Trace(options.target.password)
    this.webSocket = options.webSocket
    this.patience = options.patience
    this.#unique = options.unique
  }

  get v5(): boolean {
    return this.version === 5
  }

  get versionName(): VersionName {
    return versionName(this.version)
  }

  /** A ClientId of this case alone: at most 23 letters and digits, which every server must allow. */
  id(suffix = ''): string {
    return `${this.#unique}${suffix}`
  }

  /** A Topic Name of this case alone. */
  topic(...levels: string[]): string {
    return ['conformance', this.#unique, ...levels].join('/')
  }

  // ---- connections --------------------------------------------------------------------------------------------

  /** A network connection on which nothing has been sent. */
  async open(label = `client ${this.#clients.length + 1}`, version = this.version): Promise<Client> {
    const client = new Client(label, version, this.trace, this.patience)
    this.#clients.push(client)
    client.attach(await openTransport(this.target, client.events))
    if (this.#over) client.destroy()
    this.trace.add('open', `connected to ${this.target.url}`, label)
    return client
  }

  /** Adds the credentials of the command line, unless the case brings its own. */
  connectOptions(options: wire.ConnectOptions): wire.ConnectOptions {
    const { username, password } = this.target
    return {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...options,
    }
  }

  /** A connected client: CONNECT sent, CONNACK with code 0 received. */
  async connect(options: ConnectArguments = {}, version = this.version): Promise<Client> {
    const { label, ...rest } = options
    const client = await this.open(label ?? `client ${this.#clients.length + 1}`, version)
    const full = this.connectOptions({ clientId: this.id(`c${this.#clients.length}`), ...rest })
    const connack = await client.connect(full, 'CONNACK that accepts the connection')
    this.check(connack.code === 0, 'CONNACK with code 0', describe(connack))
    client.connack = connack
    return client
  }

  /** A session that outlives its connection: Clean Session 0, or a Session Expiry Interval (seconds) in MQTT 5.0. */
  async connectPersistent(options: ConnectArguments & { expiry?: number } = {}): Promise<Client> {
    const { expiry, ...rest } = options
    const clientId = String(rest.clientId ?? this.id('s'))
    this.#sessions.set(clientId, this.version)
    const list = this.v5 ? [wire.property('sessionExpiryInterval', expiry ?? 300), ...(rest.properties ?? [])] : []
    return this.connect({ clean: false, ...rest, clientId, properties: list })
  }

  /** Remembers to remove the session (when the case builds its CONNECT by hand). */
  leavesSession(clientId: string): void {
    this.#sessions.set(clientId, this.version)
  }

  /** Remembers to remove the retained message. */
  leavesRetained(topic: string): void {
    this.#retained.add(topic)
  }

  // ---- judging ------------------------------------------------------------------------------------------------

  /** Notes the expectation, or fails the case with it. */
  check(holds: boolean, expected: string, got: string | Packet | undefined = 'something else'): void {
    if (!holds) this.fail(expected, typeof got === 'object' ? describe(got) : (got ?? 'nothing'))
    this.trace.add('expected', expected)
  }

  equal(actual: unknown, wanted: unknown, what: string): void {
    const text = (value: unknown) => (Buffer.isBuffer(value) ? `hex ${value.toString('hex')}` : JSON.stringify(value))
    this.check(text(actual) === text(wanted), `${what} ${text(wanted)}`, text(actual))
  }

  fail(expected: string, got: string): never {
    this.trace.add('failed', `expected ${expected}; got ${got}`)
    throw new Failed(expected, got)
  }

  skip(reason: string): never {
    throw new Skipped(reason)
  }

  /** Allowed, but worth a line in the report. */
  remark(text: string): void {
    this.trace.add('note', text)
    this.remarks.push(text)
  }

  /** No PUBLISH among the packets. */
  none(packets: readonly Packet[], expected: string): void {
    const message = packets.find((p) => p.kind === 'publish')
    this.check(message === undefined, expected, message)
  }

  /**
   * Sends bytes the server must answer by closing the connection. In MQTT 5.0 a DISCONNECT before it must carry a
   * code of 0x80 or more; `advised` is the one the specification names, others earn a remark.
   */
  async rejected(client: Client, bytes: Buffer, why: string, advised: readonly number[] = []): Promise<Packet[]> {
    client.send(bytes, why)
    const before = await client.closed(why)
    for (const packet of before) {
      if (!this.v5 || (packet.kind !== 'disconnect' && packet.kind !== 'connack')) continue
      this.check((packet.code ?? 0) >= 0x80, `a reason code of 0x80 or more in ${packet.kind.toUpperCase()}`, packet)
      if (advised.length > 0 && !advised.includes(packet.code ?? 0)) {
        this.remark(
          `closed with ${describe(packet)}; the specification names ${advised.map((c) => `0x${c.toString(16)}`)}`,
        )
      }
    }
    return before
  }

  // ---- the end ------------------------------------------------------------------------------------------------

  logs(): ConnectionLog[] {
    return this.#clients.map((client) => client.log)
  }

  /** Cuts all connections; what waits on them wakes up and fails. */
  destroy(): void {
    this.#over = true
    for (const client of this.#clients) client.destroy()
  }

  /** Removes what the case left on the broker. Never throws: a broker that is gone needs no cleaning. */
  async cleanUp(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    for (const log of this.logs()) {
      for (const { direction, packet } of log.entries) {
        if (direction !== 'sent' || packet.kind !== 'publish' || packet.retain !== true) continue
        if ((packet.payload?.length ?? 0) > 0 && packet.topic !== undefined) this.#retained.add(packet.topic)
      }
    }
    const quiet = new Trace()
    const visit = async (clientId: string, version: Version, topics: readonly string[]) => {
      const client = new Client('cleaning', version, quiet, 1000)
      try {
        client.attach(await openTransport(this.target, client.events))
        await client.connect(this.connectOptions({ clientId }))
        for (const topic of topics) client.send(wire.publish(version, { topic, retain: true }))
        await client.flush()
        await client.disconnect()
      } catch {
        // The verdict stands without it.
      } finally {
        client.destroy()
      }
    }
    for (const [clientId, version] of [...this.#sessions].slice(0, MAX_CLEANUP)) await visit(clientId, version, [])
    const topics = [...this.#retained]
      .filter((topic) => topic !== '' && !/[+#]/.test(topic) && !topic.includes('\0'))
      .slice(0, MAX_CLEANUP)
    if (topics.length > 0) await visit(this.id('z'), this.version, topics)
  }
}
