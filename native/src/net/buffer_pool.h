// Owns the byte buffers connections borrow: input that waits for the rest of its packet, output that waits for its
// socket. Idle connections hold none. Free buffers are kept up to a cap: giving 64 KiB back to malloc every turn cost
// a third of all time (page faults).
#pragma once

#include <cstddef>
#include <cstdint>

namespace martlet {

class BufferPool {
 public:
  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  static constexpr size_t kSmall = 2 * 1024;
  static constexpr size_t kMiddle = 16 * 1024;
  static constexpr size_t kLarge = 64 * 1024;

  /** A buffer of at least `size` bytes; its real size comes back in `capacity` and must be given to `give`. */
  void* take(size_t size, uint32_t* capacity);
  void give(void* buffer, uint32_t capacity);
  /** Frees what nobody has borrowed. */
  void shrink();

 private:
  struct Free {
    Free* next;
  };
  struct Class {
    size_t size;
    uint32_t most;  // free buffers kept
    uint32_t count = 0;
    Free* first = nullptr;
  };
  Class classes_[3] = {{kSmall, 2048}, {kMiddle, 512}, {kLarge, 256}};
};

}  // namespace martlet
