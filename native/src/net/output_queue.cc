#include "net/output_queue.h"

#include <errno.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>

#include "net/sockets.h"

namespace martlet {

namespace {

constexpr uint32_t kMostFreeReferences = 4096;
constexpr size_t kMostParts = 64;

}  // namespace

OutputStore::~OutputStore() {
  end_turn();
  while (free_references_) {
    Piece* next = free_references_->next;
    std::free(free_references_);
    free_references_ = next;
  }
}

Piece* OutputStore::take_reference() {
  Piece* piece = free_references_;
  if (piece) {
    free_references_ = piece->next;
    --free_count_;
  } else {
    piece = static_cast<Piece*>(std::malloc(sizeof(Piece)));
    if (!piece) std::abort();
  }
  return piece;
}

void OutputStore::free_piece(Piece* piece) {
  if (piece->capacity) {
    pool_.give(piece, piece->capacity);
    return;
  }
  if (piece->block) piece->block->release();
  if (free_count_ >= kMostFreeReferences) {
    std::free(piece);
    return;
  }
  piece->next = free_references_;
  free_references_ = piece;
  ++free_count_;
}

// The last chunk's length is kept as write_at alone, so that appending touches no header.
void OutputStore::seal(OutputQueue& queue) {
  if (queue.write_at) queue.last->length = static_cast<uint32_t>(queue.write_at - queue.last->data);
}

Piece* OutputStore::push(OutputQueue& queue, Piece* piece) {
  piece->next = nullptr;
  if (queue.last) {
    queue.last->next = piece;
  } else {
    queue.first = piece;
  }
  queue.last = piece;
  return piece;
}

void OutputStore::add_chunk(OutputQueue& queue, uint32_t size) {
  seal(queue);
  // A first chunk as large as what this connection usually sends a turn; every further one is larger.
  size_t wish = std::max<size_t>(size, queue.first ? queue.bytes * size_t{2} : queue.habit) + sizeof(Piece);
  wish = std::min(wish, BufferPool::kLarge);
  uint32_t capacity;
  auto* piece = static_cast<Piece*>(pool_.take(wish, &capacity));
  auto* data = reinterpret_cast<uint8_t*>(piece + 1);
  *piece = Piece{nullptr, data, 0, capacity, nullptr, 0, 0};
  push(queue, piece);
  queue.write_at = data;
  queue.write_end = reinterpret_cast<uint8_t*>(piece) + capacity;
}

void OutputStore::append(OutputQueue& queue, const uint8_t* bytes, uint32_t size) {
  queue.bytes += size;
  while (size > 0) {
    if (queue.room() == 0) add_chunk(queue, size);
    uint32_t part = std::min(size, queue.room());
    std::memcpy(queue.write_at, bytes, part);
    queue.write_at += part;
    bytes += part;
    size -= part;
  }
}

bool OutputStore::reserve(OutputQueue& queue, uint32_t size) {
  if (queue.room() >= size) return true;
  // Not for the sake of a large frame in a half-full chunk: append() splits it instead and wastes nothing.
  if (size > BufferPool::kSmall / 4) return false;
  add_chunk(queue, size);
  return true;
}

void OutputStore::refer_to_block(OutputQueue& queue, Block* block, const uint8_t* bytes, uint32_t size) {
  seal(queue);
  block->retain();
  Piece* piece = take_reference();
  *piece = Piece{nullptr, bytes, size, 0, block, 0, 0};
  push(queue, piece);
  queue.bytes += size;
  queue.write_at = queue.write_end = nullptr;
}

void OutputStore::refer_to_inbox(OutputQueue& queue, const uint8_t* bytes, uint32_t size, uint32_t body_at,
                                 uint32_t body_size, bool at_once) {
  if (at_once) {
    Block* block = block_of_body(body_at, body_size);
    refer_to_block(queue, block, block->data() + (bytes - (inbox_ + body_at)), size);
    return;
  }
  seal(queue);
  Piece* piece = take_reference();
  *piece = Piece{nullptr, bytes, size, 0, nullptr, body_at, body_size};
  push(queue, piece);
  queue.bytes += size;
  queue.write_at = queue.write_end = nullptr;
}

Block* OutputStore::block_of_body(uint32_t body_at, uint32_t body_size) {
  Block*& block = bodies_[body_at];
  if (!block) {
    block = Block::create(body_size);
    block->length = body_size;
    std::memcpy(block->data(), inbox_ + body_at, body_size);
  }
  return block;
}

void OutputStore::leave_inbox(OutputQueue& queue) {
  for (Piece* piece = queue.first; piece; piece = piece->next) {
    if (piece->capacity || piece->block) continue;
    Block* block = block_of_body(piece->body_at, piece->body_size);
    block->retain();
    piece->data = block->data() + (piece->data - (inbox_ + piece->body_at));
    piece->block = block;
  }
}

void OutputStore::end_turn() {
  if (bodies_.empty()) return;
  for (auto& [_, block] : bodies_) block->release();
  bodies_.clear();
}

OutputStore::Sent OutputStore::send(OutputQueue& queue, int fd) {
  seal(queue);
  Sent result;
  while (queue.first) {
    int64_t taken;
    size_t offered = 0;
    if (!queue.first->next) {
      offered = queue.first->length;
      taken = sockets::send(fd, queue.first->data, offered);
    } else {
      iovec parts[kMostParts];
      size_t count = 0;
      for (Piece* piece = queue.first; piece && count < kMostParts; piece = piece->next) {
        parts[count++] = iovec{const_cast<uint8_t*>(piece->data), piece->length};
        offered += piece->length;
      }
      taken = sockets::send(fd, parts, count);
    }
    ++result.calls;
    if (taken < 0) {
      if (taken != -EAGAIN) result.error = static_cast<int>(-taken);
      break;
    }
    result.bytes += static_cast<uint64_t>(taken);
    sent(queue, static_cast<uint64_t>(taken));
    if (static_cast<size_t>(taken) < offered) break;  // asking again would only be told EAGAIN
  }
  return result;
}

void OutputStore::sent(OutputQueue& queue, uint64_t bytes) {
  queue.bytes -= static_cast<uint32_t>(bytes);
  while (queue.first && bytes >= queue.first->length) {
    Piece* done = queue.first;
    bytes -= done->length;
    queue.first = done->next;
    free_piece(done);
  }
  if (!queue.first) {
    queue.last = nullptr;
    queue.write_at = queue.write_end = nullptr;
    return;
  }
  queue.first->data += bytes;
  queue.first->length -= static_cast<uint32_t>(bytes);
}

void OutputStore::clear(OutputQueue& queue) {
  while (queue.first) {
    Piece* next = queue.first->next;
    free_piece(queue.first);
    queue.first = next;
  }
  queue = OutputQueue{};
}

}  // namespace martlet
