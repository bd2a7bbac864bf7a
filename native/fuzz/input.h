// Fuzzer input as a source of decisions: reads never fail, behind the end come zeroes. Also CHECK, which a fuzzer sees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) {                                              \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                  \
    }                                                                \
  } while (0)

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  bool empty() const { return at_ == end_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  uint8_t byte() { return at_ == end_ ? 0 : *at_++; }
  uint32_t two() {
    uint32_t high = byte();
    return high << 8 | byte();
  }
  uint32_t four() {
    uint32_t high = two();
    return high << 16 | two();
  }
  /** At most `most` bytes of what is left; how many there were. */
  size_t bytes(size_t most, const uint8_t** out) {
    size_t count = most < left() ? most : left();
    *out = at_;
    at_ += count;
    return count;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};
