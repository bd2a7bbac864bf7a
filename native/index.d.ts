// The whole contract between TypeScript and the native reactor.
//
// TypeScript allocates every shared buffer, native code borrows it for the reactor's life. A TURN is: poll, read
// every ready socket, split the bytes into Control Packets, call `onTurn(records)` ONCE, carry out the commands it
// left in the outbox, flush each dirty connection once. Native code knows sockets and packet boundaries; it knows no
// clients, sessions, subscriptions, deadlines or policy.
//
// A CONNECTION is slot + generation, accepted by a listener or asked for by `connect`. Slots are reused oldest first and
// only after the turn that told of `closed`; a command with a stale generation does nothing. STREAM LAYERS (PROXY header,
// TLS, WebSocket) stand between a socket and the splitter where a listener, or `connect`, asks for them; packets, commands and
// limits are the same with and without. Times are milliseconds of CLOCK_MONOTONIC, as float64.
//
// INBOX RECORDS are 8 int32 words in `inbox`; offsets point into `inboxBytes` and hold for this turn only.
//   word      0                1     2           3           4            5            6          7
//   opened    1                slot  generation  listener|-1 address off  address len  0          0      -1: of ours; "ip:port" / "[ip]:port" / "unix:pid=1,uid=2"
//   packet    2 | first<<8     slot  generation  topic id    body off     body len     kept|0     0      body: after the fixed header
//   topic     3                0     0           topic id    name off     name len     0          0      before the packet that shows it
//   forgotten 4                0     0           topic id    0            0            0          0      only as a turn's first records
//   ended     5                slot  generation  0           0            0            0          0      the peer sent FIN
//   drained   6                slot  generation  0           0            0            0          0      output fell below low water
//   overflowed 7               slot  generation  over limit  too large    0            0          0      PUBLISHes left out this turn; at most one a turn
//   closed    8                slot  generation  reason      errno        0            0          0      reason: see CloseReason
//   oversized 9 | first<<8     slot  generation  0           announced    limit        0          0      reading has stopped for good
//   malformed 10 | first<<8    slot  generation  0           0            0            0          0      Remaining Length of 5 bytes; reading has stopped for good
//   accept-paused 11           0     0           listener    errno        0            0          0      out of descriptors; `listenerResume` goes on
//   refused   12               0     0           listener    count        0            0          0      no free slot: accepted and closed at once
//   learned   13               slot  generation  fact        text off     text len     0          0      a layer learned who the peer is: see Fact
//   stream-failed 14           slot  generation  0           text off     text len     0          0      a layer cannot go on: why; `ended` follows
// `packet` with kept != 0: the packet was too large for the inbox; body off is 0, body len its real length, and the body
// is a kept frame (negative handle, chosen by native code, owned by TypeScript from now on: release it). Read it with
// `readKept`. Promised: packets before `ended`, `ended` before `closed`, exactly one `closed` for each `opened` and
// each `connect`, nothing after it, no record ever dropped. A connection of ours that came to nothing is told `closed`
// without `opened`; `stream-failed` before it, if a layer knows why. Topic ids: 0 = none; given at a name's second sighting,
// to admitted connections only; a `forgotten` id is reused in the next turn at the earliest.
//
// KEPT FRAMES are reference-counted native blocks: a HEAD (topic length + Topic Name) and a TAIL (payload). The handle is
// chosen by TypeScript (1 …) and freed by `release`; frames still in output queues live on by themselves.
//
// A PUBLISH is written as: first byte, Remaining Length, head, packet id (only if first & 0x06), middle, tail.
// `middle` = bytes of `outboxBytes` (MQTT 5 properties). For an inbox packet the head is body[0 .. 2+topic length) and the
// tail body[tail off ..]; so tail off may point at the properties or behind them. All offsets are relative to inboxBytes.
// middleLen | 1 << 31: an empty topic is written instead of the head, for a Topic Alias in the middle stands for it.
// middleLen | 1 << 30: never left out for `outputLimit`, because it is what sets that alias.
//
// OUTBOX COMMANDS are int32 words; `outbox[0]` = index of the first free word (starts at 1; native code resets it to 1).
//   send          1                              slot gen bytesOff bytesLen          raw bytes of outboxBytes, never left out
//   sendShort     2 | length<<8                  slot gen word                       1 to 4 bytes, first byte lowest
//   forward       3 | first<<8 | packetId<<16    slot gen bodyOff bodyLen tailOff middleOff middleLen
//   forwardKept   4 | first<<8 | packetId<<16    slot gen handle middleOff middleLen
//   multicast     5 | first<<8                   group bodyOff bodyLen tailOff middleOff middleLen exceptSlot|-1
//   multicastKept 6 | first<<8                   group handle middleOff middleLen exceptSlot|-1
//   forwardList   7 | first<<8                   n bodyOff bodyLen tailOff middleOff middleLen, then n × (slot, gen, packetId)
//   keep          8                              handle bodyOff bodyLen tailOff      copies head + tail (without packet id)
//   shape         9                              handle tailOff                      of a native (negative) handle: where its tail begins, from body start
//   release       10                             handle
//   groupPut      11                             group position slot gen             edit the recipient list in place (append: position = size)
//   groupSize     12                             group size                          truncate; 0 frees
//   admit         13                             slot gen maxPacketIn maxPacketOut outputLimit   (bytes; 0: none)
//   finish        14                             slot gen                            flush, FIN, read and discard until the peer's FIN
//   close         15                             slot gen reset(0|1)                 now
//   pause         16                             slot gen                            stop reading (and delivering what was read)
//   resume        17                             slot gen
//   listenerResume 18                            listener
//   shortcut      19                             topicId slot gen toSlot toGen from5|to5<<1 decision
// forward, multicast, forwardList and keep name this turn's inbox: outside a turn, or after it, they abort the batch with an
// error thrown from `execute()`. A QoS 0 PUBLISH (first & 0x06 == 0) that would lift a connection's queued bytes over its
// `outputLimit`, although they were offered to the socket first (when none are left, it may be over the limit by itself),
// and any PUBLISH larger than its `maxPacketOut`, is left out whole, counted and reported (`overflowed`, by the reason).
// `multicast` is for QoS 0. Outside `finish`, `close` drops what is queued.
// A SHORTCUT is a decision that stands: while `decisions[0]` is what the command says, a PUBLISH with first byte 0x30 (QoS 0,
// no RETAIN) of that connection to that topic is written to that other connection at once and not told, only counted. It is
// told all the same when the connection has other records in the turn (nothing overtakes), when it carries MQTT 5 properties,
// has 1023 bytes of payload or more, or when the receiver is gone, or it would be left out. A forgotten id has none.
// What TypeScript writes outside a turn is carried out and flushed before the loop sleeps (uv_prepare).

