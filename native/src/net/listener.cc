#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "net/sockets.h"

namespace martlet {

Listener::Listener(const ListenOptions& options, ListenError* error)
    : rules(options.rules && !options.rules->plain() ? options.rules : nullptr),
      max_connections(options.max_connections),
      open(options.open ? options.open : std::make_shared<uint32_t>(0)),
      path_(options.path) {
  if (options.descriptor >= 0) {
    adopt(options.descriptor, error);
  } else if (options.path.empty()) {
    open_tcp(options, error);
  } else {
    open_unix(options, error);
  }
}

void Listener::adopt(int fd, ListenError* error) {
  int result = sockets::adopt(fd);
  if (result < 0) {
    *error = {-result, "getsockopt"};
  } else {
    fd_ = fd;
  }
}

void Listener::open_tcp(const ListenOptions& options, ListenError* error) {
  sockaddr_storage address;
  socklen_t length = parse_address(options.host.c_str(), options.port, &address);
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
  const char* device = options.device.c_str();
  bool opened = step(sockets::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), "setsockopt") &&
                (!options.reuse_port || step(sockets::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1), "setsockopt")) &&
                (address.ss_family != AF_INET6 ||
                 step(sockets::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only), "setsockopt")) &&
                (options.device.empty() || step(sockets::bind_to_device(fd, device), "setsockopt")) &&
                step(sockets::bind(fd, reinterpret_cast<sockaddr*>(&address), length), "bind") &&
                step(sockets::listen(fd, options.backlog > 0 ? options.backlog : sockets::somaxconn()), "listen");
  if (opened) {
    fd_ = fd;
  } else {
    sockets::close(fd);
  }
}

void Listener::open_unix(const ListenOptions& options, ListenError* error) {
  int fd = sockets::socket(AF_UNIX);
  if (fd < 0) {
    *error = {-fd, "socket"};
    return;
  }
  auto step = [&](int result, const char* syscall) {
    if (result < 0) *error = {-result, syscall};
    return result >= 0;
  };
  bool opened = step(path_.bind(fd), "bind") &&
                step(path_.restrict(options.mode, options.owner, options.group), "chown") &&
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

uint32_t format_credentials(int fd, char* text) {
  int pid = 0, uid = 0;
  sockets::peer_credentials(fd, &pid, &uid);
  return static_cast<uint32_t>(snprintf(text, kAddressSize, "unix:pid=%d,uid=%d", pid, uid));
}

}  // namespace martlet
