// The peers of a random walk: they connect and are connected to, send, stall, end and reset at any moment.
#include <errno.h>

#include "testing.h"
#include "walk.h"

namespace walk {

Bytes encoded(const Packet& packet) {
  Bytes out{packet.first};
  auto rest = static_cast<uint32_t>(packet.body.size());
  do {
    out.push_back(static_cast<uint8_t>((rest & 0x7F) | (rest > 0x7F ? 0x80 : 0)));
    rest >>= 7;
  } while (rest);
  out.insert(out.end(), packet.body.begin(), packet.body.end());
  return out;
}

void Walk::act() {
  if (peers_.size() < 12 && random_() % 6 == 0) {
    peers_.push_back(std::make_unique<Peer>());
    peers_.back()->fd = kernel_.connect();
    kernel_.sockets[peers_.back()->fd].window = random_() % 5000;
    return;
  }
  if (peers_.size() < 12 && random_() % 8 == 0) return dial();
  if (peers_.empty()) return;
  Peer& peer = *peers_[random_() % peers_.size()];
  FakeSocket& socket = kernel_.sockets[peer.fd];
  if (socket.connecting) {
    if (random_() % 2) answer(peer, socket);
    return;
  }
  uint32_t what = random_() % 40;
  if (what == 0) {
    socket.fin = true;
  } else if (what == 1) {
    socket.reset = true;
  } else if (what < 12) {
    socket.window += random_() % 20'000;
  } else if (!socket.fin && !socket.reset) {
    for (uint32_t i = random_() % 40; i > 0; --i) say(peer, socket);
  }
}

void Walk::dial() {
  static const int results[] = {-EINPROGRESS, -EINPROGRESS, -EINPROGRESS, 0, -ECONNREFUSED, -EADDRNOTAVAIL};
  kernel_.connect_result = results[random_() % 6];
  ConnectOptions options;
  options.host = "::1";
  ConnectionId id;
  ConnectError error;
  if (!reactor_->connect(options, &id, &error)) return;
  peers_.push_back(std::make_unique<Peer>());
  Peer& peer = *peers_.back();
  peer.fd = kernel_.dialed.back();
  peer.slot = id.slot;
  peer.generation = id.generation;
  peer.dialed = true;
  kernel_.sockets[peer.fd].window = random_() % 5000;
}

void Walk::answer(Peer& peer, FakeSocket& socket) {
  static const int errors[] = {0, 0, 0, ECONNREFUSED, ETIMEDOUT, ECONNRESET};
  socket.to_itself = random_() % 10 == 0;
  kernel_.answer(peer.fd, errors[random_() % 6]);
}

void Walk::say(Peer& peer, FakeSocket& socket) {
  Packet packet;
  uint32_t kind = random_() % 20;
  packet.first = kind == 0 ? 0xC0 : static_cast<uint8_t>(0x30 | (random_() % 3) << 1);
  if (kind != 0) {
    std::string topic = "t/" + std::to_string(random_() % 15);
    packet.body = {0, static_cast<uint8_t>(topic.size())};
    packet.body.insert(packet.body.end(), topic.begin(), topic.end());
    if (packet.first & 6) packet.body.insert(packet.body.end(), {1, 2});
    size_t payload = random_() % (kind == 1 ? 30'000 : kind < 5 ? 1800 : 60);
    for (size_t i = 0; i < payload; ++i) packet.body.push_back(static_cast<uint8_t>(random_()));
  }
  Bytes bytes = encoded(packet);
  socket.sent.insert(socket.sent.end(), bytes.begin(), bytes.end());
  peer.to_tell.push_back(std::move(packet));
}

}  // namespace walk
