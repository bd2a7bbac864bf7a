// The turn: what epoll and the lists of the reactor itself have to tell becomes one batch of records, TypeScript is
// called once, its commands are carried out, every dirty connection is flushed once.
#include "loop/reactor.h"

#include <errno.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace martlet {

namespace {

// Tags of epoll events: slot | generation << 32 for connections; these slot values for the rest.
constexpr uint32_t kWakeTag = 0xFFFFFFFF;
constexpr uint32_t kListenerTag = 0x80000000;

// A connection owes at most this many records at once: overflowed, drained, closed.
constexpr uint32_t kMostOwed = 3;

}  // namespace

Reactor::Reactor(const Options& options, const Memory& memory, OnTurn on_turn, void* context)
    : options_(options),
      memory_(memory),
      on_turn_(on_turn),
      context_(context),
      large_from_(std::min(std::max(options.read_size, 65536u), memory.inbox_size / 2)),
      events_(new epoll_event[kEvents]),
      outputs_(buffers_, memory.inbox_bytes),
      connections_(options.max_connections),
      topics_(options.topic_ids),
      shortcuts_(options.topic_ids) {
  memory_.outbox[0] = 1;
  evicted_.resize(std::max(memory.inbox_records / 4, 1u));
}

Reactor::~Reactor() {
  close(false);
  if (wake_ >= 0) sockets::close(wake_);
  if (epoll_ >= 0) sockets::close(epoll_);
}

int Reactor::open() {
  epoll_ = sockets::epoll_create();
  if (epoll_ < 0) return epoll_;
  wake_ = sockets::event_create();
  if (wake_ < 0) return wake_;
  return sockets::epoll_add(epoll_, wake_, EPOLLIN, kWakeTag);
}

bool Reactor::turn() {
  begin_turn();
  read_sockets();
  if (records_ > 0) {
    ++totals_.turns;
    publish_totals();
    collecting_ = false;
    on_turn_(context_, records_);
    execute();
  }
  end_turn();
  return next_event_ < event_count_ || event_count_ == kEvents || awake_;
}

void Reactor::begin_turn() {
  now_ = sockets::now();
  records_ = inbox_used_ = inbox_touched_ = 0;
  inbox_full_ = false;
  in_turn_ = collecting_ = true;
  ++turn_;
  evict_topics();
  tell_pending();
}

void Reactor::read_sockets() {
  // Handshakes come last, unless those before them left no room: then first, or nobody could come in while others are busy.
  const bool first = std::exchange(handshakes_starve_, false);
  if (first) shake_hands();
  inbox_full_ = !deliver_again();
  // Events the last turn had no room for come first: level-triggered epoll would report the same ones in the same
  // order again, and those at the end would starve.
  if (next_event_ == event_count_) {
    event_count_ = std::max(sockets::epoll_poll(epoll_, events_.get(), kEvents), 0);
    next_event_ = 0;
  }
  while (next_event_ < event_count_ && dispatch(events_[next_event_])) ++next_event_;
  if (!first && !handshakes_.empty()) shake_hands();
  if (!listeners_owe_) return;
  listeners_owe_ = false;
  for (uint32_t id = 0; id < listeners_.size(); ++id) {
    if (listeners_[id] && !tell_listener(id, *listeners_[id])) listeners_owe_ = true;
  }
}

