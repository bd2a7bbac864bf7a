#include "net/connection.h"

#include <sys/mman.h>

#include <cstdlib>

namespace martlet {

static_assert(sizeof(Connection) == 128);
static_assert(sizeof(OutputQueue) == 40);

ConnectionTable::ConnectionTable(uint32_t size) : size_(size) {
  void* memory = mmap(nullptr, size * sizeof(Connection), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  connections_ = static_cast<Connection*>(memory);
}

ConnectionTable::~ConnectionTable() { munmap(connections_, size_ * sizeof(Connection)); }

// Used slots before fresh ones: a process that sees a million short connections touches few pages. Among the used, the
// one that has been free for longest.
uint32_t ConnectionTable::take() {
  uint32_t slot = first_free_;
  if (slot != kNone) {
    first_free_ = connections_[slot].next_free;
    if (first_free_ == kNone) last_free_ = kNone;
  } else if (touched_ < size_) {
    slot = touched_++;
  } else {
    return kNone;
  }
  Connection& connection = connections_[slot];
  // 0 is never a generation: a zeroed (slot, generation) names nobody.
  auto generation = static_cast<int32_t>(static_cast<uint32_t>(connection.generation) + 1);
  if (generation == 0) generation = 1;
  connection = Connection{};
  connection.generation = generation;
  connection.fd = -1;
  return slot;
}

void ConnectionTable::give(uint32_t slot) {
  Connection& connection = connections_[slot];
  connection.state = State::Free;
  connection.next_free = kNone;
  if (last_free_ == kNone) {
    first_free_ = slot;
  } else {
    connections_[last_free_].next_free = slot;
  }
  last_free_ = slot;
}

}  // namespace martlet
