// Walks the inbox once a turn and hands each record to the connection it belongs to. Owns the shared memory, the
// connections by slot, the listeners and the groups; decides nothing. The one caller of the native addon.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type {
  ConnectOptions,
  ListenOptions,
  NativeAddon,
  NativeReactor,
  ReactorMemory,
  ReactorOptions,
  TlsOptions,
} from '../../native/index.js'
import { Connection, type ConnectionReceiver } from './connection.ts'
import { KeptFrames } from './kept-frames.ts'
import { Outbox } from './outbox.ts'
import { Attempt, type ConnectReceiver } from './outgoing.ts'
import { type GroupMember, RecipientGroup } from './recipient-group.ts'
import { Command, Kind, OUTGOING, RECORD_WORDS, TOTALS, Total } from './wire.ts'

/** What the reactor tells that belongs to no single connection. */
export interface ReactorReceiver {
  /** A connection was accepted. Returns who handles what comes from it. */
  handleOpened(connection: Connection): ConnectionReceiver
  /** A Topic Name has this id from the next packet on. */
  handleTopic(id: number, name: string, nameOffset: number, nameLength: number): void
  handleForgotten(id: number): void
  /** Accepting stopped because descriptors ran out. */
  handleAcceptPaused(listener: number, errno: number): void
  /** `count` connections were closed at once because every slot is taken. */
  handleRefused(listener: number, count: number): void
  /** Our own bug: an exception nobody caught. */
  handleBug(error: unknown): void
}

/** Bytes, packets and payload bytes on the wire, as Counters names them. */
export interface Traffic {
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly publishSent: number
  readonly publishBytesSent: number
  readonly shortcuts: number
  readonly shortcutBytes: number
}

export interface ReactorSettings extends ReactorOptions {
  inboxRecords: number
  inboxSize: number
  outboxWords: number
  outboxSize: number
}

let addon: NativeAddon | undefined

/** Loads the addon: a prebuilt one, or what was compiled here. Throws with what to do when there is neither. */
export function loadAddon(): NativeAddon {
  if (addon !== undefined) return addon
  const require = createRequire(import.meta.url)
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  try {
    addon = (require('node-gyp-build') as (directory: string) => NativeAddon)(root)
  } catch (error) {
    const problem = (error as Error).message.split('\n', 1)[0]
    const advice = 'Compile it with `npm rebuild martlet`, which takes g++ (C++20), make and python3.'
    throw Object.assign(new Error(`the native reactor is not there: ${problem}. ${advice}`), { code: 'ERR_NO_REACTOR' })
  }
  return addon
}

export class Reactor {
  readonly inbox: Int32Array
  readonly inboxBytes: Uint8Array
  readonly outbox: Outbox
  readonly kept: KeptFrames
  readonly memory: ReactorMemory
  /** TLS, WebSocket or the PROXY header could not go on, and why. `handleEnded` of its receiver follows. */
  onStreamFailed: ((connection: Connection, why: string) => void) | undefined
  readonly #connections: (Connection | undefined)[] = []
  /** By slot, beside the connections: a packet touches one object fewer on its way. */
  readonly #receivers: (ConnectionReceiver | undefined)[] = []
  /** Connections of ours by slot, from `connect` to `closed`. */
  readonly #attempts = new Map<number, Attempt>()
  readonly #receiver: ReactorReceiver
  readonly #native: NativeReactor
  readonly #inboxBuffer: Buffer
  #groupIds: number[] = []
  #nextGroup = 0
  #open = 0

