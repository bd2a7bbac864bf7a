#include "net/output_queue.h"

#include <errno.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>

#include "net/layer.h"
#include "net/sockets.h"

namespace martlet {

namespace {

constexpr uint32_t kMostFreePieces = 8192;
constexpr size_t kMostParts = 64;
// Less room than this at a chunk's end is not worth a piece.
constexpr ptrdiff_t kLeastRest = 64;

}  // namespace

OutputStore::~OutputStore() {
  end_turn();
  shrink();
}

void OutputStore::shrink() {
  while (free_pieces_) {
    Piece* next = free_pieces_->next;
    std::free(free_pieces_);
    free_pieces_ = next;
  }
  free_count_ = 0;
}

Piece* OutputStore::push(OutputQueue& queue) {
  Piece* piece = free_pieces_;
  if (piece) {
    free_pieces_ = piece->next;
    --free_count_;
  } else {
    piece = static_cast<Piece*>(std::malloc(sizeof(Piece)));
    if (!piece) std::abort();
  }
  *piece = Piece{};
  if (queue.last) {
    queue.last->next = piece;
  } else {
    queue.first = piece;
  }
  queue.last = piece;
  return piece;
}

void OutputStore::drop_chunk(Piece* piece) {
  if (piece->chunk && --piece->chunk->pieces == 0) pool_.give(piece->chunk, piece->chunk->capacity);
  piece->chunk = nullptr;
}

void OutputStore::free_piece(Piece* piece) {
  drop_chunk(piece);
  if (piece->block) piece->block->release();
  if (free_count_ >= kMostFreePieces) {
    std::free(piece);
    return;
  }
  piece->next = free_pieces_;
  free_pieces_ = piece;
  ++free_count_;
}

// An open piece's length is kept as write_at alone, so that appending touches no header.
void OutputStore::seal(OutputQueue& queue) {
  if (queue.write_at) queue.last->length = static_cast<uint32_t>(queue.write_at - queue.last->data);
}

/** A new last piece with room for some bytes: at least `size`, if a chunk of the usual size holds them. */
void OutputStore::open_piece(OutputQueue& queue, uint32_t size) {
  seal(queue);
  Piece* before = queue.last;
  if (before && before->refers && before->chunk && before->chunk->end() - before->rest >= static_cast<ptrdiff_t>(size)) {
    Piece* piece = push(queue);
    piece->chunk = before->chunk;  // takes the other piece's hold over
    piece->data = queue.write_at = before->rest;
    queue.write_end = piece->chunk->end();
    before->chunk = nullptr;
    return;
  }
  // A first chunk as large as what this connection usually sends a turn; every further one is of the next size.
  size_t usual = before && before->chunk ? before->chunk->capacity * size_t{8} : queue.habit;
  size_t wish = std::min(std::max<size_t>(size, usual) + sizeof(Chunk), BufferPool::kLarge);
  uint32_t capacity;
  auto* chunk = static_cast<Chunk*>(pool_.take(wish, &capacity));
  *chunk = Chunk{capacity, 1};
  if (before && before->refers) drop_chunk(before);
  Piece* piece = push(queue);
  piece->chunk = chunk;
  piece->data = queue.write_at = chunk->begin();
  queue.write_end = chunk->end();
}

void OutputStore::append(OutputQueue& queue, const uint8_t* bytes, uint32_t size) {
  queue.bytes += size;
  while (size > 0) {
    if (queue.room() == 0) open_piece(queue, size);
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
  open_piece(queue, size);
  return true;
}

Piece* OutputStore::push_reference(OutputQueue& queue, const uint8_t* bytes, uint32_t size) {
  seal(queue);
  Piece* before = queue.last;
  Piece* piece = push(queue);
  piece->refers = true;
  piece->data = bytes;
  piece->length = size;
  if (before && before->refers) {
    piece->chunk = before->chunk;
    piece->rest = before->rest;
    before->chunk = nullptr;
  } else if (before && queue.write_end - queue.write_at >= kLeastRest) {
    piece->chunk = before->chunk;
    piece->rest = queue.write_at;
    ++piece->chunk->pieces;
  }
  queue.bytes += size;
  queue.write_at = queue.write_end = nullptr;
  return piece;
}

void OutputStore::refer_to_block(OutputQueue& queue, Block* block, const uint8_t* bytes, uint32_t size) {
  block->retain();
  push_reference(queue, bytes, size)->block = block;
}

void OutputStore::refer_to_inbox(OutputQueue& queue, const uint8_t* bytes, uint32_t size, uint32_t body_at,
                                 uint32_t body_size, bool at_once) {
  if (at_once) {
    Block* block = block_of_body(body_at, body_size);
    refer_to_block(queue, block, block->data() + (bytes - (inbox_ + body_at)), size);
    return;
  }
  Piece* piece = push_reference(queue, bytes, size);
  piece->body_at = body_at;
  piece->body_size = body_size;
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
    if (!piece->refers || piece->block) continue;
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
    result.copied = 0;
    if (!queue.first->next) {
      offered = queue.first->length;
      if (!queue.first->refers) result.copied = queue.first->length;
      taken = sockets::send(fd, queue.first->data, offered);
    } else {
      iovec parts[kMostParts];
      size_t count = 0;
      for (Piece* piece = queue.first; piece && count < kMostParts; piece = piece->next) {
        parts[count++] = iovec{const_cast<uint8_t*>(piece->data), piece->length};
        offered += piece->length;
        if (!piece->refers) result.copied += piece->length;
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

OutputStore::Sent OutputStore::send(OutputQueue& queue, Layer& layer) {
  seal(queue);
  Sent result;
  while (queue.first) {
    iovec parts[kMostParts];
    size_t count = 0;
    result.copied = 0;
    for (Piece* piece = queue.first; piece && count < kMostParts; piece = piece->next) {
      parts[count++] = iovec{const_cast<uint8_t*>(piece->data), piece->length};
      if (!piece->refers) result.copied += piece->length;
    }
    int64_t taken = layer.send(parts, count, queue.bytes);
    ++result.calls;
    if (taken < 0) {
      if (taken != -EAGAIN) result.error = static_cast<int>(-taken);
      break;
    }
    result.bytes += static_cast<uint64_t>(taken);
    sent(queue, static_cast<uint64_t>(taken));
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
