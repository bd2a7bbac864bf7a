// The fixed header of every input, whole and cut at every byte, and a PUBLISH put together from parts and split again:
// what one side writes the other must read.
#include <cstring>
#include <vector>

#include "input.h"
#include "mqtt/publish_frame.h"
#include "mqtt/splitter.h"

using namespace martlet;

namespace {

// Never null, as no place in the inbox is; of its exact size, so that one byte read too far is found.
std::vector<uint8_t> exact(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes;
  bytes.reserve(size + (size == 0));
  bytes.assign(data, data + size);
  return bytes;
}

void check_header(const uint8_t* data, size_t size) {
  auto whole = exact(data, size);
  FixedHeader header;
  HeaderState state = read_fixed_header(whole.data(), size, &header);
  if (state == HeaderState::Complete) {
    CHECK(header.length >= 2 && header.length <= 5 && header.length <= size);
    CHECK(header.body <= kMaxRemainingLength && header.first == data[0]);
  }
  for (size_t cut = 0; cut < size && cut < 6; ++cut) {
    auto part = exact(data, cut);
    FixedHeader early;
    HeaderState then = read_fixed_header(part.data(), cut, &early);
    if (then == HeaderState::Incomplete) continue;
    CHECK(then == state);  // more bytes never change what was said
    CHECK(then == HeaderState::Malformed || (early.length == header.length && early.body == header.body));
  }
}

void check_topic(const uint8_t* data, size_t size) {
  auto body = exact(data, size);
  int32_t length = topic_length(body.data(), static_cast<uint32_t>(size));
  CHECK(length >= -1);
  CHECK(length == -1 || static_cast<size_t>(length) + 2 <= size);
}

void check_frame(Input in) {
  uint8_t first = 0x30 | (in.byte() & 0x0F);
  uint16_t id = static_cast<uint16_t>(in.two());
  auto piece = [&in] {
    const uint8_t* at;
    size_t size = in.bytes(in.byte(), &at);
    return exact(at, size);
  };
  auto head_bytes = piece();
  auto middle = piece();
  // Around the size from which a tail is referenced instead of copied, and where the length grows by a byte.
  const uint32_t length = in.two() % 17'000;
  std::vector<uint8_t> tail(length + (length == 0), in.byte());
  tail.resize(length);

  PublishFrame frame;
  frame.head = {head_bytes.data(), static_cast<uint32_t>(head_bytes.size())};
  frame.middle = {middle.data(), static_cast<uint32_t>(middle.size())};
  frame.tail = {tail.data(), static_cast<uint32_t>(tail.size())};
  if (!frame.finish(first)) return;
  std::vector<uint8_t> wire(frame.copied + PublishFrame::kSlack);
  uint8_t* end = frame.write(wire.data(), id);
  CHECK(end == wire.data() + frame.copied);
  wire.resize(frame.copied);
  if (!frame.tail_is_copied) wire.insert(wire.end(), tail.begin(), tail.end());
  CHECK(wire.size() == frame.total);

  FixedHeader header;
  CHECK(read_fixed_header(wire.data(), wire.size(), &header) == HeaderState::Complete);
  CHECK(header.first == first && header.total() == wire.size());
  const uint8_t* at = wire.data() + header.length;
  auto same = [&](const std::vector<uint8_t>& bytes) {
    CHECK(bytes.empty() || std::memcmp(at, bytes.data(), bytes.size()) == 0);
    at += bytes.size();
  };
  same(head_bytes);
  if (has_packet_id(first)) {
    CHECK(frame.id_at() == static_cast<uint32_t>(at - wire.data()));
    CHECK(at[0] == id >> 8 && at[1] == (id & 0xFF));
    at += 2;
  }
  same(middle);
  same(tail);
  CHECK(at == wire.data() + wire.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check_header(data, size);
  check_topic(data, size);
  check_frame(Input(data, size));
  return 0;
}
