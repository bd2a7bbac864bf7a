// Single promises of the reactor that need a kernel which does exactly as it is told.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fake_kernel.h"
#include "loop/reactor.h"
#include "testing.h"

using namespace martlet;
using wire::Kind;

namespace {

struct Record {
  Kind kind;
  int32_t first, slot, generation, a, b, c, d;
};

class Bench {
 public:
  explicit Bench(uint32_t read_size = 4096) : kernel(1) {
    kernel.whole_reads = true;
    Options options{16, read_size, 8, 4, 8, 1u << 20, 1u << 30, 20'000, 5'000, 1u << 22, 60'000, 4, true};
    Memory memory{inbox,      256,         inbox_bytes, sizeof inbox_bytes, outbox,    256,
                  outbox_bytes, sizeof outbox_bytes, last_read, last_write,  queued, bytes_in,
                  bytes_out,  left_out,    totals,      decisions};
    reactor = std::make_unique<Reactor>(options, memory, on_turn, this);
    reactor->open();
    ListenError error;
    reactor->listen(listen_options(), &error);
  }

  int connect() {
    int fd = kernel.connect();
    while (std::find(kernel.backlog.begin(), kernel.backlog.end(), fd) != kernel.backlog.end()) reactor->turn();
    return fd;
  }

  void say(int fd, const std::string& bytes) {
    auto& sent = kernel.sockets[fd].sent;
    sent.insert(sent.end(), bytes.begin(), bytes.end());
  }

  void command(std::vector<int32_t> words) {
    std::copy(words.begin(), words.end(), outbox + outbox[0]);
    outbox[0] += static_cast<int32_t>(words.size());
  }

  size_t count(Kind kind) const {
    size_t n = 0;
    for (const Record& record : records) n += record.kind == kind;
    return n;
  }

  static void on_turn(void* context, uint32_t count) {
    auto* self = static_cast<Bench*>(context);
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t* w = self->inbox + i * wire::kRecordWords;
      self->records.push_back(
          {static_cast<Kind>(w[0] & 0xFF), w[0] >> 8 & 0xFF, w[1], w[2], w[3], w[4], w[5], w[6]});
    }
  }

  FakeKernel kernel;
  std::vector<Record> records;
  int32_t inbox[256 * wire::kRecordWords];
  uint8_t inbox_bytes[16384];
  int32_t outbox[256];
  uint8_t outbox_bytes[8192] = {};
  double last_read[16], last_write[16], bytes_in[16], bytes_out[16], totals[wire::kTotals];
  uint32_t queued[16], left_out[16];
  int32_t decisions[1] = {1};
  std::unique_ptr<Reactor> reactor;  // last: it borrows all of the above
};

}  // namespace

