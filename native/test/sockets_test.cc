// sockets.cc itself on real sockets, with signals that interrupt its calls: every one of them is made again. The linker puts
// the functions below in the place of the C library's (native/test/run.sh names them), for this file alone: the rest of the
// tests stands on the fake kernel, beside which the real thing has another name here.
#define sockets real_sockets
#include "net/sockets.cc"
#undef sockets

#include <sys/socket.h>

#include <set>
#include <string>

#include "testing.h"

namespace {

int interruptions = 0;              // still to come
std::set<std::string> interrupted;  // calls that had one

bool interrupt(const char* call) {
  if (interruptions == 0) return false;
  --interruptions;
  interrupted.insert(call);
  errno = EINTR;
  return true;
}

}  // namespace

#define WRAP(result, name, parameters, arguments)            \
  extern "C" result __real_##name parameters;                \
  extern "C" result __wrap_##name parameters {               \
    return interrupt(#name) ? -1 : __real_##name arguments; \
  }

WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, (int fd, const sockaddr* address, socklen_t length), (fd, address, length))
WRAP(int, listen, (int fd, int backlog), (fd, backlog))
WRAP(int, accept4, (int fd, sockaddr* address, socklen_t* length, int flags), (fd, address, length, flags))
WRAP(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* length), (fd, level, name, value, length))
WRAP(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t length), (fd, level, name, value, length))
WRAP(int, getsockname, (int fd, sockaddr* address, socklen_t* length), (fd, address, length))
WRAP(int, getpeername, (int fd, sockaddr* address, socklen_t* length), (fd, address, length))
WRAP(ssize_t, recv, (int fd, void* into, size_t size, int flags), (fd, into, size, flags))
WRAP(ssize_t, send, (int fd, const void* from, size_t size, int flags), (fd, from, size, flags))
WRAP(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, epoll_create1, (int flags), (flags))
WRAP(int, epoll_ctl, (int epoll, int operation, int fd, epoll_event* event), (epoll, operation, fd, event))
WRAP(int, epoll_wait, (int epoll, epoll_event* events, int most, int timeout), (epoll, events, most, timeout))
WRAP(int, eventfd, (unsigned count, int flags), (count, flags))
WRAP(ssize_t, getrandom, (void* into, size_t size, unsigned flags), (into, size, flags))

// connect() goes on by itself when a signal interrupts it: it is made, and says EINTR.
extern "C" int __real_connect(int fd, const sockaddr* address, socklen_t length);
extern "C" int __wrap_connect(int fd, const sockaddr* address, socklen_t length) {
  int result = __real_connect(fd, address, length);
  return interrupt("connect") ? -1 : result;
}

namespace real = martlet::real_sockets;

namespace {

/** A call that is interrupted three times and succeeds all the same; what it returned. */
template <typename Call>
int64_t thrice(Call call) {
  interruptions = 3;
  int64_t result = call();
  CHECK(interruptions == 0);
  CHECK(result >= 0);
  interruptions = 0;
  return result;
}

}  // namespace

TEST("EINTR: every call of sockets.cc is made again until it is through, and connect() is waited for") {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  const int listener = static_cast<int>(thrice([] { return real::socket(AF_INET); }));
  thrice([&] { return real::set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1); });
  thrice([&] { return real::bind(listener, where, sizeof address); });
  thrice([&] { return real::listen(listener, 8); });
  address.sin_port = htons(static_cast<uint16_t>(thrice([&] { return real::local_port(listener); })));

  const int epoll = static_cast<int>(thrice([] { return real::epoll_create(); }));
  const int client = real::socket(AF_INET);
  interruptions = 1;
  CHECK(real::connect(client, where, sizeof address) == -EINPROGRESS);
  thrice([&] { return real::epoll_add(epoll, client, EPOLLIN, 1); });
  thrice([&] { return real::epoll_modify(epoll, client, EPOLLOUT, 2); });
  epoll_event event{};
  int64_t count = 0;
  while ((count = thrice([&] { return real::epoll_poll(epoll, &event, 1); })) == 0) continue;
  CHECK(count == 1 && event.data.u64 == 2);
  CHECK(thrice([&] { return real::pending_error(client); }) == 0);

  sockaddr_storage peer{};
  const int accepted = static_cast<int>(thrice([&] { return real::accept(listener, &peer); }));
  thrice([&] { return real::peer_address(client, &peer); });
  char bytes[16] = {};
  CHECK(thrice([&] { return real::send(client, "packet", 6); }) == 6);
  iovec parts[2] = {{bytes, 2}, {bytes, 3}};
  CHECK(thrice([&] { return real::send(client, parts, 2); }) == 5);
  CHECK(thrice([&] { return real::recv(accepted, bytes, 4); }) == 4 && std::string(bytes, 4) == "pack");
  CHECK(thrice([&] { return real::discard(accepted, sizeof bytes); }) == 7);
  thrice([&] { return real::shutdown_write(client); });
  CHECK(thrice([&] { return real::recv(accepted, bytes, 1); }) == 0);
  const int wake = static_cast<int>(thrice([] { return real::event_create(); }));
  uint8_t seed[8];
  thrice([&] {
    real::random_bytes(seed, sizeof seed);
    return 0;
  });
  CHECK(interrupted.size() == 18);
  // Errors are none of a signal's: told at once.
  interruptions = 2;
  CHECK(real::recv(accepted, bytes, 0) == 0 && interruptions == 0);
  CHECK(real::recv(client, bytes, 1) == -EAGAIN);
  CHECK(real::recv(-1, bytes, 1) == -EBADF);
  for (int fd : {wake, accepted, client, epoll, listener}) real::close(fd);
}
