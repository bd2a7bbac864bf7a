// Connections with layers: how they begin, how handshakes take turns, how what the layers learned is told, and how a
// stream ends that a layer cannot go on with. A plain connection never comes here.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "loop/reactor.h"

namespace martlet {

int Reactor::secure(const TlsOptions& options, std::string* problem) {
  auto door = make_tls_door(options, problem);
  if (!door) return -1;
  doors_.push_back(std::move(door));
  return static_cast<int>(doors_.size()) - 1;
}

bool Reactor::resecure(uint32_t door, const TlsOptions& options, std::string* problem) {
  *problem = "no such door";
  return door < doors_.size() && change_tls_door(*doors_[door], options, problem);
}

int Reactor::secure_caller(const TlsOptions& options, std::string* problem) {
  auto caller = make_tls_caller(options, problem);
  if (!caller) return -1;
  callers_.push_back(std::move(caller));
  return static_cast<int>(callers_.size()) - 1;
}

void Reactor::attach_stream(int fd, const sockaddr_storage& peer, const std::shared_ptr<const StreamRules>& rules,
                            Connection& connection) {
  connection.stream = new Stream(fd, rules, peer);
  connection.set(kLayered);
}

bool Reactor::read_stream(uint32_t slot, Connection& connection) {
  if (records_left() < kStreamRecords || (bytes_left() < kStreamText && inbox_used_ > 0)) return false;
  if (connection.stream->shakes_hands) {
    // A signature costs a millisecond: two thousand reconnecting clients take turns, behind those that are connected.
    if (connection.is(kHandshakeQueued)) return true;
    connection.set(kHandshakeQueued);
    handshakes_.push_back(slot);
    return true;
  }
  if (!read_bytes(slot, connection)) return false;
  if (connection.lives()) after_stream_read(slot, connection);
  return true;
}

void Reactor::shake_hands() {
  uint32_t budget = options_.handshake_budget;
  size_t done = 0;
  for (; done < handshakes_.size() && budget > 0; ++done) {
    uint32_t slot = handshakes_[done];
    Connection& connection = connections_[slot];
    if (!connection.is(kHandshakeQueued)) continue;  // closed since
    if (records_left() < kStreamRecords || bytes_left() < kStreamText + options_.read_size) {
      if (inbox_used_ > 0 || records_ > 0) {
        handshakes_starve_ = budget == options_.handshake_budget;
        break;
      }
    }
    connection.unset(kHandshakeQueued);
    if (!connection.delivers()) continue;
    --budget;
    if (read_bytes(slot, connection) && connection.lives()) after_stream_read(slot, connection);
  }
  handshakes_.erase(handshakes_.begin(), handshakes_.begin() + static_cast<ptrdiff_t>(done));
}

void Reactor::after_stream_read(uint32_t slot, Connection& connection) {
  Stream& stream = *connection.stream;
  if (connection.is(kUntold) && !stream.shakes_hands) shook_hands(slot, connection);
  if (!stream.news.empty()) tell_news(slot, connection);
  if (stream.top().speaks()) {
    dirty(slot, connection);
  } else if (stream.is_bare()) {
    delete connection.stream;
    connection.stream = nullptr;
    connection.unset(kLayered);
    return;
  }
  if (connection.delivers() && stream.top().pending()) ready_again(slot, connection);
}

uint32_t Reactor::put_text(const std::string& text) {
  auto size = static_cast<uint32_t>(std::min<size_t>(text.size(), bytes_left()));
  std::memcpy(memory_.inbox_bytes + inbox_used_, text.data(), size);
  inbox_used_ += size;
  inbox_touched_ = std::max(inbox_touched_, inbox_used_);
  return size;
}

void Reactor::tell_news(uint32_t slot, Connection& connection) {
  for (const Stream::News& item : connection.stream->news) {
    auto offset = static_cast<int32_t>(inbox_used_);
    auto size = static_cast<int32_t>(put_text(item.text));
    record(wire::Kind::Learned, slot, connection.generation, static_cast<int32_t>(item.what), offset, size);
  }
  connection.stream->news = {};
}

// The layer's last words (a TLS alert, an HTTP answer, a close frame) are still sent, and what the peer sends is read
// and thrown away, so that no reset cuts them off. TypeScript is told why, then of the stream's end, and finishes.
void Reactor::stream_failed(uint32_t slot, Connection& connection) {
  drop_input(connection);
  if (!connection.is(kUntold)) tell_news(slot, connection);
  auto offset = static_cast<int32_t>(inbox_used_);
  auto size = static_cast<int32_t>(put_text(connection.stream->failure.substr(0, 256)));
  record(wire::Kind::StreamFailed, slot, connection.generation, 0, offset, size);
  if (connection.is(kUntold)) {  // nobody has it yet who could finish it
    close_connection(slot, connection, wire::CloseReason::SocketError, EPROTO);
    return;
  }
  record(wire::Kind::Ended, slot, connection.generation);
  connection.state = State::Ending;
  dirty(slot, connection);
}

/** Sends what the layers themselves have to say. False: the connection is closed. */
bool Reactor::flush_stream(uint32_t slot, Connection& connection) {
  if (connection.is(kBlocked)) return true;
  Layer& top = connection.stream->top();
  if (connection.is(kFinishing) && connection.out.bytes == 0 && !connection.is(kFinSent)) top.finish();
  int result = top.flush();
  if (result == -EAGAIN) {
    connection.set(kBlocked);
  } else if (result < 0) {
    write_failed(slot, connection, -result);
  }
  // A handshake that waited for the socket may be over now, with packets behind it that epoll will not tell of.
  if (connection.lives() && connection.delivers() && has_pending(connection)) ready_again(slot, connection);
  return connection.lives();
}

}  // namespace martlet
