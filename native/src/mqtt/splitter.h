// Where one MQTT Control Packet ends and the next begins: the fixed header and nothing behind it.
// Pure: bytes in, lengths out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace martlet {

constexpr uint32_t kMaxRemainingLength = 268'435'455;

struct FixedHeader {
  uint8_t first = 0;
  uint8_t length = 0;  // bytes of the fixed header itself
  uint32_t body = 0;   // Remaining Length
  uint32_t total() const { return length + body; }
};

enum class HeaderState { Complete, Incomplete, Malformed };

/** Reads the fixed header at `bytes`. Malformed: the fourth length byte says that a fifth follows. */
inline HeaderState read_fixed_header(const uint8_t* bytes, size_t size, FixedHeader* out) {
  if (size < 2) return HeaderState::Incomplete;
  out->first = bytes[0];
  if (bytes[1] < 0x80) {  // nearly every packet
    out->length = 2;
    out->body = bytes[1];
    return HeaderState::Complete;
  }
  uint32_t value = bytes[1] & 0x7F;
  for (uint32_t i = 2; i <= 4; ++i) {
    if (i >= size) return HeaderState::Incomplete;
    value |= static_cast<uint32_t>(bytes[i] & 0x7F) << (7 * (i - 1));
    if (bytes[i] < 0x80) {
      out->length = static_cast<uint8_t>(i + 1);
      out->body = value;
      return HeaderState::Complete;
    }
  }
  return HeaderState::Malformed;
}

constexpr bool is_publish(uint8_t first) { return (first & 0xF0) == 0x30; }
// A PUBLISH with QoS 0 and no RETAIN.
constexpr uint8_t kPlainQos0 = 0x30;
constexpr bool has_packet_id(uint8_t publish_first) { return (publish_first & 0x06) != 0; }

/** Length of the Topic Name of a PUBLISH body, or -1 if it overruns the body. */
inline int32_t topic_length(const uint8_t* body, uint32_t size) {
  if (size < 2) return -1;
  uint32_t length = static_cast<uint32_t>(body[0]) << 8 | body[1];
  return length + 2 <= size ? static_cast<int32_t>(length) : -1;
}

}  // namespace martlet
