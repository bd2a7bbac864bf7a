// TLS by the libssl that is there, found when it is needed: to build the benchmark takes no OpenSSL headers, and to run it
// without TLS takes no OpenSSL.
#include "transport.h"

#include <dlfcn.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "system.h"

namespace {

struct Library {
  void* (*method)();
  void* (*new_context)(void*);
  void* (*new_connection)(void*);
  int (*set_fd)(void*, int);
  void (*set_connect)(void*);
  int (*read)(void*, void*, int);
  int (*write)(void*, const void*, int);
  int (*error)(const void*, int);
  void (*free)(void*);
  long (*control)(void*, int, long, void*);
  void* context;
};

constexpr int kWantRead = 2, kWantWrite = 3, kZeroReturn = 6;  // SSL_ERROR_…
constexpr int kSetMode = 33;                                   // SSL_CTRL_MODE
constexpr long kModes = 1 | 2 | 16;  // partial writes, moving buffers, released buffers

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) give_up("libssl has no %s", name);
}

Library& libssl() {
  static Library library = [] {
    void* handle = dlopen("libssl.so.3", RTLD_NOW);
    if (!handle) give_up("TLS needs libssl.so.3: %s", dlerror());
    Library found{};
    find(handle, "TLS_client_method", found.method);
    find(handle, "SSL_CTX_new", found.new_context);
    find(handle, "SSL_new", found.new_connection);
    find(handle, "SSL_set_fd", found.set_fd);
    find(handle, "SSL_set_connect_state", found.set_connect);
    find(handle, "SSL_read", found.read);
    find(handle, "SSL_write", found.write);
    find(handle, "SSL_get_error", found.error);
    find(handle, "SSL_free", found.free);
    find(handle, "SSL_CTX_ctrl", found.control);
    found.context = found.new_context(found.method());
    if (!found.context) give_up("no TLS context");
    found.control(found.context, kSetMode, kModes, nullptr);
    return found;
  }();
  return library;
}

class Tls final : public Transport {
 public:
  explicit Tls(int fd) : ssl_(libssl().new_connection(libssl().context)) {
    if (!ssl_) give_up("no TLS connection");
    libssl().set_fd(ssl_, fd);
    libssl().set_connect(ssl_);
  }
  ~Tls() override { libssl().free(ssl_); }

  ssize_t send(const char* from, size_t size) override {
    return result(libssl().write(ssl_, from, static_cast<int>(std::min<size_t>(size, 1 << 20))));
  }
  ssize_t recv(uint8_t* into, size_t size) override { return result(libssl().read(ssl_, into, static_cast<int>(size))); }
  bool blocked() const override { return blocked_; }

 private:
  ssize_t result(int count) {
    blocked_ = false;
    if (count > 0) return count;
    int error = libssl().error(ssl_, count);
    if (error == kZeroReturn) return 0;
    blocked_ = error == kWantWrite;
    errno = error == kWantRead || error == kWantWrite ? EAGAIN : EPROTO;
    return -1;
  }

  void* ssl_;
  bool blocked_ = false;
};

// The mask is 0, which leaves the payload as it is: the broker unmasks all the same.
class WebSocket final : public Transport {
 public:
  explicit WebSocket(int fd) : fd_(fd) {
    out_ = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Protocol: mqtt\r\n\r\n";
  }

  ssize_t send(const char* from, size_t size) override {
    if (!flush()) return -1;
    out_.push_back(static_cast<char>(0x82));
    if (size < 126) {
      out_.push_back(static_cast<char>(0x80 | size));
    } else {
      int bytes = size < 65536 ? 2 : 8;
      out_.push_back(static_cast<char>(0x80 | (bytes == 2 ? 126 : 127)));
      for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out_.push_back(static_cast<char>(uint64_t{size} >> shift));
    }
    out_.append(4, '\0');
    out_.append(from, size);
    flush();  // what the socket does not take now is sent first the next time
    return static_cast<ssize_t>(size);
  }

  ssize_t recv(uint8_t* into, size_t size) override {
    ssize_t got = ::recv(fd_, into, size, 0);
    if (got <= 0) return got;
    size_t made = 0;
    for (ssize_t at = 0; at < got;) {
      if (head_) {
        answer_.push_back(static_cast<char>(into[at++]));
        if (answer_.size() >= 4 && answer_.compare(answer_.size() - 4, 4, "\r\n\r\n") == 0) end_head();
      } else if (left_ > 0) {
        size_t part = std::min<uint64_t>(left_, static_cast<uint64_t>(got - at));
        memmove(into + made, into + at, part);
        made += part;
        left_ -= part;
        at += static_cast<ssize_t>(part);
      } else {
        header_[header_size_++] = into[at++];
        end_header();
      }
    }
    if (made > 0) return static_cast<ssize_t>(made);
    errno = EAGAIN;
    return -1;
  }

  bool blocked() const override { return sent_ < out_.size(); }

 private:
  bool flush() {
    while (sent_ < out_.size()) {
      ssize_t taken = ::send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
      if (taken < 0 && errno == EINTR) continue;
      if (taken < 0) return false;
      sent_ += static_cast<size_t>(taken);
    }
    out_ = {};
    sent_ = 0;
    return true;
  }

  void end_head() {
    if (answer_.compare(0, 12, "HTTP/1.1 101") != 0) give_up("WebSocket: %.60s", answer_.c_str());
    answer_ = {};
    head_ = false;
  }

  void end_header() {
    uint8_t size = header_[1] & 127;
    size_t wanted = size < 126 ? 2 : size == 126 ? 4 : 10;
    if (header_size_ < wanted) return;
    if ((header_[0] & 15) != 2) give_up("WebSocket: a frame with opcode %d", header_[0] & 15);
    left_ = wanted == 2 ? size : 0;
    for (size_t i = 2; i < wanted; i++) left_ = left_ << 8 | header_[i];
    header_size_ = 0;
  }

  int fd_;
  std::string out_;  // the request, a frame: whole or what is left of it
  size_t sent_ = 0;
  std::string answer_;
  bool head_ = true;
  uint64_t left_ = 0;  // payload of the current frame
  uint8_t header_[10] = {};
  size_t header_size_ = 0;
};

}  // namespace

std::unique_ptr<Transport> make_transport(Protocol protocol, int fd) {
  switch (protocol) {
    case Protocol::tcp: return nullptr;
    case Protocol::websocket: return std::make_unique<WebSocket>(fd);
    case Protocol::tls: return std::make_unique<Tls>(fd);
  }
  return nullptr;
}
