#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "net/sockets.h"

namespace martlet {

namespace {

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

}  // namespace

Listener::Listener(const ListenOptions& options, ListenError* error) {
  sockaddr_storage address;
  socklen_t length = parse_address(options.host, options.port, &address);
  if (length == 0) {
    *error = {EINVAL, "inet_pton"};
    return;
  }
  int fd = sockets::socket(address.ss_family);
  if (fd < 0) {
    *error = {-fd, "socket"};
    return;
  }
  auto step = [&](int result, const char* syscall) {
    if (result < 0) *error = {-result, syscall};
    return result >= 0;
  };
  bool opened = step(sockets::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), "setsockopt") &&
                (!options.reuse_port || step(sockets::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1), "setsockopt")) &&
                (address.ss_family != AF_INET6 ||
                 step(sockets::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only), "setsockopt")) &&
                step(sockets::bind(fd, reinterpret_cast<sockaddr*>(&address), length), "bind") &&
                step(sockets::listen(fd, options.backlog > 0 ? options.backlog : sockets::somaxconn()), "listen");
  if (opened) {
    fd_ = fd;
  } else {
    sockets::close(fd);
  }
}

Listener::~Listener() {
  if (fd_ >= 0) sockets::close(fd_);
}

int Listener::port() const { return sockets::local_port(fd_); }

void set_connection_options(int fd, uint32_t user_timeout) {
  // A peer that is gone already makes these fail; the first recv will say so, hence no check.
  sockets::set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  sockets::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (user_timeout) sockets::set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(user_timeout));
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

}  // namespace martlet
