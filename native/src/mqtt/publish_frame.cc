#include "mqtt/publish_frame.h"

namespace martlet {

bool PublishFrame::finish(uint8_t first) {
  has_id = has_packet_id(first);
  uint64_t body = uint64_t{head.size} + (has_id ? 2 : 0) + middle.size + tail.size;
  if (body > kMaxRemainingLength) return false;

  header[0] = first;
  header_size = 1;
  auto rest = static_cast<uint32_t>(body);
  do {
    uint8_t low = rest & 0x7F;
    rest >>= 7;
    header[header_size++] = static_cast<uint8_t>(rest ? low | 0x80 : low);
  } while (rest);

  total = header_size + static_cast<uint32_t>(body);
  tail_is_copied = tail.size < kReferenceFrom;
  copied = tail_is_copied ? total : total - tail.size;

  // Same QoS 0 in and out: topic and payload stand side by side already, one copy does for both.
  if (tail_is_copied && !has_id && middle.size == 0 && head.data + head.size == tail.data) {
    tail = {head.data, head.size + tail.size};
    head.size = 0;
  }
  return true;
}

}  // namespace martlet
