// Random walks over the whole reactor against the fake kernel: peers that send, stall, end and reset at any moment,
// sizes at which every overflow happens, commands right and wrong. After each turn the promises of native/index.d.ts
// are checked; at the end every byte must be where it belongs.
#include <errno.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fake_kernel.h"
#include "loop/reactor.h"
#include "testing.h"

using namespace martlet;

namespace {

using Bytes = std::vector<uint8_t>;

struct Packet {
  uint8_t first;
  Bytes body;
};

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

// What the test knows about a peer and its connection.
struct Peer {
  int fd = -1;
  uint32_t slot = 0;
  int32_t generation = 0;
  bool dialed = false;  // ours: slot and generation are known from the start
  bool opened = false, ended = false, closed = false, finished = false, left_out = false;
  std::deque<Packet> to_tell;  // sent and not told yet
  Bytes expected;              // what the reactor was told to send
};

class Walk {
 public:
  explicit Walk(uint32_t seed) : kernel_(seed), random_(kernel_.random) {
    bool tiny = random_() % 2;
    options_ = Options{8, tiny ? 64u : 4096u, 8, 4, 3, 1u << 20, 1u << 30, 20'000, 5'000, tiny ? 700u : 100'000u, 0, 4, true};
    inbox_.resize((tiny ? 64 : 512) * wire::kRecordWords);
    inbox_bytes_.resize(tiny ? 4096 : 20'000);
    outbox_.resize(tiny ? 256 : 4096);
    outbox_bytes_.resize(256);
    memory_ = Memory{inbox_.data(),    static_cast<uint32_t>(inbox_.size() / wire::kRecordWords),
                     inbox_bytes_.data(), static_cast<uint32_t>(inbox_bytes_.size()),
                     outbox_.data(),   static_cast<uint32_t>(outbox_.size()),
                     outbox_bytes_.data(), static_cast<uint32_t>(outbox_bytes_.size()),
                     last_read_,       last_write_,
                     queued_,          bytes_in_,
                     bytes_out_,       left_out_,
                     totals_,          decisions_};
    reactor_ = std::make_unique<Reactor>(options_, memory_, on_turn, this);
    CHECK(reactor_->open() == 0);
    ListenError error;
    CHECK(reactor_->listen(listen_options(), &error) == 0);
  }

  void run(bool wild) {
    wild_ = wild;
    if (random_() % 4 == 0) kernel_.descriptors = 4;
    for (int step = 0; step < 150 && !testing::failed; ++step) {
      act();
      if (random_() % 3 == 0) turn();
    }
    settle();
    reactor_->close(true);
    for (auto& peer : peers_) CHECK(peer->closed || (!peer->opened && !peer->dialed));
    CHECK(totals_[static_cast<size_t>(wire::Total::Connections)] == 0);
    CHECK(totals_[static_cast<size_t>(wire::Total::QueuedBytes)] == 0);
    CHECK(totals_[static_cast<size_t>(wire::Total::PartialBytes)] == 0);
    reactor_.reset();
    for (auto& [fd, socket] : kernel_.sockets) {
      bool queued = std::find(kernel_.backlog.begin(), kernel_.backlog.end(), fd) != kernel_.backlog.end();
      CHECK(queued || !socket.open);
    }
  }

 private:
  void turn() {
    reactor_->turn();
    complain();
    reactor_->before_sleep();
    complain();
  }

  void complain() {
    std::string error = reactor_->take_error();
    if (!wild_ && !error.empty()) {
      std::printf("%s\n", error.c_str());
      testing::failed = true;
    }
  }

  // Lets everything that can still move come to rest.
  void settle() {
    settling_ = true;
    kernel_.descriptors = SIZE_MAX;
    for (auto& peer : peers_) {
      FakeSocket& socket = kernel_.sockets[peer->fd];
      socket.window = SIZE_MAX / 2;
      if (socket.connecting) answer(*peer, socket);
    }
    int idle = 0;
    for (int i = 0; i < 20'000 && idle < 3 && !testing::failed; ++i) {
      resume_all();
      uint64_t before = told_;
      bool busy = kernel_.ready();
      turn();
      idle = told_ == before && !busy ? idle + 1 : 0;
    }
    CHECK(idle >= 3);  // no spin
    for (auto& peer : peers_) {
      FakeSocket& socket = kernel_.sockets[peer->fd];
      if (!peer->opened || wild_) continue;
      if (!peer->closed && !peer->finished && !socket.reset) CHECK(peer->to_tell.empty());
      if (!peer->closed && !socket.reset && !peer->left_out) CHECK(socket.received == peer->expected);
      CHECK(socket.received.size() <= peer->expected.size());
      CHECK(std::equal(socket.received.begin(), socket.received.end(), peer->expected.begin()));
      if (peer->finished && socket.fin && !socket.reset) CHECK(peer->closed);
      if (socket.reset) CHECK(peer->closed);
    }
  }

  // -- the peers

  void act() {
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

  void dial() {
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

  void answer(Peer& peer, FakeSocket& socket) {
    static const int errors[] = {0, 0, 0, ECONNREFUSED, ETIMEDOUT, ECONNRESET};
    socket.to_itself = random_() % 10 == 0;
    kernel_.answer(peer.fd, errors[random_() % 6]);
  }

  void say(Peer& peer, FakeSocket& socket) {
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

  // -- the other side of the contract

  static void on_turn(void* context, uint32_t records) { static_cast<Walk*>(context)->take(records); }

  void take(uint32_t records) {
    bool other_seen = false;
    for (uint32_t i = 0; i < records; ++i) {
      ++told_;
      const int32_t* w = &inbox_[i * wire::kRecordWords];
      auto kind = static_cast<wire::Kind>(w[0] & 0xFF);
      if (kind == wire::Kind::Forgotten) {
        CHECK(!other_seen);
        CHECK(names_.erase(w[3]) == 1);
        continue;
      }
      other_seen = true;
      if (kind == wire::Kind::Topic) {
        CHECK(!names_.contains(w[3]));
        names_[w[3]] = std::string(reinterpret_cast<char*>(&inbox_bytes_[static_cast<size_t>(w[4])]),
                                   static_cast<size_t>(w[5]));
        continue;
      }
      if (kind == wire::Kind::AcceptPaused) {
        paused_listener_ = true;
        continue;
      }
      if (kind == wire::Kind::Refused) continue;
      if (kind == wire::Kind::Opened) {
        opened(w);
        continue;
      }
      Peer* peer = by_id(w[1], w[2]);
      CHECK(peer && !peer->closed && (peer->opened || (peer->dialed && kind == wire::Kind::Closed)));
      if (!peer) continue;
      if (kind == wire::Kind::Packet) packet(*peer, w);
      if (kind == wire::Kind::Overflowed) CHECK(w[3] + w[4] > 0);
      if (kind == wire::Kind::Ended) {
        CHECK(!peer->ended);
        peer->ended = true;
        CHECK(peer->to_tell.empty());
      }
      if (kind == wire::Kind::Closed) peer->closed = true;
      if (kind == wire::Kind::Malformed || kind == wire::Kind::Oversized) CHECK(wild_);
    }
    command();
    reactor_->execute();
  }

  void opened(const int32_t* w) {
    // Accepted in the order they connected; those that were refused are skipped.
    for (auto& peer : peers_) {
      FakeSocket& socket = kernel_.sockets[peer->fd];
      uint64_t tag = static_cast<uint64_t>(static_cast<uint32_t>(w[2])) << 32 | static_cast<uint32_t>(w[1]);
      if (peer->opened || socket.tag != tag) continue;
      CHECK(peer->dialed == (w[3] == -1));
      peer->opened = true;
      peer->slot = static_cast<uint32_t>(w[1]);
      peer->generation = w[2];
      if (random_() % 4) write({13, w[1], w[2], 0, 0, 0});
      return;
    }
    CHECK(false);
  }

  void packet(Peer& peer, const int32_t* w) {
    CHECK(!peer.ended);
    CHECK(!peer.to_tell.empty());
    if (peer.to_tell.empty()) return;
    Packet& expected = peer.to_tell.front();
    CHECK(expected.first == (w[0] >> 8 & 0xFF));
    Bytes body(static_cast<size_t>(w[5]));
    if (w[6]) {
      CHECK(reactor_->read_kept(w[6], 0, body.data(), body.size()) == static_cast<int64_t>(body.size()));
    } else {
      std::copy_n(&inbox_bytes_[static_cast<size_t>(w[4])], body.size(), body.begin());
    }
    CHECK(body == expected.body);
    if (w[3]) {
      CHECK((expected.first & 0xF0) == 0x30);
      CHECK(names_.contains(w[3]) && names_[w[3]] == std::string(body.begin() + 2, body.begin() + 2 + body[1]));
    }
    if ((expected.first & 0xF0) == 0x30) publish(w, body);
    if (w[6]) write({10, w[6]});
    peer.to_tell.pop_front();
  }

  void publish(const int32_t* w, const Bytes& body) {
    int32_t tail = 2 + body[1] + ((w[0] >> 8 & 6) ? 2 : 0);
    uint8_t first = random_() % 2 ? 0x30 : 0x32;
    Packet out{first, {body.begin(), body.begin() + 2 + body[1]}};
    if (first & 6) out.body.insert(out.body.end(), {0x12, 0x34});
    out.body.insert(out.body.end(), body.begin() + tail, body.end());
    Bytes bytes = encoded(out);
    uint32_t how = random_() % 6;
    if (w[6]) {
      write({9, w[6], tail});
      if (Peer* to = any_open()) {
        write({4 | first << 8 | 0x1234 << 16, static_cast<int32_t>(to->slot), to->generation, w[6], 0, 0});
        expect(*to, bytes);
      }
    } else if (how < 3) {
      if (Peer* to = any_open()) {
        write({3 | first << 8 | 0x1234 << 16, static_cast<int32_t>(to->slot), to->generation, w[4], w[5], w[4] + tail, 0, 0});
        expect(*to, bytes);
      }
    } else if (how == 3) {
      write({8, 1, w[4], w[5], w[4] + tail});
      if (Peer* to = any_open()) {
        write({4 | first << 8 | 0x1234 << 16, static_cast<int32_t>(to->slot), to->generation, 1, 0, 0});
        expect(*to, bytes);
      }
      write({10, 1});
    } else if (how == 4 && first == 0x30) {
      int32_t size = 0;
      for (auto& to : peers_) {
        if (!to->opened) continue;
        write({11, 3, size++, static_cast<int32_t>(to->slot), to->generation});
        if (!to->closed) expect(*to, bytes);
      }
      write({12, 3, size});
      if (size) write({5 | first << 8, 3, w[4], w[5], w[4] + tail, 0, 0, -1});
    } else {
      std::vector<int32_t> words{7 | first << 8, 0, w[4], w[5], w[4] + tail, 0, 0};
      for (auto& to : peers_) {
        if (!to->opened || random_() % 2) continue;
        words.insert(words.end(), {static_cast<int32_t>(to->slot), to->generation, 0x1234});
        ++words[1];
        if (!to->closed) expect(*to, bytes);
      }
      write(words);
    }
  }

  void expect(Peer& to, const Bytes& bytes) {
    if (!to.finished) to.expected.insert(to.expected.end(), bytes.begin(), bytes.end());
  }

  void command() {
    if (paused_listener_ && random_() % 3 == 0) {
      write({18, 0});
      paused_listener_ = false;
    }
    if (wild_ && !settling_) wild();
    if (wild_ || settling_) return;
    Peer* peer = any_open();
    if (Peer* underway = random_() % 20 ? nullptr : any_underway()) {
      write({random_() % 2 ? 14 : 15, static_cast<int32_t>(underway->slot), underway->generation, 0});
      if (outbox_[outbox_[0] - 4] == 14) --outbox_[0];  // finish has one word less
    }
    if (!peer) return;
    auto slot = static_cast<int32_t>(peer->slot);
    switch (random_() % 30) {
      case 0:
        write({14, slot, peer->generation});
        peer->finished = true;
        break;
      case 1:
        write({15, slot, peer->generation, static_cast<int32_t>(random_() % 2)});
        peer->finished = true;
        break;
      case 2:
      case 3:
        write({16, slot, peer->generation});
        break;
      case 4:
      case 5:
        write({17, slot, peer->generation});
        break;
      default:
        if (peer->ended) {
          write({14, slot, peer->generation});
          peer->finished = true;
        }
    }
  }

  // Words that may be right, nearly right, or anything.
  void wild() {
    for (uint32_t i = random_() % 30; i > 0; --i) {
      std::vector<int32_t> words{static_cast<int32_t>(random_() % 20 | random_() % 0x10000 << 8)};
      for (uint32_t n = random_() % 9; n > 0; --n) {
        switch (random_() % 4) {
          case 0:
            words.push_back(static_cast<int32_t>(random_()));
            break;
          case 1:
            words.push_back(static_cast<int32_t>(random_() % inbox_bytes_.size()));
            break;
          default:
            words.push_back(static_cast<int32_t>(random_() % 10) - 2);
        }
      }
      write(words);
    }
    if (random_() % 50 == 0) outbox_[0] = static_cast<int32_t>(random_());
  }

  void resume_all() {
    for (auto& peer : peers_) {
      if (peer->opened) write({17, static_cast<int32_t>(peer->slot), peer->generation});
    }
    if (paused_listener_) write({18, 0});
    paused_listener_ = false;
  }

  void write(const std::vector<int32_t>& words) {
    if (static_cast<size_t>(outbox_[0]) + words.size() > outbox_.size()) {
      reactor_->execute();
      complain();
    }
    std::copy(words.begin(), words.end(), outbox_.begin() + outbox_[0]);
    outbox_[0] += static_cast<int32_t>(words.size());
  }

  Peer* by_id(int32_t slot, int32_t generation) {
    for (auto& peer : peers_) {
      if ((peer->opened || peer->dialed) && static_cast<int32_t>(peer->slot) == slot && peer->generation == generation) return peer.get();
    }
    return nullptr;
  }

  Peer* any_underway() {
    for (auto& peer : peers_) {
      if (peer->dialed && !peer->opened && !peer->closed) return peer.get();
    }
    return nullptr;
  }

  Peer* any_open() {
    std::vector<Peer*> open;
    for (auto& peer : peers_) {
      if (peer->opened && !peer->closed && !peer->finished) open.push_back(peer.get());
    }
    return open.empty() ? nullptr : open[random_() % open.size()];
  }

  FakeKernel kernel_;
  std::mt19937& random_;
  Options options_;
  Memory memory_;
  std::vector<int32_t> inbox_, outbox_;
  Bytes inbox_bytes_, outbox_bytes_;
  double last_read_[8], last_write_[8], bytes_in_[8], bytes_out_[8], totals_[wire::kTotals];
  uint32_t queued_[8], left_out_[8];
  int32_t decisions_[1] = {1};
  std::unique_ptr<Reactor> reactor_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::map<int32_t, std::string> names_;
  uint64_t told_ = 0;
  bool wild_ = false;
  bool settling_ = false;
  bool paused_listener_ = false;
};

}  // namespace

TEST("random walks keep every promise of the contract") {
  for (uint32_t seed = 0; seed < testing::rounds && !testing::failed; ++seed) {
    Walk walk(seed);
    walk.run(false);
    if (testing::failed) std::printf("seed %u\n", seed);
  }
}

TEST("wild commands are refused and corrupt nothing") {
  for (uint32_t seed = 0; seed < testing::rounds && !testing::failed; ++seed) {
    Walk walk(seed);
    walk.run(true);
    if (testing::failed) std::printf("wild seed %u\n", seed);
  }
}
