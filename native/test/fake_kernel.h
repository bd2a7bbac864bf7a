// A kernel for one reactor: sockets.h implemented over byte vectors, with short reads, short writes, full windows, FIN,
// resets and signals wherever the test wants them. Level-triggered, like the real one. One instance at a time.
#pragma once

#include <errno.h>

#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "net/sockets.h"

struct FakeSocket {
  // the peer's side
  std::vector<uint8_t> sent;  // to the reactor
  size_t read = 0;            // of them, what the reactor has read
  bool fin = false;
  bool reset = false;
  std::vector<uint8_t> received;  // from the reactor
  size_t window = 1 << 20;        // what it still takes
  // the reactor's side
  bool write_ended = false;
  bool open = true;
  bool reset_told = false;
  // sockets the reactor opened itself: what connect() and SO_ERROR say
  bool dialed = false;
  bool connecting = false;
  bool to_itself = false;
  int error = 0;
  uint32_t events = 0;
  uint64_t tag = 0;
};

class FakeKernel {
 public:
  explicit FakeKernel(uint32_t seed) : random(seed) { current = this; }
  ~FakeKernel() { current = nullptr; }

  /** A new connection in the listen queue; its descriptor. */
  int connect();

  /** The handshake of a socket that connects is over: it stands, or has failed with `error`. */
  void answer(int fd, int error = 0);
  /** The descriptors of the reactor's own sockets, in the order they were opened. */
  std::vector<int> dialed;
  int connect_result = -EINPROGRESS;  // of the next connect() calls
  int bind_result = 0;
  bool vanishes = false;  // peers go away between SO_ERROR and getpeername()

  static FakeKernel* current;
  std::mt19937 random;
  std::map<int, FakeSocket> sockets;
  std::vector<int> backlog;
  size_t descriptors = SIZE_MAX;  // accept fails with EMFILE when so many sockets are open
  bool whole_reads = false;       // no short reads
  bool interrupts = true;         // signals interrupt calls: what sockets.cc does about EINTR happens here, too
  bool changes_its_mind = false;  // a socket epoll called ready may say EAGAIN all the same
  double time = 1000;
  int listen_backlog = -1;
  std::map<int, std::map<std::pair<int, int>, int>> options;  // by descriptor, then (level, name)

  // used by the implementation
  int next_fd = 100;
  int listener = -1;
  uint32_t listener_events = 0;
  uint64_t listener_tag = 0;
  int wake = -1;
  uint64_t wake_tag = 0;
  bool wake_set = false;
  int last_polled = 0;

  size_t open_sockets() const;
  bool ready();  // whether epoll would report anything
};
