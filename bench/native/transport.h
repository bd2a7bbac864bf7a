// What stands between a client's MQTT bytes and its socket: nothing, TLS, or WebSocket frames. A transport is asked as a
// socket would be.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

enum class Protocol : uint8_t { tcp, websocket, tls };

class Transport {
 public:
  virtual ~Transport() = default;
  /** Bytes taken, or -1 with errno (EAGAIN: later). */
  virtual ssize_t send(const char* from, size_t size) = 0;
  /** Bytes received, 0 at the end, or -1 with errno. Asked again until EAGAIN: epoll cannot see what it holds. */
  virtual ssize_t recv(uint8_t* into, size_t size) = 0;
  /** Whether something waits for the socket to be writable: a handshake, or a frame that was cut. */
  virtual bool blocked() const = 0;
};

/** Null for tcp: the socket itself. Gives up when this machine has no libssl. */
std::unique_ptr<Transport> make_transport(Protocol protocol, int fd);