TEST("accepted sockets get TCP_NODELAY, SO_KEEPALIVE and TCP_USER_TIMEOUT; the queue is as long as the system lets it be") {
  Bench bench;
  int fd = bench.connect();
  auto& options = bench.kernel.options[fd];
  CHECK((options[{IPPROTO_TCP, TCP_NODELAY}] == 1));
  CHECK((options[{SOL_SOCKET, SO_KEEPALIVE}] == 1));
  CHECK((options[{IPPROTO_TCP, TCP_USER_TIMEOUT}] == 60'000));
  CHECK(bench.kernel.listen_backlog == sockets::somaxconn());
}

TEST("a firehose gets one read a turn, and its neighbours are told in the same turn") {
  Bench bench(64);
  int firehose = bench.connect();
  int neighbour = bench.connect();
  for (int i = 0; i < 1000; ++i) bench.say(firehose, std::string("\x30\x03\0\x01t", 5));
  bench.records.clear();
  bench.say(neighbour, std::string("\xC0\0", 2));
  bench.reactor->turn();
  CHECK(bench.kernel.sockets[firehose].read == 64);
  CHECK(bench.records.size() == 13);
  CHECK(bench.records.back().first == 0xC0 || bench.records.front().first == 0xC0);
}

TEST("drained is told once, when output that crossed high water falls to low water") {
  Bench bench;
  int fd = bench.connect();
  Record opened = bench.records.back();
  FakeSocket& socket = bench.kernel.sockets[fd];
  socket.window = 1000;
  for (int i = 0; i < 3; ++i) bench.command({1, opened.slot, opened.generation, 0, 8000});
  bench.reactor->before_sleep();
  CHECK(bench.queued[opened.slot] == 23'000);
  socket.window = 17'000;  // leaves 6,000: above low water
  bench.reactor->turn();
  CHECK(bench.count(Kind::Drained) == 0);
  socket.window = 1000;
  bench.reactor->turn();
  CHECK(bench.count(Kind::Drained) == 1);
  socket.window = 10'000;
  bench.reactor->turn();
  CHECK(bench.count(Kind::Drained) == 1 && bench.queued[opened.slot] == 0);
  CHECK(!bench.kernel.ready());
}

TEST("what a peer sent before it reset our answer is told; then closed, with the errno of the write") {
  Bench bench(64);
  int fd = bench.connect();
  Record opened = bench.records.back();
  FakeSocket& socket = bench.kernel.sockets[fd];
  for (int i = 0; i < 50; ++i) bench.say(fd, std::string("\xC0\0", 2));
  socket.reset = true;
  bench.command({2 | 2 << 8, opened.slot, opened.generation, 0xD0});
  bench.reactor->before_sleep();  // the write finds the reset first
  for (int i = 0; i < 5; ++i) bench.reactor->turn();
  CHECK(bench.count(Kind::Packet) == 50);
  CHECK(bench.count(Kind::Ended) == 0);
  CHECK(bench.records.back().kind == Kind::Closed);
  CHECK(bench.records.back().a == static_cast<int32_t>(wire::CloseReason::SocketError));
  CHECK(bench.records.back().b == ECONNRESET);
}

TEST("out of descriptors: the listener pauses, is told once, and goes on when it may") {
  Bench bench;
  bench.connect();
  bench.kernel.descriptors = 1;
  for (int i = 0; i < 3; ++i) bench.kernel.connect();
  for (int i = 0; i < 20; ++i) bench.reactor->turn();
  CHECK(bench.count(Kind::AcceptPaused) == 1);
  CHECK(!bench.kernel.ready());
  bench.kernel.descriptors = 100;
  bench.command({18, 0});
  bench.reactor->before_sleep();
  for (int i = 0; i < 5; ++i) bench.reactor->turn();
  CHECK(bench.count(Kind::Opened) == 4);
}

TEST("a receiver that is not written to takes no system call") {
  Bench bench;
  int fd = bench.connect();
  Record opened = bench.records.back();
  bench.kernel.sockets[fd].window = 10;
  bench.command({1, opened.slot, opened.generation, 0, 100});
  bench.reactor->before_sleep();
  double sends = bench.totals[static_cast<size_t>(wire::Total::Sends)];
  for (int i = 0; i < 10; ++i) {
    bench.command({1, opened.slot, opened.generation, 0, 100});
    bench.reactor->before_sleep();
    bench.reactor->turn();
  }
  CHECK(bench.totals[static_cast<size_t>(wire::Total::Sends)] == sends);
  CHECK(bench.queued[opened.slot] == 1090);
}

// Two admitted connections and a shortcut from the first to the second for topic `t`, which has the id 1.
struct Pair {
  Bench bench;
  int from_fd = bench.connect();
  Record from = bench.records.back();
  int to_fd = bench.connect();
  Record to = bench.records.back();

  Pair() {
    for (const Record& each : {from, to}) bench.command({13, each.slot, each.generation, 0, 0, 0});
    bench.reactor->before_sleep();
    publish("t");
    publish("t");
    shortcut(1, 1);
  }

  void shortcut(int32_t topic, int32_t decision) {
    bench.command({19, topic, from.slot, from.generation, to.slot, to.generation, 0, decision});
    bench.reactor->before_sleep();
  }

  // How many packets TypeScript was told of for one PUBLISH, in one turn of its own.
  size_t publish(const std::string& topic, uint8_t first = 0x30) {
    size_t before = bench.count(Kind::Packet);
    auto size = static_cast<char>(topic.size());
    bench.say(from_fd, std::string{static_cast<char>(first), static_cast<char>(topic.size() + 3), 0, size} + topic + "x");
    bench.reactor->turn();
    return bench.count(Kind::Packet) - before;
  }

  double taken() const { return bench.totals[static_cast<size_t>(wire::Total::Shortcuts)]; }
};

TEST("a shortcut holds for its decision's number, its topic and plain QoS 0, and no turn is told of what takes it") {
  Pair pair;
  CHECK(pair.publish("t") == 0 && pair.taken() == 1);
  CHECK(pair.bench.kernel.sockets[pair.to_fd].received.size() == 6);
  CHECK(pair.publish("u") == 1);
  CHECK(pair.publish("t", 0x31) == 1);
  pair.bench.decisions[0] = 2;
  CHECK(pair.publish("t") == 1 && pair.taken() == 1);
  pair.shortcut(1, 2);
  CHECK(pair.publish("t") == 0 && pair.taken() == 2);
}

TEST("a topic id that changes hands has no shortcut any more") {
  Pair pair;
  // Eight ids: all of them go round.
  for (int round = 0; round < 4; ++round) {
    for (char name = 'a'; name <= 'z'; ++name) {
      if (name != 't') pair.publish(std::string(1, name));
    }
  }
  CHECK(pair.bench.count(Kind::Forgotten) > 8);
  CHECK(pair.taken() == 0);
  CHECK(pair.bench.kernel.sockets[pair.to_fd].received.empty());
}

TEST("a shortcut to a connection that is gone tells its packets, and one past the table is refused") {
  Pair pair;
  pair.bench.command({15, pair.to.slot, pair.to.generation, 0});
  pair.bench.reactor->before_sleep();
  CHECK(pair.publish("t") == 1 && pair.taken() == 0);
  pair.shortcut(9, 1);
  CHECK(pair.bench.reactor->take_error() == "shortcut: no such topic id");
}