  constructor(settings: ReactorSettings, receiver: ReactorReceiver) {
    const { inboxRecords, inboxSize, outboxWords, outboxSize, maxConnections } = settings
    this.#receiver = receiver
    this.inbox = new Int32Array(inboxRecords * RECORD_WORDS)
    this.inboxBytes = new Uint8Array(inboxSize)
    this.#inboxBuffer = Buffer.from(this.inboxBytes.buffer)
    this.outbox = new Outbox(new Int32Array(outboxWords), new Uint8Array(outboxSize))
    this.kept = new KeptFrames(this.outbox)
    this.memory = {
      inbox: this.inbox,
      inboxBytes: this.inboxBytes,
      outbox: this.outbox.words,
      outboxBytes: this.outbox.bytes,
      lastRead: new Float64Array(maxConnections),
      lastWrite: new Float64Array(maxConnections),
      queued: new Uint32Array(maxConnections),
      bytesIn: new Float64Array(maxConnections),
      bytesOut: new Float64Array(maxConnections),
      leftOut: new Uint32Array(maxConnections),
      totals: new Float64Array(TOTALS),
      decisions: new Int32Array(1).fill(1),
    }
    this.#native = loadAddon().open(settings, this.memory, (records) => this.#turn(records))
    this.outbox.attach(this.#native)
    this.kept.attach(this.#native)
  }

  /** Connections between `opened` and `closed`. */
  get connectionCount(): number {
    return this.#open
  }

  /** Bytes waiting to be written to all connections together. */
  get queuedBytes(): number {
    return this.memory.totals[Total.QueuedBytes]!
  }

  /** Bytes of all kept frames. */
  get keptBytes(): number {
    return this.memory.totals[Total.KeptBytes]!
  }

  /** Bytes read and written since the start. */
  get bytesMoved(): number {
    return this.memory.totals[Total.BytesIn]! + this.memory.totals[Total.BytesOut]!
  }

  /** Gives memory that is free but still the process's back to the system; takes milliseconds. */
  trim(): void {
    this.#native.trim()
  }

  /** What went over the wire since the start. */
  traffic(): Traffic {
    const { totals } = this.memory
    return {
      bytesReceived: totals[Total.BytesIn]!,
      bytesSent: totals[Total.BytesOut]!,
      publishSent: totals[Total.PublishesOut]!,
      publishBytesSent: totals[Total.PublishBytesOut]!,
      shortcuts: totals[Total.Shortcuts]!,
      shortcutBytes: totals[Total.ShortcutBytes]!,
    }
  }

  /** Who handles the connections there are. */
  receivers(): ConnectionReceiver[] {
    return this.#receivers.filter((receiver) => receiver !== undefined)
  }

  /**
   * Listens on a numeric address; returns listener id and port. Throws with `code` EADDRINUSE and the like, and as Node's
   * own errors have them `address` and `port`, or `path`: of many listeners, the one that failed.
   */
  listen(options: ListenOptions): { listener: number; port: number } {
    try {
      const listener = this.#native.listen(options)
      return { listener, port: this.#native.port(listener) }
    } catch (error) {
      const { socketPath: path, host: address, port } = options
      throw Object.assign(error as Error, path === undefined ? { address, port } : { path })
    }
  }

  /** What TLS listeners offer; returns a number for `listen`. Throws an Error that says what cannot be used. */
  secure(options: TlsOptions): number {
    return this.#native.secure(options)
  }

  /** Takes effect for new connections; throws, and then nothing has changed. */
  resecure(door: number, options: TlsOptions): void {
    this.#native.resecure(door, options)
  }

  /** What connections of ours say TLS with; returns a number for `connect`. Throws an Error that says what cannot be used. */
  secureCaller(options: TlsOptions): number {
    return this.#native.secureCaller(options)
  }

  /**
   * Begins a connection to a numeric address or a Unix socket. What comes of it is told in a later turn; `cancel` takes it
   * back. Throws what is known at once, with `code` and `syscall`: ECONNREFUSED, EMFILE, EADDRNOTAVAIL, ENOBUFS (no slot).
   */
  connect(options: ConnectOptions, receiver: ConnectReceiver): Attempt {
    const [slot, generation] = this.#native.connect(options)
    const attempt = new Attempt(slot, generation, receiver, (cancelled) => {
      if (this.#attempts.get(cancelled.slot) !== cancelled) return // it has failed: the slot may be somebody else's
      this.#attempts.delete(cancelled.slot)
      this.outbox.close(cancelled, false)
    })
    this.#attempts.set(slot, attempt)
    return attempt
  }

  unlisten(listener: number): void {
    this.#native.unlisten(listener)
  }

  resumeListener(listener: number): void {
    this.outbox.command2(Command.ListenerResume, listener)
  }

  /** From now on the reactor tells every packet, until new decisions are made. Takes effect at once. */
  revokeShortcuts(): void {
    const { decisions } = this.memory
    decisions[0] = decisions[0]! + 1 || 1 // It wraps around, and 0 stands for no decision.
  }

  newGroup<M extends GroupMember>(connectionOf: (member: M) => Connection): RecipientGroup<M> {
    const id = this.#groupIds.pop() ?? this.#nextGroup++
    return new RecipientGroup<M>(this.outbox, id, connectionOf, (freed) => this.#groupIds.push(freed))
  }

  /** Whether open listeners and connections keep the process alive. */
  ref(keepAlive: boolean): void {
    this.#native.ref(keepAlive)
  }

  /** Closes everything at once. `closed` is still told for every connection. */
  close(): void {
    this.#native.close()
  }

  #turn(records: number): void {
    const inbox = this.inbox
    this.outbox.inTurn = true
    try {
      for (let at = 0, end = records * RECORD_WORDS; at < end; at += RECORD_WORDS) {
        const head = inbox[at]!
        if ((head & 0xff) === Kind.Packet) {
          // Native code tells nothing of a connection after `closed`, and reuses its slot only after this turn.
          this.#receivers[inbox[at + 1]!]!.handlePacket(
            head >>> 8,
            inbox[at + 3]!,
            inbox[at + 4]!,
            inbox[at + 5]!,
            inbox[at + 6]!,
          )
        } else {
          this.#guardedRecord(head, at)
        }
      }
    } finally {
      this.outbox.inTurn = false
    }
  }

  /** One record's failure must not cost the others of the turn; packets have their guard in their receiver. */
  #guardedRecord(head: number, at: number): void {
    try {
      this.#record(head, at)
    } catch (error) {
      this.#receiver.handleBug(error)
    }
  }

  #record(head: number, at: number): void {
    const inbox = this.inbox
    const receiver = this.#receiver
    switch (head & 0xff) {
      case Kind.Opened:
        this.#opened(at)
        break
      case Kind.Topic: {
        const offset = inbox[at + 4]!
        const length = inbox[at + 5]!
        const name = this.#inboxBuffer.toString('utf8', offset, offset + length)
        receiver.handleTopic(inbox[at + 3]!, name, offset, length)
        break
      }
      case Kind.Forgotten:
        receiver.handleForgotten(inbox[at + 3]!)
        break
      case Kind.AcceptPaused:
        receiver.handleAcceptPaused(inbox[at + 3]!, inbox[at + 4]!)
        break
      case Kind.Refused:
        receiver.handleRefused(inbox[at + 3]!, inbox[at + 4]!)
        break
      default: {
        const connection = this.#connections[inbox[at + 1]!]
        if (connection === undefined || connection.generation !== inbox[at + 2]) this.#attemptRecord(head, at)
        else this.#connectionRecord(head, at, connection, this.#receivers[connection.slot]!)
      }
    }
  }

  #connectionRecord(head: number, at: number, connection: Connection, receiver: ConnectionReceiver): void {
    const inbox = this.inbox
    switch (head & 0xff) {
      case Kind.Ended:
        receiver.handleEnded()
        break
      case Kind.Drained:
        receiver.handleDrained()
        break
      case Kind.Overflowed:
        receiver.handleOverflowed(inbox[at + 3]!, inbox[at + 4]!)
        break
      case Kind.Oversized:
        receiver.handleOversized((head >>> 8) & 0xff, inbox[at + 4]! >>> 0)
        break
      case Kind.Malformed:
        receiver.handleMalformedLength((head >>> 8) & 0xff)
        break
      case Kind.Learned:
        connection.learn(inbox[at + 3]!, this.#text(at))
        break
      case Kind.StreamFailed:
        this.onStreamFailed?.(connection, this.#text(at))
        break
      case Kind.Closed:
        connection.closed = true
        this.#connections[connection.slot] = undefined
        this.#receivers[connection.slot] = undefined
        this.#open--
        this.#closed(connection, receiver, inbox[at + 3]!, inbox[at + 4]!)
        break
      default:
        throw new Error(`unknown inbox record ${head & 0xff}`)
    }
  }

  #opened(at: number): void {
    const inbox = this.inbox
    const slot = inbox[at + 1]!
    const connection = new Connection(this.outbox, slot, inbox[at + 2]!, inbox[at + 3]!, this.#text(at))
    if (connection.listener === OUTGOING) {
      this.#connected(connection)
      return
    }
    this.#connections[slot] = connection
    this.#open++
    this.#receivers[slot] = this.#receiver.handleOpened(connection)
  }

  #connected(connection: Connection): void {
    const attempt = this.#attempts.get(connection.slot)
    if (attempt === undefined) return // taken back in this very turn: it will be closed at its end
    attempt.connection = connection
    try {
      this.#receivers[connection.slot] = attempt.receiver.handleConnected(connection)
    } catch (error) {
      connection.close() // nobody would hear what comes from it
      throw error
    }
    this.#connections[connection.slot] = connection
    this.#open++
  }

  #closed(connection: Connection, receiver: ConnectionReceiver, reason: number, errno: number): void {
    const attempt = connection.listener === OUTGOING ? this.#attempts.get(connection.slot) : undefined
    if (attempt !== undefined) this.#attempts.delete(connection.slot)
    try {
      receiver.handleClosed(reason, errno)
    } finally {
      attempt?.receiver.handleDisconnected(reason)
    }
  }

  /** A record about a connection of ours that has not been told `opened`. */
  #attemptRecord(head: number, at: number): void {
    const inbox = this.inbox
    const attempt = this.#attempts.get(inbox[at + 1]!)
    if (attempt === undefined || attempt.generation !== inbox[at + 2]) return // taken back
    if ((head & 0xff) === Kind.StreamFailed) attempt.why = this.#text(at)
    if ((head & 0xff) !== Kind.Closed) return
    this.#attempts.delete(attempt.slot)
    attempt.receiver.handleConnectFailed(inbox[at + 3]!, inbox[at + 4]!, attempt.why)
  }

  /** The text that words 4 and 5 of a record point at. */
  #text(at: number): string {
    const offset = this.inbox[at + 4]!
    return this.#inboxBuffer.toString('utf8', offset, offset + this.inbox[at + 5]!)
  }
}
