#include "net/web_socket_frames.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace martlet {

namespace {

constexpr uint8_t kContinuation = 0, kText = 1;
constexpr uint16_t kProtocolError = 1002, kUnsupported = 1003, kNotUtf8 = 1007;

bool is_control(uint8_t opcode) { return opcode >= 8; }

// Little-endian, like the mask: the first byte is the lowest.
uint32_t unmask(const uint8_t* from, size_t size, uint8_t* to, uint32_t mask) {
  size_t i = 0;
  uint64_t wide = uint64_t{mask} << 32 | mask;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    std::memcpy(&word, from + i, 8);
    word ^= wide;
    std::memcpy(to + i, &word, 8);
  }
  for (; i < size; ++i) {
    to[i] = from[i] ^ static_cast<uint8_t>(mask);
    mask = std::rotr(mask, 8);
  }
  return mask;
}

bool is_close_code(uint16_t code) {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

bool is_utf8(const uint8_t* bytes, size_t size) {
  size_t at = 0;
  while (at < size) {
    uint8_t first = bytes[at++];
    if (first < 0x80) continue;
    uint32_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || size - at < more) return false;
    uint32_t code = first & (0x3F >> more);
    for (; more; --more) {
      if ((bytes[at] & 0xC0) != 0x80) return false;
      code = code << 6 | (bytes[at++] & 0x3F);
    }
    uint32_t least = first >= 0xF0 ? 0x10000 : first >= 0xE0 ? 0x800 : 0x80;
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  }
  return true;
}

}  // namespace

WebSocketFrames::Event WebSocketFrames::error(uint16_t code, const char* what) {
  close_code = code;
  complaint = what;
  return Event::Error;
}

uint32_t WebSocketFrames::header_needs() const {
  if (header_size_ < 2) return 2;
  uint32_t length = header_[1] & 0x7F;
  return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (header_[1] & 0x80 ? 4 : 0);
}

/** The header is whole. False: error() says what is wrong with it. */
bool WebSocketFrames::read_header() {
  bool final = header_[0] & 0x80;
  uint8_t opcode = header_[0] & 0x0F;
  uint64_t length = header_[1] & 0x7F;
  uint32_t at = 2;
  if (length >= 126) {
    uint32_t width = length == 126 ? 2 : 8;
    length = 0;
    for (uint32_t i = 0; i < width; ++i) length = length << 8 | header_[at++];
    if (length < (width == 2 ? 126u : 65536u)) return error(kProtocolError, "a length in more bytes than it needs"), false;
    if (length >> 63) return error(kProtocolError, "a length of 2^63 or more"), false;
  }
  std::memcpy(&mask_, header_ + at, 4);
  if (is_control(opcode)) {
    if (!final) return error(kProtocolError, "a fragmented control frame"), false;
    if (length > sizeof control_) return error(kProtocolError, "a control frame of more than 125 bytes"), false;
    if (opcode > kPong) return error(kProtocolError, "an unknown opcode"), false;
    control_size_ = 0;
  } else if (opcode == kContinuation) {
    if (!in_message_) return error(kProtocolError, "a continuation of nothing"), false;
    in_message_ = !final;
  } else if (opcode == kText) {
    return error(kUnsupported, "a text frame: MQTT is binary [MQTT-6.0.0-1]"), false;
  } else if (opcode != kBinary) {
    return error(kProtocolError, "an unknown opcode"), false;
  } else {
    if (in_message_) return error(kProtocolError, "a new message inside a fragmented one"), false;
    in_message_ = !final;
  }
  opcode_ = opcode;
  left_ = length;
  in_frame_ = true;
  header_size_ = 0;
  return true;
}

WebSocketFrames::Step WebSocketFrames::step(const uint8_t* from, size_t size, uint8_t* to) {
  Step result;
  while (result.used < size) {
    if (!in_frame_) {
      header_[header_size_++] = from[result.used++];
      // As early as possible: whoever speaks another protocol is told at the second byte.
      if (header_size_ == 1 && header_[0] & 0x70) {
        result.event = error(kProtocolError, "a reserved bit without an extension");
        return result;
      }
      if (header_size_ == 2 && !(header_[1] & 0x80)) {
        result.event = error(kProtocolError, "a frame that is not masked");
        return result;
      }
      if (header_size_ < header_needs()) continue;
      if (!read_header()) {
        result.event = Event::Error;
        return result;
      }
    }
    size_t part = static_cast<size_t>(std::min<uint64_t>(left_, size - result.used));
    bool control = is_control(opcode_);
    uint8_t* target = control ? control_ + control_size_ : to + result.payload;
    mask_ = unmask(from + result.used, part, target, mask_);
    result.used += part;
    left_ -= part;
    if (control) {
      control_size_ = static_cast<uint8_t>(control_size_ + part);
    } else {
      result.payload += part;
    }
    if (left_ > 0) break;
    in_frame_ = false;
    if (!control) continue;
    result.event = end_control();
    if (result.event != Event::None) return result;
  }
  return result;
}

WebSocketFrames::Event WebSocketFrames::end_control() {
  if (opcode_ == kPing) return Event::Ping;
  if (opcode_ == kPong) return Event::None;
  close_code = kNoStatus;
  if (control_size_ == 0) return Event::Close;
  if (control_size_ == 1) return error(kProtocolError, "a close frame with half a status code");
  auto code = static_cast<uint16_t>(control_[0] << 8 | control_[1]);
  if (!is_close_code(code)) return error(kProtocolError, "a status code that may not be sent");
  if (!is_utf8(control_ + 2, control_size_ - 2u)) return error(kNotUtf8, "a close reason that is not UTF-8");
  close_code = code;
  return Event::Close;
}

uint32_t write_frame_header(uint8_t* out, uint8_t opcode, uint64_t size) {
  out[0] = 0x80 | opcode;
  if (size < 126) {
    out[1] = static_cast<uint8_t>(size);
    return 2;
  }
  uint32_t width = size < 65536 ? 2 : 8;
  out[1] = width == 2 ? 126 : 127;
  for (uint32_t i = 0; i < width; ++i) out[2 + i] = static_cast<uint8_t>(size >> (8 * (width - 1 - i)));
  return 2 + width;
}

}  // namespace martlet
