// Random walks over the whole reactor against the fake kernel: peers that send, stall, end and reset at any moment,
// sizes at which every overflow happens, commands right and wrong. After each turn the promises of native/index.d.ts
// are checked; at the end every byte must be where it belongs.
#include <algorithm>

#include "testing.h"
#include "walk.h"

namespace walk {

Walk::Walk(uint32_t seed) : kernel_(seed), random_(kernel_.random) {
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

void Walk::run(bool wild) {
  wild_ = wild;
  if (random_() % 4 == 0) kernel_.descriptors = 4;
  kernel_.changes_its_mind = random_() % 2;
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

void Walk::turn() {
  reactor_->turn();
  complain();
  reactor_->before_sleep();
  complain();
}

void Walk::complain() {
  std::string error = reactor_->take_error();
  if (!wild_ && !error.empty()) {
    std::printf("%s\n", error.c_str());
    testing::failed = true;
  }
}

// Lets everything that can still move come to rest.
void Walk::settle() {
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

}  // namespace walk

using walk::Walk;

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
