// A listening socket: how it is opened, how peers are accepted and named. Decides nothing about connections.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/stream_rules.h"
#include "net/unix_path.h"

namespace martlet {

struct ListenOptions {
  std::string host;  // numeric
  uint16_t port = 0;
  int backlog = 0;  // 0: somaxconn
  bool ipv6_only = false;
  bool reuse_port = false;
  uint32_t max_connections = UINT32_MAX;
  std::shared_ptr<uint32_t> open;  // of another address of the same listener: counted together; null: alone
  std::string device;    // network interface; empty: all
  std::string path;      // of a Unix socket, instead of host and port
  int mode = -1;         // of its file
  std::string owner, group;
  int descriptor = -1;  // a socket that listens already, instead of all of these
  std::shared_ptr<const StreamRules> rules;  // null: plain TCP
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

  /** Null: what is accepted here are plain connections, without a stream. */
  const std::shared_ptr<const StreamRules> rules;

  const uint32_t max_connections;
  const std::shared_ptr<uint32_t> open;  // connections accepted here (or at an address counted with it), not closed

  bool paused = false;     // out of descriptors: EPOLLIN is off until `listenerResume`
  int owed_pause = 0;      // errno of an `accept-paused` record that is still to be told
  uint32_t refused = 0;    // connections turned away since the last `refused` record

 private:
  void adopt(int fd, ListenError* error);
  void open_tcp(const ListenOptions& options, ListenError* error);
  void open_unix(const ListenOptions& options, ListenError* error);

  UnixPath path_;
  int fd_ = -1;
};

/** TCP_NODELAY, SO_KEEPALIVE, TCP_USER_TIMEOUT (ms; 0 leaves it). */
void set_connection_options(int fd, uint32_t user_timeout);
/** Writes "unix:pid=1,uid=2" (kAddressSize is enough) and returns its length. */
uint32_t format_credentials(int fd, char* text);

}  // namespace martlet