/** What a `learned` record tells, before the connection's first packet. */
export type Fact =
  | 1 /* address: from a PROXY header or X-Forwarded-For; takes the place of the one `opened` told */
  | 2 /* common name of the verified client certificate */
  | 3 /* its subject, RFC 2253 */
  | 4 /* PSK identity */
  | 5 /* TLS version and cipher; first of the facts about TLS: what was told of it before holds no more */
  | 6 /* server name the client asked for */
  | 7 /* protocol: "WebSocket mqtt" */

/** Close reasons of a `closed` record. */
export type CloseReason =
  | 0 /* both sides finished */
  | 1 /* we closed it (command) */
  | 2 /* reset or another socket error, see errno */
  | 3 /* the peer vanished while we were finishing */
  | 4 /* reactor closed */
  | 5 /* never opened: TCP had connected it to itself (nobody listens on a port the system gives out) */

export interface ReactorMemory {
  /** 8 words a record; at least 64 records. */
  inbox: Int32Array
  /** What is read in one turn; at least 4 KiB. */
  inboxBytes: Uint8Array
  /** At least 256 words. */
  outbox: Int32Array
  /** At least 256 bytes. */
  outboxBytes: Uint8Array
  /** Columns, one element a slot: native code writes, TypeScript reads. */
  lastRead: Float64Array // ms of the last byte read
  lastWrite: Float64Array // ms of the last progress of output (or of its first wait)
  queued: Uint32Array // bytes waiting for output, as of the last command carried out
  bytesIn: Float64Array
  bytesOut: Float64Array
  leftOut: Uint32Array // frames left out
  /** Totals, index = Total in src/net/wire.ts. */
  totals: Float64Array
  /** One element, TypeScript writes: raised, never to 0, with whatever might make a shortcut wrong. */
  decisions: Int32Array
}

export interface ReactorOptions {
  maxConnections: number // slots
  readSize: number // bytes per recv and connection in a turn, e.g. 65536
  topicIds: number // size of the topic table
  maxTurns: number // turns per loop iteration, e.g. 4
  acceptBudget: number // connections accepted per listener and turn
  unadmittedPacketLimit: number // bytes, before `admit`
  partialBudget: number // bytes of partly received packets before `admit`, over all connections
  highWater: number // output bytes at which a connection counts as full (then `drained` is owed)
  lowWater: number
  flushAfter: number // bytes queued by commands since the last flush that force one, e.g. 4 MiB
  userTimeout: number // TCP_USER_TIMEOUT, ms; 0 leaves the system's
  handshakeBudget: number // steps of TLS handshakes in a turn
  poison: boolean // tests: overwrite the inbox with 0xA5 after each turn
}

