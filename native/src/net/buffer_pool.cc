// Three size classes with free lists; anything larger goes to malloc. Out of memory ends the process: a broker that
// cannot buffer a packet header has nothing left to decide.
#include "net/buffer_pool.h"

#include <cstdlib>

namespace martlet {

BufferPool::~BufferPool() { shrink(); }

void BufferPool::shrink() {
  for (Class& one : classes_) {
    while (one.first) {
      Free* next = one.first->next;
      std::free(one.first);
      one.first = next;
    }
    one.count = 0;
  }
}

void* BufferPool::take(size_t size, uint32_t* capacity) {
  for (Class& one : classes_) {
    if (size > one.size) continue;
    *capacity = static_cast<uint32_t>(one.size);
    if (one.first) {
      Free* taken = one.first;
      one.first = taken->next;
      --one.count;
      return taken;
    }
    size = one.size;
    break;
  }
  *capacity = static_cast<uint32_t>(size);
  void* fresh = std::malloc(size);
  if (!fresh) std::abort();
  return fresh;
}

void BufferPool::give(void* buffer, uint32_t capacity) {
  for (Class& one : classes_) {
    if (one.size != capacity) continue;
    if (one.count >= one.most) break;
    auto* free = static_cast<Free*>(buffer);
    free->next = one.first;
    one.first = free;
    ++one.count;
    return;
  }
  std::free(buffer);
}

}  // namespace martlet
