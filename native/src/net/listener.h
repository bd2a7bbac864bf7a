// A listening socket: how it is opened, how peers are accepted and named. Decides nothing about connections.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

namespace martlet {

struct ListenOptions {
  const char* host;  // numeric
  uint16_t port;
  int backlog;  // 0: somaxconn
  bool ipv6_only;
  bool reuse_port;
};

struct ListenError {
  int error = 0;  // positive errno
  const char* syscall = nullptr;
};

class Listener {
 public:
  /** Opens the socket; on failure `error` says what and why and the listener stays closed. */
  Listener(const ListenOptions& options, ListenError* error);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int fd() const { return fd_; }
  int port() const;

  bool paused = false;     // out of descriptors: EPOLLIN is off until `listenerResume`
  int owed_pause = 0;      // errno of an `accept-paused` record that is still to be told
  uint32_t refused = 0;    // connections turned away since the last `refused` record

 private:
  int fd_ = -1;
};

/** TCP_NODELAY, SO_KEEPALIVE, TCP_USER_TIMEOUT (ms; 0 leaves it). */
void set_connection_options(int fd, uint32_t user_timeout);

constexpr size_t kAddressSize = 64;
/** Writes "ip:port" or "[ip]:port" and returns its length; an IPv4-mapped peer is an IPv4 peer. */
uint32_t format_address(const sockaddr_storage& peer, char* text);

}  // namespace martlet
