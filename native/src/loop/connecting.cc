// Connections of ours: begun, found standing or failed when the socket becomes writable, told. Native code knows no
// deadline here either: who has waited long enough closes the connection, as any other.
#include <errno.h>

#include <algorithm>

#include "loop/reactor.h"

namespace martlet {

namespace {

// `opened`, and one to spare.
constexpr uint32_t kRecordsPerConnection = 2;

}  // namespace

bool Reactor::connect(const ConnectOptions& options, ConnectionId* id, ConnectError* error) {
  if (closing_) {
    *error = {ECANCELED, "connect"};
    return false;
  }
  if (connections_.is_full()) {
    *error = {ENOBUFS, "connect"};
    return false;
  }
  int fd = begin_connect(options, options_.user_timeout, error);
  if (fd < 0) return false;
  uint32_t slot = take_slot(fd, EPOLLOUT);
  if (slot == ConnectionTable::kNone) {
    *error = {ENOSPC, "epoll_ctl"};
    sockets::close(fd);
    return false;
  }
  Connection& connection = connections_[slot];
  begin_connection(slot, connection, kOutgoing);
  connection.state = State::Connecting;
  if (options.rules && !options.rules->plain()) attach_stream(fd, {}, options.rules, connection);
  *id = {slot, connection.generation};
  return true;
}

/** The socket is writable, or has failed. False: the inbox has no room to tell of it. */
bool Reactor::connected(uint32_t slot, Connection& connection) {
  if (records_left() < kRecordsPerConnection || bytes_left() < kAddressSize) return false;
  sockaddr_storage peer{}, local{};
  int error = sockets::pending_error(connection.fd);
  if (error == 0) error = -sockets::peer_address(connection.fd, &peer);
  if (error == ENOTCONN) error = ECONNRESET;  // it accepted, and was gone between these two calls
  if (error == 0) error = -sockets::local_address(connection.fd, &local);
  if (error != 0) {
    close_connection(slot, connection, wire::CloseReason::SocketError, error);
    return true;
  }
  if (same_endpoint(peer, local)) {
    // TCP lets a socket meet itself when the system chose the very port it connects to, and nobody listens there. A
    // reset leaves no TIME_WAIT behind: whoever should listen on that port wants it back.
    sockets::linger_zero(connection.fd);
    close_connection(slot, connection, wire::CloseReason::ReachedItself, 0);
    return true;
  }
  connection.state = State::Open;
  dirty(slot, connection);  // EPOLLIN in place of EPOLLOUT, and the layers' first words
  if (connection.stream && connection.stream->shakes_hands) {
    connection.set(kUntold);
  } else {
    ++totals_.connected;
    tell_opened(slot, connection, peer);
  }
  return true;
}

/** The layers are through: only now may something be sent that their peer can read. */
void Reactor::shook_hands(uint32_t slot, Connection& connection) {
  sockaddr_storage peer{};
  sockets::peer_address(connection.fd, &peer);  // gone already: the next recv says so
  connection.unset(kUntold);
  ++totals_.connected;
  tell_opened(slot, connection, peer);
}

}  // namespace martlet
