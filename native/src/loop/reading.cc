// Sockets to records: receiving in place, splitting, and what becomes of bytes that cannot be delivered yet.
// Buffers grow with the bytes received, never with the length a peer announces.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "loop/reactor.h"
#include "net/http_guest.h"

namespace martlet {

namespace {

// A packet may need two: `topic` and `packet`. Checked before every recv, so that whatever it brings can be told.
constexpr uint32_t kRecordsPerPacket = 2;
constexpr uint32_t kFirstLargeBlock = 4096;
constexpr size_t kDiscardSize = 1 << 20;

}  // namespace

bool Reactor::read(uint32_t slot, Connection& connection) {
  if (connection.is(kReadyAgain)) return true;  // what it sent before comes first
  if (records_left() < kRecordsPerPacket) return false;
  if (connection.is(kLayered)) [[unlikely]] return read_stream(slot, connection);
  return read_bytes(slot, connection);
}

bool Reactor::read_bytes(uint32_t slot, Connection& connection) {
  if (connection.large) return read_large(slot, connection);

  uint32_t tail = connection.in ? connection.in->size() : 0;
  // Rather the next turn than a small read, except in an empty inbox, where the rest of a packet always has room.
  if (bytes_left() < tail + options_.read_size && inbox_used_ > 0) return false;
  uint8_t* start = memory_.inbox_bytes + inbox_used_;
  int64_t got = receive(connection, start + tail, std::min(options_.read_size, bytes_left() - tail));
  ++totals_.recvs;
  if (got <= 0) {
    read_ended(slot, connection, got);
    return true;
  }
  received(slot, got);
  uint32_t size = tail + static_cast<uint32_t>(got);
  if (tail) std::memcpy(start, connection.in->bytes(), tail);
  inbox_touched_ = std::max(inbox_touched_, inbox_used_ + size);

  bool more = false;
  uint32_t used = split(slot, connection, start, size, &more);
  if (!connection.delivers()) return true;
  if (used == 0) {
    keep_input(connection, start + tail, size - tail);  // the tail is in its buffer still
  } else {
    drop_buffer(connection);
    if (used < size) keep_input(connection, start + used, size - used);
  }
  if (more) ready_again(slot, connection);
  account_partial(slot, connection);
  return true;
}

bool Reactor::read_large(uint32_t slot, Connection& connection) {
  LargePacket& large = *connection.large;
  uint32_t length = large.block->length;
  if (large.block->capacity < std::min<uint64_t>(large.size, uint64_t{length} + options_.read_size)) {
    large.block = large.block->grown(
        static_cast<uint32_t>(std::min<uint64_t>(large.size, uint64_t{large.block->capacity} * 2)));
  }
  uint32_t room = large.block->capacity - length;
  int64_t got = receive(connection, large.block->data() + length, std::min(room, options_.read_size));
  ++totals_.recvs;
  if (got <= 0) {
    read_ended(slot, connection, got);
    return true;
  }
  received(slot, got);
  large.block->length += static_cast<uint32_t>(got);
  if (large.block->length == large.size) tell_large(slot, connection);
  account_partial(slot, connection);
  return true;
}

void Reactor::received(uint32_t slot, int64_t bytes) {
  memory_.last_read[slot] = now_;
  memory_.bytes_in[slot] += static_cast<double>(bytes);
  totals_.bytes_in += static_cast<uint64_t>(bytes);
}

void Reactor::read_ended(uint32_t slot, Connection& connection, int64_t result) {
  if (result == -EAGAIN) return;
  if (result == 0 && connection.is(kUntold)) result = -ECONNRESET;  // it never stood
  if (result == kLayerFailed) {
    stream_failed(slot, connection);
  } else if (result < 0) {
    close_connection(slot, connection, wire::CloseReason::SocketError, static_cast<int>(-result));
  } else if (connection.is(kBroken)) {
    close_connection(slot, connection, wire::CloseReason::SocketError, connection.error);
  } else {
    drop_input(connection);  // half a packet that will never be whole
    connection.state = State::PeerEnded;
    record(wire::Kind::Ended, slot, connection.generation);
    dirty(slot, connection);  // drops EPOLLIN
  }
}

// While we finish, what the peer still sends is thrown away, but read: closing with unread bytes would make the kernel
// send a reset, which can overtake our last packets.
void Reactor::discard(uint32_t slot, Connection& connection) {
  int64_t got = sockets::discard(connection.fd, kDiscardSize);
  ++totals_.recvs;
  if (got > 0) {
    received(slot, got);
  } else if (got == 0) {
    connection.state = State::PeerEnded;  // finishing still: closes as soon as nothing waits
    if (connection.is(kFinSent)) {
      close_connection(slot, connection, wire::CloseReason::Finished, 0);
    } else {
      dirty(slot, connection);
    }
  } else if (got != -EAGAIN) {
    close_connection(slot, connection, wire::CloseReason::PeerVanished, static_cast<int>(-got));
  }
}

bool Reactor::deliver_again() {
  size_t count = ready_.size();
  size_t done = 0;
  bool fits = true;
  for (; done < count; ++done) {
    uint32_t slot = ready_[done];
    Connection& connection = connections_[slot];
    if (!connection.is(kReadyAgain)) continue;  // paused or closed since
    if (!connection.in) {  // a layer has more
      connection.unset(kReadyAgain);
      fits = read(slot, connection);
      if (fits) continue;
      connection.set(kReadyAgain);
      break;
    }
    uint32_t size = connection.in->size();
    fits = records_left() >= kRecordsPerPacket && size <= bytes_left();
    if (!fits) break;
    connection.unset(kReadyAgain);
    uint8_t* start = memory_.inbox_bytes + inbox_used_;
    std::memcpy(start, connection.in->bytes(), size);
    inbox_touched_ = std::max(inbox_touched_, inbox_used_ + size);
    bool more = false;
    uint32_t used = split(slot, connection, start, size, &more);
    if (!connection.delivers()) continue;
    connection.in->begin += used;
    if (used == size) drop_buffer(connection);
    if (more) ready_again(slot, connection);
    account_partial(slot, connection);
    if (!more && has_pending(connection) && !read(slot, connection)) ready_again(slot, connection);
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<ptrdiff_t>(done));
  return fits;
}

/**
 * Tells the packets in `bytes`, which start at inbox_used_, and advances it. Returns how many bytes are done with; the
 * rest is the beginning of a packet or, with `more`, packets that must wait for the next turn.
 */
uint32_t Reactor::split(uint32_t slot, Connection& connection, const uint8_t* bytes, uint32_t size, bool* more) {
  uint32_t at = 0;
  // Nothing of it was told yet, nor asked for by us: it begins.
  if (connection.told_in == 0 && connection.listener != kOutgoing && is_http(bytes, size)) [[unlikely]] {
    if (records_left() >= kRecordsPerPacket) {
      http_came(slot, connection);
      return size;
    }
    *more = true;
    return 0;
  }
  while (at < size) {
    if (records_left() < kRecordsPerPacket) {
      *more = true;
      return at;
    }
    FixedHeader header;
    HeaderState state = read_fixed_header(bytes + at, size - at, &header);
    if (state == HeaderState::Incomplete) return at;
    if (state == HeaderState::Malformed) {
      refuse_packet(slot, connection, wire::Kind::Malformed, header.first, 0, 0);
      return size;
    }
    if (header.total() > connection.max_packet_in) {
      // Behind a CONNECT that TypeScript has not seen yet, the limit may be about to change.
      *more = at > 0 && !connection.is(kAdmitted);
      if (*more) return at;
      refuse_packet(slot, connection, wire::Kind::Oversized, header.first, header.total(), connection.max_packet_in);
      return size;
    }
    const uint8_t* body = bytes + at + header.length;
    if (header.total() > size - at) {
      if (header.total() <= large_from_) return at;
      start_large(connection, header, body, size - at - header.length);
      return size;
    }
    tell_packet(slot, connection, header.first, body, header.body);
    at += header.total();
    inbox_used_ = static_cast<uint32_t>(bytes + at - memory_.inbox_bytes);
  }
  return at;
}

void Reactor::tell_packet(uint32_t slot, Connection& connection, uint8_t first, const uint8_t* body, uint32_t size) {
  int32_t topic = is_publish(first) ? topic_id(connection, body, size, true) : 0;
  ++totals_.packets_in;
  if (first == kPlainQos0 && topic > 0 && take_shortcut(slot, connection, static_cast<uint32_t>(topic), body, size)) return;
  connection.told_in = turn_;
  record(static_cast<int32_t>(wire::Kind::Packet) | first << 8, slot, connection.generation, topic,
         static_cast<int32_t>(body - memory_.inbox_bytes), static_cast<int32_t>(size), 0);
}

/**
 * Writes a PUBLISH to the one connection it goes to, if TypeScript has decided that. False: TypeScript must see it, for
 * nothing is decided, or it is not as plain as the decision supposed, or the receiver has no room, or an earlier packet of
 * the connection is on its way to TypeScript and must not be overtaken.
 */
bool Reactor::take_shortcut(uint32_t slot, const Connection& connection, uint32_t topic, const uint8_t* body, uint32_t size) {
  const Shortcut* shortcut = shortcuts_.find(topic, *memory_.decisions);
  if (!shortcut || shortcut->from_slot != slot || shortcut->from_generation != connection.generation) return false;
  if (connection.told_in == turn_ || shortcut->to_slot == slot) return false;
  Connection* to = connections_.find(shortcut->to_slot, shortcut->to_generation);
  if (!to || !to->is(kTakesOutput)) return false;
  static constexpr uint8_t kNoProperties = 0;
  uint32_t head = static_cast<uint32_t>(topic_length(body, size)) + 2;
  uint32_t payload = head;
  if (shortcut->from_5 && (payload == size || body[payload++] != kNoProperties)) return false;
  // A payload that is not copied would have to stay in the inbox, which nobody looks after before commands are carried out.
  if (size - payload >= kReferenceFrom - 1) return false;
  PublishFrame frame;
  frame.head = {body, head};
  if (shortcut->to_5 && !shortcut->from_5) frame.middle = {&kNoProperties, 1};
  uint32_t tail = shortcut->to_5 ? head : payload;
  frame.tail = {body + tail, size - tail};
  frame.finish(kPlainQos0);
  if (frame.total > to->max_packet_out || uint64_t{to->out.bytes} + frame.total > to->output_limit) return false;
  queue_frame(shortcut->to_slot, *to, frame, nullptr, 0);
  ++totals_.shortcuts;
  totals_.shortcut_bytes += size - payload;
  return true;
}

void Reactor::start_large(Connection& connection, const FixedHeader& header, const uint8_t* body, uint32_t received) {
  uint32_t capacity = std::min(header.body, std::max(received * 2, kFirstLargeBlock));
  Block* block = Block::create(capacity);
  std::memcpy(block->data(), body, received);
  block->length = received;
  connection.large = new LargePacket{block, header.body, header.first};
}

void Reactor::tell_large(uint32_t slot, Connection& connection) {
  LargePacket& large = *connection.large;
  Block* block = large.block;
  uint8_t first = large.first;
  int32_t topic = 0;
  if (is_publish(first)) {
    topic = topic_id(connection, block->data(), block->length, false);
    int32_t name = topic_length(block->data(), block->length);
    block->head = name < 0 ? 0 : static_cast<uint32_t>(name) + 2;
    // Until `shape` says better: right behind the topic and the packet identifier.
    block->tail = std::min(block->head + (has_packet_id(first) ? 2u : 0u), block->length);
  }
  auto size = static_cast<int32_t>(block->length);
  int32_t handle = kept_.add(block);
  delete connection.large;
  connection.large = nullptr;
  connection.told_in = turn_;
  record(static_cast<int32_t>(wire::Kind::Packet) | first << 8, slot, connection.generation, topic, 0, size, handle);
  ++totals_.packets_in;
}

int32_t Reactor::topic_id(const Connection& connection, const uint8_t* body, uint32_t size, bool in_inbox) {
  int32_t length = topic_length(body, size);
  if (length <= 0 || !connection.is(kAdmitted)) return 0;
  auto name_size = static_cast<uint32_t>(length);
  const uint8_t* name = body + 2;
  auto found = topics_.find(name, name_size, in_inbox || name_size <= bytes_left());
  if (found.is_new) {
    if (!in_inbox) {  // TypeScript reads names there, wherever the packet itself went
      uint8_t* copy = memory_.inbox_bytes + inbox_used_;
      std::memcpy(copy, name, name_size);
      name = copy;
      inbox_used_ += name_size;
      inbox_touched_ = std::max(inbox_touched_, inbox_used_);
    }
    record(wire::Kind::Topic, 0, 0, static_cast<int32_t>(found.id), static_cast<int32_t>(name - memory_.inbox_bytes),
           length);
  }
  return static_cast<int32_t>(found.id);
}

// As when a layer cannot go on: the answer is still sent, then FIN.
void Reactor::http_came(uint32_t slot, Connection& connection) {
  drop_input(connection);
  queue_bytes(slot, connection, reinterpret_cast<const uint8_t*>(kHttpAnswer.data()), static_cast<uint32_t>(kHttpAnswer.size()));
  tell_failure(slot, connection, std::string(kHttpFailure));
}

void Reactor::refuse_packet(uint32_t slot, Connection& connection, wire::Kind kind, uint8_t first, uint32_t announced,
                            uint32_t limit) {
  drop_input(connection);
  connection.reading = Reading::Stopped;
  record(static_cast<int32_t>(kind) | first << 8, slot, connection.generation, 0, static_cast<int32_t>(announced),
         static_cast<int32_t>(limit), 0);
  dirty(slot, connection);  // drops EPOLLIN
}

void Reactor::ready_again(uint32_t slot, Connection& connection) {
  if (connection.is(kReadyAgain)) return;
  connection.set(kReadyAgain);
  ready_.push_back(slot);
}

void Reactor::keep_input(Connection& connection, const uint8_t* bytes, uint32_t size) {
  InputBuffer* in = connection.in;
  if (!in || in->room() < size) {
    uint32_t held = in ? in->size() : 0;
    uint32_t capacity;
    auto* larger = static_cast<InputBuffer*>(buffers_.take(sizeof(InputBuffer) + held + size, &capacity));
    *larger = InputBuffer{capacity, 0, held};
    if (in) {
      std::memcpy(larger->data(), in->bytes(), held);
      buffers_.give(in, in->capacity);
    }
    connection.in = in = larger;
  }
  std::memcpy(in->data() + in->end, bytes, size);
  in->end += size;
}

void Reactor::drop_buffer(Connection& connection) {
  if (!connection.in) return;
  buffers_.give(connection.in, connection.in->capacity);
  connection.in = nullptr;
}

void Reactor::drop_input(Connection& connection) {
  drop_buffer(connection);
  if (connection.large) {
    connection.large->block->release();
    delete connection.large;
    connection.large = nullptr;
  }
  connection.unset(kReadyAgain);
  totals_.partial_bytes -= connection.partial;
  if (!connection.is(kAdmitted)) unadmitted_partial_ -= connection.partial;
  connection.partial = 0;
}

// Before CONNECT is accepted all peers share one budget; whoever spends the last of it goes.
void Reactor::account_partial(uint32_t slot, Connection& connection) {
  uint32_t size = (connection.in ? connection.in->size() : 0) + (connection.large ? connection.large->block->length : 0);
  totals_.partial_bytes += size;
  totals_.partial_bytes -= connection.partial;
  if (!connection.is(kAdmitted)) {
    unadmitted_partial_ += size;
    unadmitted_partial_ -= connection.partial;
  }
  connection.partial = size;
  if (unadmitted_partial_ > options_.partial_budget && size && !connection.is(kAdmitted)) {
    close_connection(slot, connection, wire::CloseReason::SocketError, ENOBUFS);
  }
}

}  // namespace martlet
