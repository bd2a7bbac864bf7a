// Blocks: reference-counted bytes that outlive their turn. KeptFrames: the handles TypeScript (positive) and native
// code (negative) know them by. A handle is one reference; each output queue that still sends the block is another.
#pragma once

#include <cstdint>
#include <vector>

namespace martlet {

struct Block {
  uint32_t references;
  uint32_t capacity;
  uint32_t length;
  uint32_t head;  // bytes of topic length and Topic Name, at the start
  uint32_t tail;  // where the payload begins

  uint8_t* data() { return reinterpret_cast<uint8_t*>(this + 1); }

  /** An empty block with one reference. */
  static Block* create(uint32_t capacity);
  /** Moves a block nobody else refers to; `*this` is gone afterwards. */
  Block* grown(uint32_t capacity);
  void retain() { ++references; }
  void release();
};

class KeptFrames {
 public:
  KeptFrames() = default;
  ~KeptFrames();
  KeptFrames(const KeptFrames&) = delete;
  KeptFrames& operator=(const KeptFrames&) = delete;

  /** Whether TypeScript may put a block under this handle: positive, not absurd, free. */
  bool is_free(int32_t handle) const;
  /** Takes over one reference. `handle` must be free. */
  void put(int32_t handle, Block* block);
  /** Takes over one reference; returns a negative handle. */
  int32_t add(Block* block);
  /** The block, or null for a handle that names none. */
  Block* find(int32_t handle) const;
  /** Gives the handle's reference up. False: no such handle. */
  bool release(int32_t handle);
  void clear();

  uint64_t count() const { return count_; }
  uint64_t bytes() const { return bytes_; }

  // A handle is an index: this is what stands between a stray word and a table of gigabytes.
  static constexpr int32_t kMostHandles = 1 << 24;

 private:
  Block** cell(int32_t handle);

  std::vector<Block*> given_;  // by TypeScript's handle - 1
  std::vector<Block*> native_;  // by -handle - 1
  std::vector<int32_t> free_native_;
  uint64_t count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace martlet
