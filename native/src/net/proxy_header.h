// The PROXY header (versions 1 and 2) that a proxy sends before anything else: who the client is. Required where a
// listener says so, never guessed: a client that could send one of its own would choose its address.
#pragma once

#include <memory>
#include <string>

#include "net/layer.h"

namespace martlet {

struct ProxyHeader {
  bool named = false;  // false: LOCAL or UNKNOWN, the proxy's own connection (a health check)
  sockaddr_storage client{};
  // Version 2, PP2_TYPE_SSL: what the proxy knows of the client's certificate.
  std::string common_name, cipher, server_name;
};

/** Reads a whole version 1 line with its CRLF. False: it is none. */
bool read_proxy_line(std::string_view line, ProxyHeader* out);
/** Reads a whole version 2 header. False: it is none. */
bool read_proxy_block(const uint8_t* bytes, size_t size, ProxyHeader* out);

class ProxyLayer final : public Layer {
 public:
  ProxyLayer(Stream& stream, std::unique_ptr<Layer> below) : Layer(std::move(below)), stream_(stream) {}

  int64_t recv(uint8_t* into, size_t size) override;
  bool transparent() const override { return done_; }

 private:
  size_t wanted() const;
  int64_t read();

  Stream& stream_;
  std::string header_;
  bool done_ = false;
};

}  // namespace martlet
