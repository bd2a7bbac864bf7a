// The WebSocket layer: upgrade, frames, ping and pong, the closing handshake. On a listener that takes both, it first
// finds out what the peer speaks, and is taken away when that is plain MQTT.
#pragma once

#include <memory>
#include <string>

#include "net/layer.h"
#include "net/web_socket_frames.h"

namespace martlet {

class WebSocketLayer final : public Layer {
 public:
  WebSocketLayer(Stream& stream, bool sniffs, std::unique_ptr<Layer> below);

  int64_t recv(uint8_t* into, size_t size) override;
  int64_t send(const iovec* parts, size_t count, size_t waiting) override;
  int flush() override;
  void finish() override;
  bool pending() const override { return early_ != nullptr || ended_ || below().pending(); }
  bool speaks() const override { return !control_.empty() || below().speaks(); }
  bool transparent() const override { return state_ == State::Mqtt; }

 private:
  enum class State : uint8_t { Sniffing, Upgrading, Open, Ended, Mqtt };

  int64_t upgrade(const uint8_t* bytes, size_t size);
  int64_t take_early(uint8_t* into, size_t size);
  int64_t deliver(uint8_t* bytes, size_t size);
  int64_t refuse(const char* status, std::string failure);
  void say(uint8_t opcode, std::string_view payload);
  int send_control();

  Stream& stream_;
  State state_;
  bool ended_ = false;        // no more frames: after what was delivered, the end or the failure is told
  bool upgraded_ = false;
  bool close_said_ = false;
  uint8_t header_[10];        // of the frame that is being sent
  uint8_t header_at_ = 0, header_size_ = 0;
  uint32_t frame_left_ = 0;   // of its payload
  uint16_t close_code_ = 1000;
  WebSocketFrames frames_;
  std::string control_;                // answers and control frames that wait to be sent between frames
  size_t said_ = 0;  // of it, what cannot be taken back: HTTP, a frame begun, or what TLS has encrypted and must be given again
  std::unique_ptr<std::string> head_;  // of the HTTP request, while it is incomplete
  std::unique_ptr<std::string> early_; // frames that came with the request
};

}  // namespace martlet