export interface ListenOptions {
  host: string // numeric IPv4 or IPv6 address; without meaning with `socketPath` or `descriptor`
  port: number // 0: any free port
  device?: string // network interface; default: all
  socketPath?: string // a Unix socket: a leftover file is removed if nobody listens on it; ours is removed at unlisten
  mode?: number // of its file, e.g. 0o660; default: as umask has it
  owner?: string // of its file: names or numbers
  group?: string
  descriptor?: number // a socket that listens already; the reactor owns it from now on
  backlog: number // 0: somaxconn
  ipv6Only: boolean
  reusePort: boolean
  /** Open at one time; more are accepted and closed at once (`refused`). Default: as many as there are slots. */
  maxConnections?: number
  countWith?: number // another listener id: the connections of both count together
  /** What is spoken there. `any`: told apart by the first byte. Default `mqtt`. */
  protocol?: 'mqtt' | 'websockets' | 'any'
  /** A PROXY header (version 1 or 2) comes first on every connection; without one it is closed. */
  proxyProtocol?: boolean
  tls?: number // a door's number, see `secure`; default: none
  // WebSocket:
  path?: string // the only one; default: any
  origins?: readonly string[] // the only ones, compared exactly; default: any, and none
  headerLimit?: number // bytes of the request's head; default 8192
  trustedProxies?: readonly string[] // networks (10.0.0.0/8, ::1, unix) whose X-Forwarded-For is believed
}

/** A connection of ours. */
export interface ConnectOptions {
  host: string // numeric IPv4 or IPv6 address; without meaning with `socketPath`
  port: number
  socketPath?: string // a Unix socket; `@name`: abstract
  localHost?: string // numeric; default: the system chooses
  localPort?: number // default: the system chooses
  device?: string // network interface; default: as the routes say
  tls?: number // a caller's number, see `secureCaller`; default: none. `opened` is told after the handshake
  serverName?: string // with `tls`: whose certificate it must be, a DNS name or an IP address
}

/** What a TLS listener offers; for a caller: one certificate or key at most, and `protocols`. Texts are PEM. */
export interface TlsOptions {
  certificates?: readonly string[] // chain, key, chain, key …: chosen by the name a client asks for, else the first
  passphrase?: string // of the keys that are encrypted
  authorities?: string // who may sign client certificates
  revocations?: string // of theirs: then a revocation list is required
  requestCertificate?: boolean // a client may show one; a bad one ends the handshake
  requireCertificate?: boolean
  minVersion?: 'TLSv1.2' | 'TLSv1.3' // default TLSv1.2
  ciphers?: string // TLS 1.2, OpenSSL's syntax
  ciphersuites?: string // TLS 1.3
  psk?: readonly string[] // identity, key in hexadecimal, identity, key …
  pskHint?: string
  protocols?: readonly string[] // ALPN, of a caller
}

export interface NativeReactor {
  /** A TLS door for `listen`; returns its number. Throws what is wrong, or that this runtime has no OpenSSL 3. */
  secure(options: TlsOptions): number
  /** New contents for new connections; live ones keep what they have. Throws, and then nothing has changed. */
  resecure(door: number, options: TlsOptions): void
  /** Starts listening. Returns the listener id (0 …). Throws an Error with `code` (EADDRINUSE …) and `syscall`. */
  listen(options: ListenOptions): number
  /** What connections of ours say TLS with; returns its number. Throws as `secure` does. */
  secureCaller(options: TlsOptions): number
  /**
   * Begins a connection; returns its slot and generation. Commands to it do nothing before `opened`, but for `finish` and
   * `close`, which take it back. No deadline: TypeScript closes what takes too long. Throws an Error with `code` and
   * `syscall` for what is known at once (ECONNREFUSED of a Unix socket, EMFILE, EADDRNOTAVAIL; ENOBUFS: no free slot;
   * ECANCELED: the reactor is closed).
   */
  connect(options: ConnectOptions): [slot: number, generation: number]
  /** The port a listener is bound to. */
  port(listener: number): number
  /** Takes no new connections there; existing ones stay. */
  unlisten(listener: number): void
  /** Carries out what the outbox holds now, without flushing (unless `flushAfter` is reached). Legal in and out of a turn. */
  execute(): void
  /** Makes a kept frame from bytes: head, then tail from `headLength` on. Executes the outbox first. */
  keepBytes(handle: number, bytes: Uint8Array, headLength: number): void
  /** Copies body bytes of a kept frame from `offset` into `target`; returns how many. Executes the outbox first. */
  readKept(handle: number, offset: number, target: Uint8Array): number
  /** Gives memory that is free but still the process's back to the system; takes milliseconds. Legal at any time. */
  trim(): void
  /** Whether the reactor's poll handle keeps Node's loop alive (default true). */
  ref(keepAlive: boolean): void
  /** Closes every listener and connection (no FIN wait) and every handle; idempotent. `closed` records are still told. */
  close(): void
}

export interface NativeAddon {
  open(options: ReactorOptions, memory: ReactorMemory, onTurn: (records: number) => void): NativeReactor
  /** [soft, hard] RLIMIT_NOFILE, after raising soft to hard. */
  raiseDescriptorLimit(): [number, number]
  /** Ends the process here and now, whatever its threads are doing: `process.exit` waits for those that read and write files. */
  endProcess(code: number): never
  /** One datagram to a Unix socket (`@name`: abstract), as systemd's notify socket wants them. 0 or -errno. */
  sendDatagram(path: string, text: string): number
}
