// One PUBLISH on its way out, described but not yet written: fixed header, head (topic), packet identifier, middle
// (MQTT 5 properties), tail (payload). Borrows all bytes; the same description serves every receiver.
#pragma once

#include <cstdint>
#include <cstring>

#include "mqtt/kept_frames.h"
#include "mqtt/splitter.h"

namespace martlet {

// From here on a payload is referenced by each output queue instead of being copied: below, a copy is cheaper than
// an iovec and a reference to give back.
constexpr uint32_t kReferenceFrom = 1024;

struct Bytes {
  const uint8_t* data = nullptr;
  uint32_t size = 0;
};

struct PublishFrame {
  uint32_t total = 0;   // bytes on the wire
  uint32_t copied = 0;  // of them, bytes copied to each receiver; the rest is `tail`, by reference
  uint8_t header[5] = {};
  uint8_t header_size = 0;
  bool has_id = false;
  bool never_left_out = false;
  bool tail_is_copied = true;
  Bytes head, middle, tail;
  // Where the tail lives, if it is referenced: in a block, or in the inbox body [body_at, body_at + body_size).
  Block* block = nullptr;
  uint32_t body_at = 0;
  uint32_t body_size = 0;

  /** Fixes sizes and header. False: longer than a Control Packet can be. */
  bool finish(uint8_t first);

  /** Writes the `copied` bytes; returns where they end. */
  uint8_t* write(uint8_t* at, uint16_t packet_id) const {
    std::memcpy(at, header, 5);  // always 5: a constant-size copy is one store, and `copied` leaves room for it
    at += header_size;
    if (head.size) {
      std::memcpy(at, head.data, head.size);
      at += head.size;
    }
    if (has_id) {
      *at++ = static_cast<uint8_t>(packet_id >> 8);
      *at++ = static_cast<uint8_t>(packet_id);
    }
    if (middle.size) {
      std::memcpy(at, middle.data, middle.size);
      at += middle.size;
    }
    if (tail_is_copied) {
      std::memcpy(at, tail.data, tail.size);
      at += tail.size;
    }
    return at;
  }

  /** Offset of the packet identifier in the written bytes. */
  uint32_t id_at() const { return header_size + head.size; }

  // What a caller must have free to call write(): five header bytes are always stored.
  static constexpr uint32_t kSlack = 4;
};

}  // namespace martlet
