// The numbers of the contract in native/index.d.ts, for C++. src/net/wire.ts holds the same numbers for TypeScript;
// test/net/wire.test.ts reads this file and holds the two together, so keep one `Name = number` a line.
#pragma once

#include <cstdint>

namespace martlet::wire {

constexpr uint32_t kRecordWords = 8;

enum class Kind : uint32_t {
  Opened = 1,
  Packet = 2,
  Topic = 3,
  Forgotten = 4,
  Ended = 5,
  Drained = 6,
  Overflowed = 7,
  Closed = 8,
  Oversized = 9,
  Malformed = 10,
  AcceptPaused = 11,
  Refused = 12,
  Learned = 13,
  StreamFailed = 14,
};

// What a stream layer learned about the peer; word 3 of a `learned` record.
enum class Fact : uint32_t {
  Address = 1,
  CommonName = 2,
  Subject = 3,
  PskIdentity = 4,
  Cipher = 5,
  ServerName = 6,
  Protocol = 7,
};

enum class Command : uint32_t {
  Send = 1,
  SendShort = 2,
  Forward = 3,
  ForwardKept = 4,
  Multicast = 5,
  MulticastKept = 6,
  ForwardList = 7,
  Keep = 8,
  Shape = 9,
  Release = 10,
  GroupPut = 11,
  GroupSize = 12,
  Admit = 13,
  Finish = 14,
  Close = 15,
  Pause = 16,
  Resume = 17,
  ListenerResume = 18,
  Shortcut = 19,
};

enum class CloseReason : uint32_t {
  Finished = 0,
  Command = 1,
  SocketError = 2,
  PeerVanished = 3,
  ReactorClosed = 4,
  ReachedItself = 5,
};

enum class Total : uint32_t {
  Turns = 0,
  Recvs = 1,
  Sends = 2,
  BytesIn = 3,
  BytesOut = 4,
  PacketsIn = 5,
  PublishesOut = 6,
  FramesLeftOut = 7,
  Accepted = 8,
  Refused = 9,
  AcceptPauses = 10,
  Connections = 11,
  KeptFrames = 12,
  KeptBytes = 13,
  PartialBytes = 14,
  QueuedBytes = 15,
  TopicIds = 16,
  PublishBytesOut = 17,
  Shortcuts = 18,
  ShortcutBytes = 19,
  Connected = 20,
};

constexpr uint32_t kTotals = 32;

}  // namespace martlet::wire
