#include "net/web_socket.h"

#include <errno.h>

#include <algorithm>
#include <cstring>

#include "net/stream_rules.h"
#include "net/web_socket_upgrade.h"

namespace martlet {

namespace {

// One frame a flush, up to this: a pong must not wait behind megabytes.
constexpr size_t kMostFrame = 1 << 20;
constexpr size_t kMostParts = 64;
// Answers to pings wait while the peer reads nothing; beyond this the newest replaces the rest (RFC 6455, 5.5.3).
constexpr size_t kMostControl = 512;

}  // namespace

WebSocketLayer::WebSocketLayer(Stream& stream, bool sniffs, std::unique_ptr<Layer> below)
    : Layer(std::move(below)), stream_(stream), state_(sniffs ? State::Sniffing : State::Upgrading) {}

int64_t WebSocketLayer::recv(uint8_t* into, size_t size) {
  if (ended_) {
    state_ = State::Ended;
    ended_ = false;
    return frames_.complaint ? stream_.fail(std::string("WebSocket: ") + frames_.complaint) : 0;
  }
  if (state_ == State::Ended) return 0;
  if (early_) return take_early(into, size);
  int64_t got = below().recv(into, size);
  shorten();
  if (got <= 0) return got;
  if (state_ == State::Sniffing) state_ = into[0] == 'G' ? State::Upgrading : State::Mqtt;
  switch (state_) {
    case State::Mqtt:
      return got;
    case State::Upgrading:
      return upgrade(into, static_cast<size_t>(got));
    default:
      return deliver(into, static_cast<size_t>(got));
  }
}

int64_t WebSocketLayer::upgrade(const uint8_t* bytes, size_t size) {
  uint32_t limit = stream_.rules().upgrade.header_limit;
  if (!head_) {
    // No method begins so: not HTTP. Most likely MQTT on the wrong port.
    if (bytes[0] < 'A' || bytes[0] > 'Z') return refuse("400 Bad Request", "this is no HTTP request");
    head_ = std::make_unique<std::string>();
  }
  size_t searched = head_->size() < 3 ? 0 : head_->size() - 3;
  head_->append(reinterpret_cast<const char*>(bytes), size);
  size_t end = head_->find("\r\n\r\n", searched);
  bool whole = end != std::string::npos;
  if ((whole ? end + 4 : head_->size()) > limit) {
    return refuse("431 Request Header Fields Too Large", "the request's head is over the limit");
  }
  if (!whole) return -EAGAIN;

  Upgrade upgrade = answer_upgrade(std::string_view(*head_).substr(0, end + 4), stream_.rules().upgrade);
  if (end + 4 < head_->size() && upgrade.failure.empty()) early_ = std::make_unique<std::string>(*head_, end + 4);
  head_.reset();
  control_ = std::move(upgrade.answer);
  said_ = control_.size();
  if (!upgrade.failure.empty()) {
    state_ = State::Ended;
    return stream_.fail("WebSocket: " + upgrade.failure);
  }
  state_ = State::Open;
  upgraded_ = true;
  stream_.learn(wire::Fact::Protocol, "WebSocket " + upgrade.protocol);
  const Networks& trusted = stream_.rules().upgrade.trusted;
  if (stream_.peer() && trusted.contain(*stream_.peer())) {
    std::string named = forwarded_peer(upgrade.forwarded_for, trusted);
    if (!named.empty()) stream_.learn(wire::Fact::Address, std::move(named));
  }
  stream_.forget_peer();
  return -EAGAIN;
}

int64_t WebSocketLayer::refuse(const char* status, std::string failure) {
  Upgrade refused = refuse_upgrade(status, std::move(failure));
  head_.reset();
  control_ = std::move(refused.answer);
  state_ = State::Ended;
  return stream_.fail("WebSocket: " + refused.failure);
}

int64_t WebSocketLayer::take_early(uint8_t* into, size_t size) {
  size_t part = std::min(size, early_->size());
  std::memcpy(into, early_->data(), part);
  early_->erase(0, part);
  if (early_->empty()) early_.reset();
  return deliver(into, part);
}

int64_t WebSocketLayer::deliver(uint8_t* bytes, size_t size) {
  size_t at = 0, payload = 0;
  while (at < size) {
    WebSocketFrames::Step step = frames_.step(bytes + at, size - at, bytes + payload);
    at += step.used;
    payload += step.payload;
    if (step.event == WebSocketFrames::Event::Ping) {
      say(kPong, frames_.control());
    } else if (step.event != WebSocketFrames::Event::None) {
      // Echoed with finish(), behind the answers to what came before.
      close_code_ = frames_.close_code == WebSocketFrames::kNoStatus ? 1000 : frames_.close_code;
      early_.reset();
      ended_ = true;
      break;
    }
  }
  if (payload > 0) return static_cast<int64_t>(payload);
  return ended_ ? recv(bytes, size) : -EAGAIN;
}

void WebSocketLayer::say(uint8_t opcode, std::string_view payload) {
  if (control_.size() > kMostControl) {
    if (said_ > kMostControl) return;
    control_.resize(said_);
  }
  uint8_t header[10];
  uint32_t size = write_frame_header(header, opcode, payload.size());
  control_.append(reinterpret_cast<const char*>(header), size);
  control_.append(payload);
}

int WebSocketLayer::send_control() {
  while (!control_.empty()) {
    iovec part{control_.data(), control_.size()};
    if (said_ == 0) said_ = control_.size();
    int64_t taken = below().send(&part, 1, control_.size());
    if (taken < 0) return static_cast<int>(taken);
    control_.erase(0, static_cast<size_t>(taken));
    said_ = control_.size();
  }
  control_.shrink_to_fit();
  return 0;
}

int64_t WebSocketLayer::send(const iovec* parts, size_t count, size_t waiting) {
  // Nobody is there to read packets: the peer never became a WebSocket.
  if (state_ == State::Mqtt) return below().send(parts, count, waiting);
  if (!upgraded_) return static_cast<int64_t>(waiting);
  if (frame_left_ == 0) {
    if (int result = send_control(); result < 0) return result;
    frame_left_ = static_cast<uint32_t>(std::min(waiting, kMostFrame));
    header_at_ = 0;
    header_size_ = static_cast<uint8_t>(write_frame_header(header_, kBinary, frame_left_));
  }
  iovec all[kMostParts + 1];
  size_t used = 0;
  size_t header = static_cast<size_t>(header_size_ - header_at_);
  if (header) all[used++] = iovec{header_ + header_at_, header};
  size_t left = frame_left_;
  for (size_t i = 0; i < count && i < kMostParts && left > 0; ++i) {
    size_t part = std::min(parts[i].iov_len, left);
    all[used++] = iovec{parts[i].iov_base, part};
    left -= part;
  }
  int64_t taken = below().send(all, used, header + frame_left_);
  if (taken < 0) return taken;
  size_t of_header = std::min(header, static_cast<size_t>(taken));
  header_at_ = static_cast<uint8_t>(header_at_ + of_header);
  taken -= static_cast<int64_t>(of_header);
  frame_left_ -= static_cast<uint32_t>(taken);
  return taken > 0 ? taken : -EAGAIN;
}

int WebSocketLayer::flush() {
  if (frame_left_ == 0) {
    if (int result = send_control(); result < 0) return result;
  }
  return below().flush();
}

void WebSocketLayer::finish() {
  if (upgraded_ && !close_said_) {
    uint8_t frame[4] = {0x80 | kClose, 2, static_cast<uint8_t>(close_code_ >> 8), static_cast<uint8_t>(close_code_)};
    control_.append(reinterpret_cast<const char*>(frame), sizeof frame);
    close_said_ = true;
  }
  below().finish();
}

}  // namespace martlet
