// The peers of a fuzzed story, on the fake kernel: they connect with what the listener's layers want to hear, and talk, packets
// right and wrong. Owns the kernel.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "fake_kernel.h"
#include "mqtt/splitter.h"
#include "net/listener.h"

namespace story {

using namespace martlet;

struct Step {
  uint8_t op, who;
  uint16_t a, b, c;
};

class Peers {
 public:
  explicit Peers(uint32_t seed) : kernel(seed) {}

  // What is spoken at the listener: half of the stories with plain TCP, the rest through stream layers.
  ListenOptions door(uint8_t kind) {
    ListenOptions options;
    options.host = "127.0.0.1";
    if (kind % 2 == 0) return options;
    auto rules = std::make_shared<StreamRules>();
    framed_ = kind % 4 == 1;
    proxied_ = kind % 8 > 2;
    rules->protocol = framed_ ? Protocol::WebSockets : kind % 8 == 7 ? Protocol::Any : Protocol::Mqtt;
    rules->proxy = proxied_;
    options.rules = rules;
    return options;
  }

  FakeSocket* peer(uint8_t who) {
    if (kernel.sockets.empty()) return nullptr;
    auto at = kernel.sockets.begin();
    std::advance(at, who % kernel.sockets.size());
    FakeSocket& socket = at->second;
    return socket.fin || socket.reset || socket.sent.size() > 400'000 ? nullptr : &socket;
  }

  // Mostly with what the listener's layers want to hear first.
  void connect(const Step& step) {
    FakeSocket& socket = kernel.sockets[kernel.connect()];
    socket.window = step.a;
    if (step.b % 8 == 7) return;
    static const char header[] = "PROXY TCP4 10.1.2.3 10.1.2.4 1234 1883\r\n";
    static const char upgrade[] =
        "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    if (proxied_) socket.sent.insert(socket.sent.end(), header, header + sizeof header - 1);
    if (framed_) socket.sent.insert(socket.sent.end(), upgrade, upgrade + sizeof upgrade - 1);
  }

  // As binary frames of WebSocket, masked with zeroes, where that is spoken; sometimes cut in two.
  void deliver(FakeSocket& socket, const std::vector<uint8_t>& bytes, bool cut) {
    auto& sent = socket.sent;
    if (!framed_) {
      sent.insert(sent.end(), bytes.begin(), bytes.end());
      return;
    }
    const size_t middle = cut ? bytes.size() / 2 : bytes.size();
    for (auto [from, to] : {std::pair{size_t{0}, middle}, std::pair{middle, bytes.size()}}) {
      const size_t size = to - from;
      if (size == 0 && from > 0) break;
      sent.push_back(static_cast<uint8_t>((from == 0 ? 0x02 : 0x00) | (to == bytes.size() ? 0x80 : 0)));
      sent.push_back(static_cast<uint8_t>(0x80 | (size < 126 ? size : 126)));
      if (size >= 126) sent.insert(sent.end(), {static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size)});
      sent.insert(sent.end(), 4, 0);
      sent.insert(sent.end(), bytes.begin() + static_cast<long>(from), bytes.begin() + static_cast<long>(to));
    }
  }

  // A packet as clients send it: mostly PUBLISH, of sizes around every limit, sometimes with a lie in its lengths.
  void say_packet(const Step& step) {
    FakeSocket* socket = peer(step.who);
    if (!socket) return;
    static const uint8_t kinds[] = {0x30, 0x32, 0x34, 0x31, 0x3D, 0xC0, 0x10, 0x82, 0x40, 0x62};
    const uint8_t first = kinds[step.b % sizeof kinds];
    std::vector<uint8_t> body;
    if (is_publish(first)) {
      const uint32_t name = step.c % 9 == 8 ? step.c % 1500 : step.c % 9;
      const uint32_t told = step.c % 31 == 30 ? name + step.a : name;
      body.push_back(static_cast<uint8_t>(told >> 8));
      body.push_back(static_cast<uint8_t>(told));
      body.insert(body.end(), name, static_cast<uint8_t>('a' + step.c % 7));
      if (has_packet_id(first)) body.insert(body.end(), {0, 1});
    }
    body.insert(body.end(), step.a % 16 == 0 ? step.a % 6000 : step.a % 100, static_cast<uint8_t>(step.b));
    std::vector<uint8_t> sent{first};
    size_t rest = body.size();
    do {
      sent.push_back(static_cast<uint8_t>((rest & 0x7F) | (rest > 0x7F ? 0x80 : 0)));
      rest >>= 7;
    } while (rest);
    sent.insert(sent.end(), body.begin(), body.end());
    deliver(*socket, sent, step.a % 5 == 4);
  }

  void say_raw(const Step& step) {
    if (FakeSocket* socket = peer(step.who)) {
      const uint8_t bytes[] = {static_cast<uint8_t>(step.a), static_cast<uint8_t>(step.a >> 8),
                               static_cast<uint8_t>(step.b), static_cast<uint8_t>(step.b >> 8),
                               static_cast<uint8_t>(step.c), static_cast<uint8_t>(step.c >> 8)};
      socket->sent.insert(socket->sent.end(), bytes, bytes + 1 + step.a % 6);
    }
  }

  FakeKernel kernel;

 private:
  bool framed_ = false, proxied_ = false;
};

}  // namespace story
