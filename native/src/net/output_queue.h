// What a connection still has to send: a list of pieces, each either a pooled chunk with copied bytes, or a reference
// to bytes of this turn's inbox, or a reference to a block. OutputQueue is the small part each connection carries;
// OutputStore owns the memory behind all of them. Knows sockets only as a place to send to.
#pragma once

#include <cstdint>
#include <cstring>
#include <unordered_map>

#include "mqtt/kept_frames.h"
#include "net/buffer_pool.h"

namespace martlet {

struct Piece {
  Piece* next;
  const uint8_t* data;  // first unsent byte
  uint32_t length;      // unsent bytes; of the last chunk only after seal()
  uint32_t capacity;    // size of the pool buffer this header stands in; 0: a reference
  Block* block;         // reference to a block; null: to the inbox, whose body [body_at, + body_size) holds the bytes
  uint32_t body_at;
  uint32_t body_size;
};

// All zero is an empty queue.
struct OutputQueue {
  uint8_t* write_at;  // free space of the last piece, if that is a chunk
  uint8_t* write_end;
  Piece* first;
  Piece* last;
  uint32_t bytes;
  uint32_t habit;  // what the last flush sent: sizes the first chunk of the next one

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
    int error = 0;  // positive errno; 0 also when the socket took less than there was
  };
  /** Sends until the queue is empty or the socket takes no more. */
  Sent send(OutputQueue& queue, int fd);

  /** Turns references to the inbox into references to blocks: one copy for all receivers of a body. */
  void leave_inbox(OutputQueue& queue);
  /** The inbox is about to be overwritten: forget the blocks made from it. */
  void end_turn();
  void clear(OutputQueue& queue);

 private:
  Piece* push(OutputQueue& queue, Piece* piece);
  Piece* take_reference();
  void free_piece(Piece* piece);
  void add_chunk(OutputQueue& queue, uint32_t size);
  Block* block_of_body(uint32_t body_at, uint32_t body_size);
  void seal(OutputQueue& queue);
  void sent(OutputQueue& queue, uint64_t bytes);

  BufferPool& pool_;
  const uint8_t* inbox_;
  Piece* free_references_ = nullptr;
  uint32_t free_count_ = 0;
  std::unordered_map<uint32_t, Block*> bodies_;  // inbox bodies that outlive this turn, by offset
};

}  // namespace martlet