bool Reactor::dispatch(const epoll_event& event) {
  auto slot = static_cast<uint32_t>(event.data.u64);
  if (slot == kWakeTag) return true;  // stay_awake_if_needed() looks after it
  if (slot & kListenerTag) {
    uint32_t id = slot & ~kListenerTag;
    Listener* found = listener(id);
    if (!found || found->paused) return true;
    return !inbox_full_ && accept(id, *found);
  }
  Connection* found = connections_.find(slot, static_cast<int32_t>(event.data.u64 >> 32));
  if (!found) return true;
  Connection& connection = *found;
  if (connection.state == State::Connecting) [[unlikely]] return !inbox_full_ && connected(slot, connection);
  if (event.events & EPOLLOUT) {
    connection.unset(kBlocked);
    flush(slot, connection);
    if (!connection.lives()) return true;
  }
  if (!(event.events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return true;
  if (connection.state == State::Ending) {
    discard(slot, connection);
  } else if (connection.delivers()) {
    return !inbox_full_ && read(slot, connection);
  } else if (event.events & (EPOLLHUP | EPOLLERR)) {
    // Not being read, so nobody would find out; and these two cannot be masked: they would spin.
    close_connection(slot, connection, wire::CloseReason::SocketError, sockets::pending_error(connection.fd));
  }
  return true;
}

void Reactor::end_turn() {
  collecting_ = false;
  flush_all();
  in_turn_ = false;
  outputs_.end_turn();
  topics_.end_turn();
  if (options_.poison) std::memset(memory_.inbox_bytes, 0xA5, inbox_touched_);
  for (uint32_t slot : told_) connections_.give(slot);
  told_.clear();
  stay_awake_if_needed();
  publish_totals();
}

void Reactor::before_sleep() {
  execute();
  if (!dirty_.empty()) flush_all();
  stay_awake_if_needed();
  publish_totals();
}

// Bytes in user space are invisible to epoll; this descriptor makes them visible.
void Reactor::stay_awake_if_needed() {
  bool needed = !ready_.empty() || !pending_.empty() || !handshakes_.empty() || next_event_ < event_count_ || listeners_owe_;
  if (needed == awake_) return;
  awake_ = needed;
  if (needed) {
    sockets::event_signal(wake_);
  } else {
    sockets::event_clear(wake_);
  }
}

void Reactor::evict_topics() {
  uint32_t count = topics_.evict(static_cast<uint32_t>(evicted_.size()), evicted_.data());
  for (uint32_t i = 0; i < count; ++i) {
    shortcuts_.forget(evicted_[i]);
    record(wire::Kind::Forgotten, 0, 0, static_cast<int32_t>(evicted_[i]));
  }
}

void Reactor::tell_pending() {
  size_t done = 0;
  while (done < pending_.size()) {
    uint32_t slot = pending_[done];
    if (!tell_owed(slot, connections_[slot])) break;
    ++done;
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(done));
}

bool Reactor::tell_owed(uint32_t slot, Connection& connection) {
  if (records_left() < kMostOwed) return false;
  int32_t generation = connection.generation;
  if (connection.left_out || connection.too_large) {
    record(wire::Kind::Overflowed, slot, generation, static_cast<int32_t>(connection.left_out),
           static_cast<int32_t>(connection.too_large));
    connection.left_out = connection.too_large = 0;
  }
  if (connection.is(kOwesDrained)) record(wire::Kind::Drained, slot, generation);
  if (connection.is(kOwesClosed)) {
    record(wire::Kind::Closed, slot, generation, static_cast<int32_t>(connection.reason), connection.reason_error);
    told_.push_back(slot);
  }
  connection.unset(kOwesDrained);
  connection.unset(kOwesClosed);
  connection.unset(kPending);
  return true;
}

void Reactor::owe(uint32_t slot, Connection& connection) {
  if (connection.is(kPending)) return;
  if (collecting_ && tell_owed(slot, connection)) return;
  connection.set(kPending);
  pending_.push_back(slot);
}

void Reactor::record(wire::Kind kind, uint32_t slot, int32_t generation, int32_t a, int32_t b, int32_t c, int32_t d) {
  record(static_cast<int32_t>(kind), slot, generation, a, b, c, d);
}

void Reactor::record(int32_t kind, uint32_t slot, int32_t generation, int32_t a, int32_t b, int32_t c, int32_t d) {
  int32_t* words = memory_.inbox + size_t{records_++} * wire::kRecordWords;
  words[0] = kind;
  words[1] = static_cast<int32_t>(slot);
  words[2] = generation;
  words[3] = a;
  words[4] = b;
  words[5] = c;
  words[6] = d;
  words[7] = 0;
}

int Reactor::listen(const ListenOptions& options, ListenError* error) {
  auto listener = std::make_unique<Listener>(options, error);
  if (listener->fd() < 0) return -1;
  auto id = static_cast<uint32_t>(listeners_.size());
  int result = sockets::epoll_add(epoll_, listener->fd(), EPOLLIN, kListenerTag | id);
  if (result < 0) {
    *error = {-result, "epoll_ctl"};
    return -1;
  }
  listeners_.push_back(std::move(listener));
  return static_cast<int>(id);
}

void Reactor::unlisten(uint32_t id) {
  if (id < listeners_.size()) listeners_[id].reset();
}

void Reactor::set_listener_interest(uint32_t id, Listener& listener, uint32_t events) {
  sockets::epoll_modify(epoll_, listener.fd(), events, kListenerTag | id);
}

void Reactor::close(bool tell) {
  if (closing_) return;
  closing_ = true;
  execute();
  flush_all();
  listeners_.clear();
  for (uint32_t slot = 0; slot < connections_.touched(); ++slot) {
    close_connection(slot, connections_[slot], wire::CloseReason::ReactorClosed, 0);
  }
  while (tell && !pending_.empty()) {
    records_ = 0;
    tell_pending();
    publish_totals();
    on_turn_(context_, records_);
    execute();
    for (uint32_t slot : told_) connections_.give(slot);
    told_.clear();
  }
  closed_ = true;
  dirty_.clear();
  kept_.clear();
  groups_.clear();
  publish_totals();
}

bool Reactor::keep_bytes(int32_t handle, const uint8_t* bytes, uint32_t size, uint32_t head) {
  if (!execute()) return false;
  if (!kept_.is_free(handle)) return fail("keepBytes: the handle is in use or out of range");
  if (head > size) return fail("keepBytes: headLength is behind the end");
  Block* block = Block::create(size);
  std::memcpy(block->data(), bytes, size);
  block->length = size;
  block->head = block->tail = head;
  kept_.put(handle, block);
  return true;
}

int64_t Reactor::read_kept(int32_t handle, uint64_t offset, uint8_t* into, uint64_t size) {
  if (!execute()) return -1;
  Block* block = kept_.find(handle);
  if (!block) {
    fail("readKept: no such handle");
    return -1;
  }
  if (offset >= block->length) return 0;
  uint64_t count = std::min<uint64_t>(size, block->length - offset);
  std::memcpy(into, block->data() + offset, count);
  return static_cast<int64_t>(count);
}

void Reactor::trim() {
  buffers_.shrink();
  outputs_.shrink();
#ifdef __GLIBC__
  malloc_trim(0);  // what lies between blocks still in use, too: free() gives back the end of the heap alone
#endif
}

std::string Reactor::take_error() {
  std::string text;
  text.swap(error_);
  return text;
}

void Reactor::publish_totals() {
  auto set = [this](wire::Total index, uint64_t value) {
    memory_.totals[static_cast<uint32_t>(index)] = static_cast<double>(value);
  };
  using wire::Total;
  set(Total::Turns, totals_.turns);
  set(Total::Recvs, totals_.recvs);
  set(Total::Sends, totals_.sends);
  set(Total::BytesIn, totals_.bytes_in);
  set(Total::BytesOut, totals_.bytes_out);
  set(Total::PacketsIn, totals_.packets_in);
  set(Total::PublishesOut, totals_.publishes_out);
  set(Total::FramesLeftOut, totals_.frames_left_out);
  set(Total::Accepted, totals_.accepted);
  set(Total::Refused, totals_.refused);
  set(Total::AcceptPauses, totals_.accept_pauses);
  set(Total::Connections, totals_.connections);
  set(Total::KeptFrames, kept_.count());
  set(Total::KeptBytes, kept_.bytes());
  set(Total::PartialBytes, totals_.partial_bytes);
  set(Total::QueuedBytes, totals_.queued_bytes);
  set(Total::TopicIds, topics_.used());
  set(Total::PublishBytesOut, totals_.publish_bytes_out);
  set(Total::Shortcuts, totals_.shortcuts);
  set(Total::ShortcutBytes, totals_.shortcut_bytes);
  set(Total::Connected, totals_.connected);
}

}  // namespace martlet
