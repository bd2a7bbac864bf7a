#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <charconv>

namespace martlet {

namespace {

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

// Every IP address as the sixteen bytes of an IPv6 one. False: a Unix socket's peer.
bool sixteen_bytes(const sockaddr_storage& peer, uint8_t* out) {
  if (peer.ss_family == AF_INET6) {
    memcpy(out, &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, 16);
    return true;
  }
  if (peer.ss_family != AF_INET) return false;
  memcpy(out, kMapped, sizeof kMapped);
  memcpy(out + 12, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, 4);
  return true;
}

uint16_t port_of(const sockaddr_storage& address) {  // as it stands on the wire
  return address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                       : reinterpret_cast<const sockaddr_in&>(address).sin_port;
}

template <typename Number>
bool parse_number(std::string_view text, Number most, Number* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc{} && end == text.data() + text.size() && *out <= most;
}

}  // namespace

socklen_t parse_address(const char* host, uint16_t port, sockaddr_storage* out) {
  *out = {};
  auto* v4 = reinterpret_cast<sockaddr_in*>(out);
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(out);
  if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
  }
  return 0;
}

bool parse_peer(std::string_view text, sockaddr_storage* out) {
  std::string_view host = text;
  uint16_t port = 0;
  size_t colon = text.rfind(':');
  if (!text.empty() && text[0] == '[') {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    host = text.substr(1, close - 1);
    std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && (rest[0] != ':' || !parse_number<uint16_t>(rest.substr(1), 65535, &port))) return false;
  } else if (colon != std::string_view::npos && text.find(':') == colon) {
    host = text.substr(0, colon);
    if (!parse_number<uint16_t>(text.substr(colon + 1), 65535, &port)) return false;
  }
  return parse_address(std::string(host).c_str(), port, out) != 0;
}

bool same_endpoint(const sockaddr_storage& one, const sockaddr_storage& other) {
  uint8_t a[16], b[16];
  return sixteen_bytes(one, a) && sixteen_bytes(other, b) && memcmp(a, b, sizeof a) == 0 && port_of(one) == port_of(other);
}

bool Networks::add(std::string_view text) {
  if (text == "unix") return unix_ = true;
  size_t slash = text.find('/');
  sockaddr_storage address;
  if (parse_address(std::string(text.substr(0, slash)).c_str(), 0, &address) == 0) return false;
  uint32_t width = address.ss_family == AF_INET ? 32 : 128;
  uint32_t bits = width;
  if (slash != std::string_view::npos && !parse_number(text.substr(slash + 1), width, &bits)) return false;
  Network network{};
  sixteen_bytes(address, network.address);
  network.bits = bits + 128 - width;
  networks_.push_back(network);
  return true;
}

bool Networks::contain(const sockaddr_storage& peer) const {
  uint8_t bytes[16];
  if (!sixteen_bytes(peer, bytes)) return unix_;
  for (const Network& network : networks_) {
    uint32_t whole = network.bits / 8, rest = network.bits % 8;
    if (memcmp(bytes, network.address, whole) != 0) continue;
    if (rest == 0 || (bytes[whole] ^ network.address[whole]) >> (8 - rest) == 0) return true;
  }
  return false;
}

uint32_t format_address(const sockaddr_storage& peer, char* text) {
  char ip[INET6_ADDRSTRLEN] = "?";
  int port = 0;
  bool v6 = false;
  if (peer.ss_family == AF_INET) {
    auto& address = reinterpret_cast<const sockaddr_in&>(peer);
    inet_ntop(AF_INET, &address.sin_addr, ip, sizeof ip);
    port = ntohs(address.sin_port);
  } else if (peer.ss_family == AF_INET6) {
    auto& address = reinterpret_cast<const sockaddr_in6&>(peer);
    v6 = !IN6_IS_ADDR_V4MAPPED(&address.sin6_addr);
    if (v6) {
      inet_ntop(AF_INET6, &address.sin6_addr, ip, sizeof ip);
    } else {
      inet_ntop(AF_INET, &address.sin6_addr.s6_addr[12], ip, sizeof ip);
    }
    port = ntohs(address.sin6_port);
  }
  return static_cast<uint32_t>(snprintf(text, kAddressSize, v6 ? "[%s]:%d" : "%s:%d", ip, port));
}

std::string address_text(const sockaddr_storage& peer) {
  char text[kAddressSize];
  return {text, format_address(peer, text)};
}

}  // namespace martlet
