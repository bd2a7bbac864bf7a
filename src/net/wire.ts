// The numbers of the contract in native/index.d.ts, as TypeScript reads and writes them.
// native/src/loop/wire.h holds the same numbers for C++; test/net/wire.test.ts holds the two together.

export const RECORD_WORDS = 8

export const Kind = {
  Opened: 1,
  Packet: 2,
  Topic: 3,
  Forgotten: 4,
  Ended: 5,
  Drained: 6,
  Overflowed: 7,
  Closed: 8,
  Oversized: 9,
  Malformed: 10,
  AcceptPaused: 11,
  Refused: 12,
  Learned: 13,
  StreamFailed: 14,
} as const

/** What a stream layer learned about the peer, word 3 of `learned`. */
export const Fact = {
  Address: 1,
  CommonName: 2,
  Subject: 3,
  PskIdentity: 4,
  Cipher: 5,
  ServerName: 6,
  Protocol: 7,
} as const

export const Command = {
  Send: 1,
  SendShort: 2,
  Forward: 3,
  ForwardKept: 4,
  Multicast: 5,
  MulticastKept: 6,
  ForwardList: 7,
  Keep: 8,
  Shape: 9,
  Release: 10,
  GroupPut: 11,
  GroupSize: 12,
  Admit: 13,
  Finish: 14,
  Close: 15,
  Pause: 16,
  Resume: 17,
  ListenerResume: 18,
  Shortcut: 19,
} as const

export const CloseReason = {
  Finished: 0,
  Command: 1,
  SocketError: 2,
  PeerVanished: 3,
  ReactorClosed: 4,
  ReachedItself: 5,
} as const

/** In place of a listener in `opened`: a connection of ours. */
export const OUTGOING = -1

/** Index into the `totals` column. */
export const Total = {
  Turns: 0,
  Recvs: 1,
  Sends: 2,
  BytesIn: 3,
  BytesOut: 4,
  PacketsIn: 5,
  PublishesOut: 6,
  FramesLeftOut: 7,
  Accepted: 8,
  Refused: 9,
  AcceptPauses: 10,
  Connections: 11,
  KeptFrames: 12,
  KeptBytes: 13,
  PartialBytes: 14,
  QueuedBytes: 15,
  TopicIds: 16,
  /** Payload bytes of the PUBLISH packets sent. */
  PublishBytesOut: 17,
  /** PUBLISH packets that took a shortcut, and their payload bytes: received, told to nobody. */
  Shortcuts: 18,
  ShortcutBytes: 19,
  /** Outgoing connections that stood. */
  Connected: 20,
} as const
export const TOTALS = 32
