// A Network Connection as the reactor sees it (state, what was read but not delivered, what waits to be sent) and the
// table of all of them. The table gives slots out oldest first, raises the generation with each reuse, and takes its
// memory as zero pages: a slot that was never used costs nothing.
#pragma once

#include <cstdint>

#include "loop/wire.h"
#include "mqtt/kept_frames.h"
#include "net/output_queue.h"

namespace martlet {

class Stream;

// Left only forwards. Free slots are Free; a closed connection stays Closed until the turn that told of it is over.
enum class State : uint8_t {
  Free = 0,
  Connecting,  // of ours: the socket has not said yet whether it will stand
  Open,
  PeerEnded,  // the peer's FIN is here: write only
  Ending,     // we finish: write what is queued, then FIN; read only to discard
  Closed,
};

enum class Reading : uint8_t {
  On = 0,
  Paused,
  Stopped,  // for good, after an oversized or malformed packet
};

/** In place of a listener: a connection we made ourselves. */
constexpr uint32_t kOutgoing = UINT32_MAX;

enum Flag : uint16_t {
  kTakesOutput = 1 << 0,
  kDirty = 1 << 1,       // on the list of those to flush
  kBlocked = 1 << 2,     // the socket takes no more until EPOLLOUT
  kFull = 1 << 3,        // crossed high water: `drained` is owed at low water
  kReadyAgain = 1 << 4,  // on the list of those with undelivered packets
  kPending = 1 << 5,     // on the list of those with records to tell
  kOwesDrained = 1 << 6,
  kOwesClosed = 1 << 7,
  kAdmitted = 1 << 8,
  kFinishing = 1 << 9,  // `finish` was commanded
  kFinSent = 1 << 10,
  kBroken = 1 << 11,  // a write failed: what was received before is still delivered, then it closes
  kLayered = 1 << 12,  // `stream` stands between the socket and the splitter
  kHandshakeQueued = 1 << 13,
  kUntold = 1 << 14,  // Open, of ours, and its layers still shake hands: `opened` is told when they are through
};

// Bytes received and not delivered: the beginning of a packet, or packets the inbox had no room for.
struct InputBuffer {
  uint32_t capacity;  // of the pool buffer this header stands in
  uint32_t begin;
  uint32_t end;

  uint8_t* data() { return reinterpret_cast<uint8_t*>(this + 1); }
  uint8_t* bytes() { return data() + begin; }
  uint32_t size() const { return end - begin; }
  uint32_t room() const { return capacity - static_cast<uint32_t>(sizeof(InputBuffer)) - end; }
};

// A packet too large for the inbox, received straight into the block that will be its kept frame.
struct LargePacket {
  Block* block;  // its `length` is what has been received
  uint32_t size;
  uint8_t first;
};

// 128 bytes: the first line is all that a forward or a multicast touches.
struct alignas(64) Connection {
  int32_t generation;
  int32_t fd;
  State state;
  Reading reading;
  uint16_t flags;
  uint32_t max_packet_out;
  uint32_t output_limit;
  uint32_t left_out;  // in this turn, over output_limit
  OutputQueue out;

  InputBuffer* in;
  LargePacket* large;
  Stream* stream;  // owned; null on plain connections
  uint32_t max_packet_in;
  uint32_t partial;       // bytes in `in` and `large`, as accounted
  uint32_t interest;      // epoll events as last set
  uint32_t next_free;     // slot, while Free
  uint32_t listener;      // that accepted it, or kOutgoing
  uint32_t too_large;     // left out in this turn, over max_packet_out
  uint32_t told_in;       // turn in which a packet of it was last told
  int32_t error;          // of the failed write, while kBroken
  wire::CloseReason reason;  // while kOwesClosed
  int32_t reason_error;

  bool is(Flag flag) const { return flags & flag; }
  void set(Flag flag) { flags = static_cast<uint16_t>(flags | flag); }
  void unset(Flag flag) { flags = static_cast<uint16_t>(flags & ~flag); }
  bool lives() const { return state != State::Free && state != State::Closed; }
  /** Asked for by `connect`, and TypeScript has not been told `opened`. */
  bool is_underway() const { return state == State::Connecting || is(kUntold); }
  bool delivers() const { return state == State::Open && reading == Reading::On; }
};

class ConnectionTable {
 public:
  explicit ConnectionTable(uint32_t size);
  ~ConnectionTable();
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t size() const { return size_; }
  bool is_full() const { return first_free_ == kNone && touched_ == size_; }
  /** Slots below this one have been used; those above are untouched memory. */
  uint32_t touched() const { return touched_; }
  Connection& operator[](uint32_t slot) { return connections_[slot]; }
  /** The living connection of that generation, or null. */
  Connection* find(uint32_t slot, int32_t generation) {
    if (slot >= size_) return nullptr;
    Connection& connection = connections_[slot];
    return connection.generation == generation && connection.lives() ? &connection : nullptr;
  }
  /** Hints for loops that know whom they come to next. */
  void prefetch(uint32_t slot) const { __builtin_prefetch(&connections_[slot], 1); }
  void prefetch_output(uint32_t slot) const { __builtin_prefetch(connections_[slot].out.write_at, 1); }
  /** A free slot with everything zero but its generation, or kNone. */
  uint32_t take();
  void give(uint32_t slot);

 private:
  uint32_t size_;
  uint32_t touched_ = 0;
  Connection* connections_;
  uint32_t first_free_ = kNone;
  uint32_t last_free_ = kNone;
};

}  // namespace martlet
