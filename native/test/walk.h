// A random walk over the whole reactor against the fake kernel: what walk_test.cc begins, walk_peers.cc does on the peers'
// side, and walk_contract.cc reads and commands on the side of TypeScript. Owns the kernel, the shared memory and the reactor.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fake_kernel.h"
#include "loop/reactor.h"

namespace walk {

using namespace martlet;
using Bytes = std::vector<uint8_t>;

struct Packet {
  uint8_t first;
  Bytes body;
};

Bytes encoded(const Packet& packet);

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
  explicit Walk(uint32_t seed);

  /** Some steps, and to rest; `wild`: with commands that may be anything. */
  void run(bool wild);

 private:
  void turn();
  void complain();
  void settle();

  // the peers: walk_peers.cc
  void act();
  void dial();
  void answer(Peer& peer, FakeSocket& socket);
  void say(Peer& peer, FakeSocket& socket);

  // the other side of the contract: walk_contract.cc
  static void on_turn(void* context, uint32_t records) { static_cast<Walk*>(context)->take(records); }
  void take(uint32_t records);
  void opened(const int32_t* w);
  void packet(Peer& peer, const int32_t* w);
  void publish(const int32_t* w, const Bytes& body);
  void expect(Peer& to, const Bytes& bytes);
  void command();
  void wild();
  void resume_all();
  void write(const std::vector<int32_t>& words);
  Peer* by_id(int32_t slot, int32_t generation);
  Peer* any_underway();
  Peer* any_open();

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

}  // namespace walk
