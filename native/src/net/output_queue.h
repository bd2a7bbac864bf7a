// What a connection still has to send: a list of pieces, each either copied bytes in a pooled chunk, or a reference
// to bytes of this turn's inbox, or a reference to a block. OutputQueue is the small part each connection carries;
// OutputStore owns the memory behind all of them. Knows sockets only as a place to send to.
#pragma once

#include <cstdint>
#include <cstring>
#include <unordered_map>

#include "mqtt/kept_frames.h"
#include "net/buffer_pool.h"

namespace martlet {

class Layer;

// A pool buffer with copied bytes; shared by the pieces that lie in it.
struct Chunk {
  uint32_t capacity;  // of the pool buffer this header stands in
  uint32_t pieces;    // that hold it

  uint8_t* begin() { return reinterpret_cast<uint8_t*>(this + 1); }
  uint8_t* end() { return reinterpret_cast<uint8_t*>(this) + capacity; }
};

struct Piece {
  Piece* next;
  const uint8_t* data;  // first unsent byte
  uint32_t length;      // unsent bytes; of an open last piece only after seal()
  // A copied piece lies in `chunk`. A reference refers to `block` or, if that is null, to the inbox, whose body
  // [body_at, + body_size) holds the bytes; its `chunk`, if any, is the one before it, free from `rest` on: the next
  // frame's few bytes of header go there instead of into a chunk of their own.
  uint32_t body_at;
  uint32_t body_size;
  bool refers;
  Block* block;
  Chunk* chunk;
  uint8_t* rest;
};

// All zero is an empty queue.
struct OutputQueue {
  uint8_t* write_at;  // free space behind the last piece, if that one is copied bytes
  uint8_t* write_end;
  Piece* first;
  Piece* last;
  uint32_t bytes;
  uint32_t habit;  // bytes the last flush had copied: sizes the first chunk of the next one

  uint32_t room() const { return static_cast<uint32_t>(write_end - write_at); }
};

class OutputStore {
 public:
  explicit OutputStore(BufferPool& pool, const uint8_t* inbox) : pool_(pool), inbox_(inbox) {}
  ~OutputStore();
  OutputStore(const OutputStore&) = delete;
  OutputStore& operator=(const OutputStore&) = delete;

  /** Copies bytes to the end. */
  void append(OutputQueue& queue, const uint8_t* bytes, uint32_t size);
  /** Makes at least `size` bytes of contiguous room at write_at, if a chunk can hold them. */
  bool reserve(OutputQueue& queue, uint32_t size);
  void refer_to_block(OutputQueue& queue, Block* block, const uint8_t* bytes, uint32_t size);
  /** `at_once`: the queue will not be flushed in this turn, so take the bytes out of the inbox now. */
  void refer_to_inbox(OutputQueue& queue, const uint8_t* bytes, uint32_t size, uint32_t body_at, uint32_t body_size,
                      bool at_once);

  struct Sent {
    uint64_t bytes = 0;
    uint32_t calls = 0;
    uint32_t copied = 0;  // of the bytes last offered, those that lay in chunks
    int error = 0;  // positive errno; 0 also when the socket took less than there was
  };
  /** Sends until the queue is empty or the socket takes no more. */
  Sent send(OutputQueue& queue, int fd);
  /** The same through layers, which may take less than the socket would. */
  Sent send(OutputQueue& queue, Layer& layer);

  /** Turns references to the inbox into references to blocks: one copy for all receivers of a body. */
  void leave_inbox(OutputQueue& queue);
  /** The inbox is about to be overwritten: forget the blocks made from it. */
  void end_turn();
  void clear(OutputQueue& queue);
  /** Frees the pieces nobody uses. */
  void shrink();

 private:
  Piece* push(OutputQueue& queue);
  void free_piece(Piece* piece);
  void drop_chunk(Piece* piece);
  Piece* push_reference(OutputQueue& queue, const uint8_t* bytes, uint32_t size);
  void open_piece(OutputQueue& queue, uint32_t size);
  Block* block_of_body(uint32_t body_at, uint32_t body_size);
  void seal(OutputQueue& queue);
  void sent(OutputQueue& queue, uint64_t bytes);

  BufferPool& pool_;
  const uint8_t* inbox_;
  Piece* free_pieces_ = nullptr;
  uint32_t free_count_ = 0;
  std::unordered_map<uint32_t, Block*> bodies_;  // inbox bodies that outlive this turn, by offset
};

}  // namespace martlet
