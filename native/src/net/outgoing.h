// A connection of ours, up to the point where the kernel has been asked: which socket, from where, to where. Decides
// nothing about what becomes of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/stream_rules.h"

namespace martlet {

struct ConnectOptions {
  std::string host;  // numeric
  uint16_t port = 0;
  std::string path;        // of a Unix socket ("@name": abstract), instead of host and port
  std::string local_host;  // numeric; empty: the system chooses
  uint16_t local_port = 0;
  std::string device;  // network interface; empty: as the routes say
  std::shared_ptr<const StreamRules> rules;  // null: plain
};

struct ConnectError {
  int error = 0;  // positive errno
  const char* syscall = nullptr;
};

struct ConnectionId {
  uint32_t slot = 0;
  int32_t generation = 0;
};

/** A socket that connects, or has connected already. Returns it, or -1 with `error` filled in. */
int begin_connect(const ConnectOptions& options, uint32_t user_timeout, ConnectError* error);

}  // namespace martlet
