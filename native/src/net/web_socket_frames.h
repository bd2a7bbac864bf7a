// Where WebSocket frames begin and end (RFC 6455, section 5): bytes in, payload out, in place. What a client may not send
// is found here. Owns a header and a control frame's payload while they are incomplete; knows no socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace martlet {

class WebSocketFrames {
 public:
  enum class Event : uint8_t {
    None,  // all of the input is used
    Ping,  // control() is to be sent back
    Close,  // close_code is the peer's, or kNoStatus
    Error,  // close_code and complaint say what the peer did wrong
  };
  struct Step {
    size_t used = 0;     // of the input
    size_t payload = 0;  // bytes written to `to`
    Event event = Event::None;
  };

  static constexpr uint16_t kNoStatus = 1005;

  /** Reads on until an event or the input's end. `to` <= `from`: payload moves to the front, unmasked. */
  Step step(const uint8_t* from, size_t size, uint8_t* to);

  std::string_view control() const { return {reinterpret_cast<const char*>(control_), control_size_}; }
  uint16_t close_code = kNoStatus;
  const char* complaint = nullptr;

 private:
  bool read_header();
  Event end_control();
  Event error(uint16_t code, const char* what);
  uint32_t header_needs() const;

  uint64_t left_ = 0;  // payload bytes of the current frame
  uint32_t mask_ = 0;  // rotated so that its lowest byte is for the next payload byte
  uint8_t header_[14];
  uint8_t header_size_ = 0;
  bool in_frame_ = false;
  bool in_message_ = false;  // a fragmented one
  uint8_t opcode_ = 0;
  uint8_t control_size_ = 0;
  uint8_t control_[125];
};

/** Writes a header for a frame of `size` payload bytes, unmasked and final. Returns its length, at most 10. */
uint32_t write_frame_header(uint8_t* out, uint8_t opcode, uint64_t size);

constexpr uint8_t kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

}  // namespace martlet
