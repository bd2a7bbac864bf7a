// New connections: accepted within a budget, given a slot, told; and what happens when descriptors or slots run out.
#include <errno.h>

#include <algorithm>

#include "loop/reactor.h"

namespace martlet {

namespace {

// `opened`, and one to spare.
constexpr uint32_t kRecordsPerConnection = 2;

// What accept() says about one connection that died in the queue, or about the network; the next one may be fine.
bool is_passing(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool Reactor::accept(uint32_t id, Listener& listener) {
  for (uint32_t i = 0; i < options_.accept_budget; ++i) {
    if (records_left() < kRecordsPerConnection || bytes_left() < kAddressSize) return false;
    sockaddr_storage peer{};
    int fd = sockets::accept(listener.fd(), &peer);
    if (fd >= 0) {
      open_connection(fd, peer, id);
    } else if (fd == -EAGAIN) {
      break;
    } else if (!is_passing(-fd)) {
      pause_listener(id, listener, -fd);
      break;
    }
  }
  return true;
}

// Out of descriptors, mostly. The connection stays in the listen queue and would be reported for ever: stop listening
// to the listener until TypeScript says that things are better.
void Reactor::pause_listener(uint32_t id, Listener& listener, int error) {
  listener.paused = true;
  listener.owed_pause = error;
  listeners_owe_ = true;
  ++totals_.accept_pauses;
  set_listener_interest(id, listener, 0);
}

bool Reactor::tell_listener(uint32_t id, Listener& listener) {
  if (records_left() < 2) return false;
  auto number = static_cast<int32_t>(id);
  if (listener.refused) {
    record(wire::Kind::Refused, 0, 0, number, static_cast<int32_t>(listener.refused));
    listener.refused = 0;
  }
  if (listener.owed_pause) {
    record(wire::Kind::AcceptPaused, 0, 0, number, listener.owed_pause);
    listener.owed_pause = 0;
  }
  return true;
}

void Reactor::open_connection(int fd, const sockaddr_storage& peer, uint32_t listener_id) {
  Listener& listener = *listeners_[listener_id];
  uint32_t slot = *listener.open < listener.max_connections ? take_slot(fd, EPOLLIN) : ConnectionTable::kNone;
  if (slot == ConnectionTable::kNone) {
    sockets::close(fd);
    ++totals_.refused;
    ++listener.refused;
    listeners_owe_ = true;
    return;
  }
  if (peer.ss_family != AF_UNIX) set_connection_options(fd, options_.user_timeout);
  Connection& connection = connections_[slot];
  begin_connection(slot, connection, listener_id);
  connection.state = State::Open;
  ++*listener.open;
  if (listener.rules) attach_stream(fd, peer, listener.rules, connection);
  ++totals_.accepted;
  tell_opened(slot, connection, peer);
}

uint32_t Reactor::take_slot(int fd, uint32_t interest) {
  uint32_t slot = connections_.take();
  if (slot == ConnectionTable::kNone) return slot;
  Connection& connection = connections_[slot];
  uint64_t tag = uint64_t{static_cast<uint32_t>(connection.generation)} << 32 | slot;
  if (sockets::epoll_add(epoll_, fd, interest, tag) < 0) {
    connections_.give(slot);
    return ConnectionTable::kNone;
  }
  connection.fd = fd;
  connection.interest = interest;
  return slot;
}

void Reactor::begin_connection(uint32_t slot, Connection& connection, uint32_t listener_id) {
  connection.listener = listener_id;
  connection.max_packet_in = options_.unadmitted_packet_limit;
  connection.max_packet_out = UINT32_MAX;
  connection.output_limit = kMostQueued;
  memory_.queued[slot] = memory_.left_out[slot] = 0;
  memory_.bytes_in[slot] = memory_.bytes_out[slot] = 0;
  ++totals_.connections;
}

void Reactor::tell_opened(uint32_t slot, Connection& connection, const sockaddr_storage& peer) {
  connection.set(kTakesOutput);
  memory_.last_read[slot] = memory_.last_write[slot] = now_;
  auto* text = reinterpret_cast<char*>(memory_.inbox_bytes + inbox_used_);
  uint32_t length =
      peer.ss_family == AF_UNIX ? format_credentials(connection.fd, text) : format_address(peer, text);
  record(wire::Kind::Opened, slot, connection.generation, static_cast<int32_t>(connection.listener),
         static_cast<int32_t>(inbox_used_), static_cast<int32_t>(length));
  inbox_used_ += length;
  inbox_touched_ = std::max(inbox_touched_, inbox_used_ + 1);
}

}  // namespace martlet
