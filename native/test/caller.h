// A reactor that makes connections of its own, on the fake kernel, and remembers what was told of them. Owns both.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fake_kernel.h"
#include "loop/reactor.h"
#include "testing.h"

namespace caller {

using namespace martlet;
using wire::CloseReason;
using wire::Kind;

struct Told {
  Kind kind;
  int32_t slot, generation, a, b;
  std::string text;
};

class Caller {
 public:
  static constexpr uint32_t kMostSlots = 256;

  explicit Caller(uint32_t slots = 16) : kernel(1) {
    kernel.whole_reads = true;
    Options options{slots, 4096, 8, 4, 8, 1u << 20, 1u << 30, 20'000, 5'000, 1u << 22, 60'000, 4, true};
    Memory memory{inbox,      64,         inbox_bytes, sizeof inbox_bytes, outbox,    256,
                  outbox_bytes, sizeof outbox_bytes, last_read, last_write,  queued, bytes_in,
                  bytes_out,  left_out,    totals,      decisions};
    reactor = std::make_unique<Reactor>(options, memory, on_turn, this);
    CHECK(reactor->open() == 0);
  }

  static ConnectOptions to(const char* host = "127.0.0.1") {
    ConnectOptions options;
    options.host = host;
    options.port = 1883;
    return options;
  }

  /** The descriptor of a connection underway; -1, with `error` filled in, when it failed at once. */
  int connect(const ConnectOptions& options = to()) {
    if (!reactor->connect(options, &id, &error)) return -1;
    return kernel.dialed.back();
  }

  void command(std::vector<int32_t> words) {
    std::copy(words.begin(), words.end(), outbox + outbox[0]);
    outbox[0] += static_cast<int32_t>(words.size());
  }

  void close(ConnectionId which) { command({15, static_cast<int32_t>(which.slot), which.generation, 0}); }

  void turn() {
    reactor->before_sleep();  // what the test commanded is written outside a turn
    reactor->turn();
    reactor->before_sleep();
    CHECK(reactor->take_error().empty());
  }

  double total(wire::Total index) const { return totals[static_cast<size_t>(index)]; }
  bool fails_with(int expected, const char* syscall) const { return error.error == expected && std::string(error.syscall) == syscall; }
  /** Everything was told, nothing is open, nothing keeps the loop awake. */
  bool is_quiet() { return total(wire::Total::Connections) == 0 && kernel.open_sockets() == 0 && !kernel.ready(); }

  static void on_turn(void* context, uint32_t count) {
    auto* self = static_cast<Caller*>(context);
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t* w = self->inbox + i * wire::kRecordWords;
      auto kind = static_cast<Kind>(w[0] & 0xFF);
      bool text = kind == Kind::Opened || kind == Kind::Learned || kind == Kind::StreamFailed;
      self->told.push_back({kind, w[1], w[2], w[3], w[4],
                            text ? std::string(reinterpret_cast<char*>(self->inbox_bytes + w[4]), static_cast<size_t>(w[5])) : ""});
      if (kind == Kind::Opened && self->greets) self->command({2 | 2 << 8, w[1], w[2], 0xC0});
    }
  }

  FakeKernel kernel;
  std::vector<Told> told;
  ConnectionId id;
  ConnectError error;
  bool greets = false;
  int32_t inbox[64 * wire::kRecordWords];
  uint8_t inbox_bytes[16'384];
  int32_t outbox[256];
  uint8_t outbox_bytes[256] = {};
  double last_read[kMostSlots], last_write[kMostSlots], bytes_in[kMostSlots], bytes_out[kMostSlots], totals[wire::kTotals];
  uint32_t queued[kMostSlots], left_out[kMostSlots];
  int32_t decisions[1] = {1};
  std::unique_ptr<Reactor> reactor;  // last: it borrows all of the above
};

}  // namespace caller
