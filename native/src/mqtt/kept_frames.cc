// Tables indexed by handle; a null cell is a free handle.
#include "mqtt/kept_frames.h"

#include <algorithm>
#include <cstdlib>

namespace martlet {

Block* Block::create(uint32_t capacity) {
  auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + capacity));
  if (!block) std::abort();
  *block = Block{1, capacity, 0, 0, 0};
  return block;
}

Block* Block::grown(uint32_t capacity) {
  // realloc: above malloc's mmap threshold the kernel moves the pages and nothing is copied.
  auto* block = static_cast<Block*>(std::realloc(static_cast<void*>(this), sizeof(Block) + capacity));
  if (!block) std::abort();
  block->capacity = capacity;
  return block;
}

void Block::release() {
  if (--references == 0) std::free(this);
}

KeptFrames::~KeptFrames() { clear(); }

void KeptFrames::clear() {
  for (auto* table : {&given_, &native_}) {
    for (Block* block : *table) {
      if (block) block->release();
    }
    table->clear();
  }
  free_native_.clear();
  count_ = bytes_ = 0;
}

bool KeptFrames::is_free(int32_t handle) const {
  if (handle < 1 || handle > kMostHandles) return false;
  auto index = static_cast<size_t>(handle - 1);
  return index >= given_.size() || !given_[index];
}

void KeptFrames::put(int32_t handle, Block* block) {
  auto index = static_cast<size_t>(handle - 1);
  if (index >= given_.size()) given_.resize(std::max(index + 1, given_.size() * 2));
  given_[index] = block;
  ++count_;
  bytes_ += block->length;
}

int32_t KeptFrames::add(Block* block) {
  int32_t handle;
  if (free_native_.empty()) {
    native_.push_back(nullptr);
    handle = -static_cast<int32_t>(native_.size());
  } else {
    handle = free_native_.back();
    free_native_.pop_back();
  }
  native_[static_cast<size_t>(-(handle + 1))] = block;
  ++count_;
  bytes_ += block->length;
  return handle;
}

Block** KeptFrames::cell(int32_t handle) {
  std::vector<Block*>& table = handle > 0 ? given_ : native_;
  // -(handle + 1) cannot overflow, -handle could.
  auto index = static_cast<size_t>(handle > 0 ? handle - 1 : -(handle + 1));
  return handle != 0 && index < table.size() && table[index] ? &table[index] : nullptr;
}

Block* KeptFrames::find(int32_t handle) const {
  Block** found = const_cast<KeptFrames*>(this)->cell(handle);
  return found ? *found : nullptr;
}

bool KeptFrames::release(int32_t handle) {
  Block** found = cell(handle);
  if (!found) return false;
  --count_;
  bytes_ -= (*found)->length;
  (*found)->release();
  *found = nullptr;
  if (handle < 0) free_native_.push_back(handle);
  return true;
}

}  // namespace martlet
