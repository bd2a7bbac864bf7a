// One stream layer between a socket and the splitter (TLS, WebSocket, the PROXY header), and the Stream that a layered
// connection carries: its layers, and what they learned about the peer. A plain connection has neither.
// The topmost layer is asked like a socket; each asks the one below; the last is the socket itself.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "loop/wire.h"
#include "net/address.h"
#include "net/sockets.h"

namespace martlet {

struct StreamRules;

/** recv's answer when a layer cannot go on; Stream::failure says why. */
constexpr int64_t kLayerFailed = INT64_MIN;

class Layer {
 public:
  explicit Layer(std::unique_ptr<Layer> below) : below_(std::move(below)) {}
  virtual ~Layer() = default;

  /**
   * Like the socket's: bytes (> 0), 0 at the end, -errno, or kLayerFailed. A call in which the layer learned something
   * brings no bytes, so that what was learned can be told before them.
   */
  virtual int64_t recv(uint8_t* into, size_t size) = 0;
  /** Like the socket's; `waiting`: bytes there are to send after all, of which `parts` are the first. Never 0. */
  virtual int64_t send(const iovec* parts, size_t count, size_t waiting) { return below_->send(parts, count, waiting); }
  /** Sends what the layer itself has to say. 0, -EAGAIN when the socket takes no more, or -errno. */
  virtual int flush() { return below_->flush(); }
  /** The last bytes were sent: says goodbye, with the next flush(). */
  virtual void finish() { below_->finish(); }
  /** Whether recv has something to give without the socket: epoll cannot know. */
  virtual bool pending() const { return below_->pending(); }
  /** Whether recv can do nothing before flush() has sent what the socket did not take: bytes that arrive must wait. */
  virtual bool stuck() const { return below_->stuck(); }
  /** Whether flush() has something to do. */
  virtual bool speaks() const { return below_->speaks(); }
  /** The layer has nothing left to do and may be taken away. */
  virtual bool transparent() const { return false; }

 protected:
  Layer& below() { return *below_; }
  const Layer& below() const { return *below_; }
  /** Takes the layer below away if it has become transparent. */
  void shorten() {
    if (below_->transparent()) below_ = std::move(below_->below_);
  }

 private:
  friend class Stream;
  std::unique_ptr<Layer> below_;
};

/** The bottom: the socket. */
class SocketLayer final : public Layer {
 public:
  explicit SocketLayer(int fd) : Layer(nullptr), fd_(fd) {}
  int64_t recv(uint8_t* into, size_t size) override { return sockets::recv(fd_, into, size); }
  int64_t send(const iovec* parts, size_t count, size_t) override { return sockets::send(fd_, parts, count); }
  int flush() override { return 0; }
  void finish() override {}
  bool pending() const override { return false; }
  bool stuck() const override { return false; }
  bool speaks() const override { return false; }

 private:
  int fd_;
};

class Stream {
 public:
  /** Stacks the layers that `rules` ask for; `peer` is what accept() said. */
  Stream(int fd, std::shared_ptr<const StreamRules> rules, const sockaddr_storage& peer);

  Layer& top() { return *top_; }
  const StreamRules& rules() const { return *rules_; }
  /** Takes the topmost layer away if it is transparent. True: only the socket is left. */
  bool is_bare();

  void learn(wire::Fact what, std::string text) { news.push_back({what, std::move(text)}); }
  int64_t fail(std::string why) {
    failure = std::move(why);
    return kLayerFailed;
  }

  struct News {
    wire::Fact what;
    std::string text;
  };
  std::vector<News> news;  // learned and not told yet
  std::string failure;
  sockaddr_storage* peer() { return peer_.get(); }
  void forget_peer() { peer_.reset(); }
  bool shakes_hands = false;  // the next recv may cost a signature: bounded in number per turn

 private:
  std::shared_ptr<const StreamRules> rules_;
  std::unique_ptr<Layer> top_;
  std::unique_ptr<sockaddr_storage> peer_;  // until the layers are through with their handshakes
};

// What a stream may tell at once: every fact, and its end. Checked before each recv.
constexpr uint32_t kStreamRecords = 12;
constexpr uint32_t kStreamText = 2048;

}  // namespace martlet
