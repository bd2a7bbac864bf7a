// Addresses as text and as ranges: how a peer is named, and which networks are trusted to name somebody else.
// Pure; knows no socket.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace martlet {

constexpr size_t kAddressSize = 64;
/** Writes "ip:port" or "[ip]:port" and returns its length; an IPv4-mapped peer is an IPv4 peer. */
uint32_t format_address(const sockaddr_storage& peer, char* text);
std::string address_text(const sockaddr_storage& peer);

/** A numeric address, IPv4 or IPv6, with or without a port ("1.2.3.4", "1.2.3.4:5", "::1", "[::1]:5"). */
bool parse_peer(std::string_view text, sockaddr_storage* out);
/** Length of the sockaddr, or 0 when `host` is no numeric address. */
socklen_t parse_address(const char* host, uint16_t port, sockaddr_storage* out);

/** The same IP address and port, however written. False for Unix sockets. */
bool same_endpoint(const sockaddr_storage& one, const sockaddr_storage& other);

/** Networks written as "10.0.0.0/8", "fd00::/8", "192.0.2.7" or "unix" (peers on Unix sockets). */
class Networks {
 public:
  /** False: `text` is none of these. */
  bool add(std::string_view text);
  bool contain(const sockaddr_storage& peer) const;
  bool empty() const { return networks_.empty() && !unix_; }

 private:
  struct Network {
    uint8_t address[16];  // IPv4 as ::ffff:a.b.c.d
    uint32_t bits;
  };
  std::vector<Network> networks_;
  bool unix_ = false;
};

}  // namespace martlet
