// A Network Connection as the broker sees it: slot + generation, where it came from, and the commands it may be given.
// Knows nothing of MQTT. Made by the Reactor at `opened`, forgotten at `closed`; commands after that do nothing.
import type { Outbox } from './outbox.ts'
import { Command, Fact, OUTGOING } from './wire.ts'

/** What the layers of a connection have proved or been told about its peer, before its first packet. */
export interface PeerIdentity {
  /** Of its client certificate, which was verified. */
  commonName?: string
  /** The certificate's whole subject, as RFC 2253 writes it. */
  subject?: string
  pskIdentity?: string
  /** TLS version and cipher, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`. */
  cipher?: string
  /** The host name the client asked for (SNI). */
  serverName?: string
  /** `WebSocket mqtt` or `WebSocket mqttv3.1`; absent for plain MQTT. */
  protocol?: string
}

/** Whoever handles what arrives on a connection. Called in the reactor's turn, in the order the bytes came. */
export interface ConnectionReceiver {
  /**
   * One Control Packet. Its body (what follows the fixed header) is `length` bytes of the inbox at `offset`, valid for
   * this turn; with `kept` != 0 it is the body of that kept frame instead, which the receiver now owns.
   */
  handlePacket(first: number, topicId: number, offset: number, length: number, kept: number): void
  /** The peer finished sending. */
  handleEnded(): void
  /** Output fell below the low-water mark. */
  handleDrained(): void
  /** PUBLISHes were left out this turn: `frames` over the output limit, `tooLarge` over its Maximum Packet Size. */
  handleOverflowed(frames: number, tooLarge: number): void
  /** A packet larger than the limit was announced; nothing more is read. */
  handleOversized(first: number, announced: number): void
  /** A Remaining Length of more than four bytes; nothing more is read. */
  handleMalformedLength(first: number): void
  /** The last call for this connection. `reason` is a CloseReason, `errno` 0 or the socket's error. */
  handleClosed(reason: number, errno: number): void
}

const IDENTITY_OF: Readonly<Record<number, keyof PeerIdentity>> = {
  [Fact.CommonName]: 'commonName',
  [Fact.Subject]: 'subject',
  [Fact.PskIdentity]: 'pskIdentity',
  [Fact.Cipher]: 'cipher',
  [Fact.ServerName]: 'serverName',
  [Fact.Protocol]: 'protocol',
}
const NOBODY: PeerIdentity = Object.freeze({})

export class Connection {
  readonly slot: number
  readonly generation: number
  /** That accepted it; OUTGOING if we made it. */
  readonly listener: number
  /** `127.0.0.1:1234` or `[::1]:1234`; what a trusted proxy said takes the place of its own. */
  remoteAddress: string
  /** Complete before the first packet. */
  identity: PeerIdentity = NOBODY
  closed = false
  readonly #outbox: Outbox

  constructor(outbox: Outbox, slot: number, generation: number, listener: number, remoteAddress: string) {
    this.#outbox = outbox
    this.slot = slot
    this.generation = generation
    this.listener = listener
    this.remoteAddress = remoteAddress
  }

  get direction(): 'incoming' | 'outgoing' {
    return this.listener === OUTGOING ? 'outgoing' : 'incoming'
  }

  /** A layer learned something about the peer. */
  learn(fact: number, text: string): void {
    if (fact === Fact.Address) this.remoteAddress = text
    const name = IDENTITY_OF[fact]
    if (name === undefined) return
    // A handshake of ours, behind a proxy's header that told of another: whom that one has verified is not who is here.
    const known = fact === Fact.Cipher ? NOBODY : this.identity
    this.identity = { ...known, [name]: text }
  }

  send(bytes: Uint8Array): void {
    if (!this.closed) this.#outbox.send(this, bytes)
  }

  /** Lets it send packets up to `maxPacketIn` bytes and have topic ids; see native/index.d.ts for the output limits. */
  admit(maxPacketIn: number, maxPacketOut: number, outputLimit: number): void {
    if (!this.closed) this.#outbox.admit(this, maxPacketIn, maxPacketOut, outputLimit)
  }

  pause(): void {
    if (!this.closed) this.#outbox.command3(Command.Pause, this.slot, this.generation)
  }

  resume(): void {
    if (!this.closed) this.#outbox.command3(Command.Resume, this.slot, this.generation)
  }

  /** Sends what is queued, then FIN; reads and discards until the peer's FIN. */
  finish(): void {
    if (!this.closed) this.#outbox.command3(Command.Finish, this.slot, this.generation)
  }

  /** Closes at once; with `reset` the peer gets a RST. */
  close(reset = false): void {
    if (!this.closed) this.#outbox.close(this, reset)
  }
}
