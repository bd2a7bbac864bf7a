// The real kernel behind sockets.h. No state, no policy.
#include "net/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "net/retried.h"

namespace martlet::sockets {

int socket(int family) {
  return retried([&] { return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
}

int bind(int fd, const sockaddr* address, socklen_t length) {
  return retried([&] { return ::bind(fd, address, length); });
}

int listen(int fd, int backlog) {
  return retried([&] { return ::listen(fd, backlog); });
}

int connect(int fd, const sockaddr* address, socklen_t length) {
  // Not retried: after EINTR the attempt goes on by itself.
  return ::connect(fd, address, length) < 0 ? (errno == EINTR ? -EINPROGRESS : -errno) : 0;
}

int adopt(int fd) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) < 0) return -errno;
  if (value == 0) return -EINVAL;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) < 0) return -errno;
  if (value != SOCK_STREAM) return -ESOCKTNOSUPPORT;
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  return 0;
}

int bind_to_device(int fd, const char* name) {
  return retried([&] { return ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name)); });
}

int peer_credentials(int fd, int* pid, int* uid) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  int result = retried([&] { return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length); });
  *pid = credentials.pid;
  *uid = static_cast<int>(credentials.uid);
  return result;
}

int local_port(int fd) {
  sockaddr_storage address{};
  int result = local_address(fd, &address);
  if (result < 0) return result;
  if (address.ss_family == AF_UNIX) return 0;
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

int local_address(int fd, sockaddr_storage* address) {
  socklen_t length = sizeof *address;
  return retried([&] { return ::getsockname(fd, reinterpret_cast<sockaddr*>(address), &length); });
}

int peer_address(int fd, sockaddr_storage* address) {
  socklen_t length = sizeof *address;
  return retried([&] { return ::getpeername(fd, reinterpret_cast<sockaddr*>(address), &length); });
}

int accept(int fd, sockaddr_storage* peer) {
  return retried([&] {
    socklen_t length = sizeof *peer;
    return ::accept4(fd, reinterpret_cast<sockaddr*>(peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  });
}

int set_option(int fd, int level, int name, int value) {
  return retried([&] { return ::setsockopt(fd, level, name, &value, sizeof value); });
}

int linger_zero(int fd) {
  linger option{1, 0};
  return retried([&] { return ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof option); });
}

int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  int result = retried([&] { return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length); });
  return result < 0 ? -result : error;
}

int64_t recv(int fd, void* into, size_t size) {
  return retried([&] { return ::recv(fd, into, size, MSG_DONTWAIT); });
}

int64_t discard(int fd, size_t size) {
  return retried([&] { return ::recv(fd, nullptr, size, MSG_DONTWAIT | MSG_TRUNC); });
}

int64_t send(int fd, const void* from, size_t size) {
  return retried([&] { return ::send(fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

int64_t send(int fd, const iovec* parts, size_t count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = count;
  // sendmsg, not writev: only it takes MSG_NOSIGNAL.
  return retried([&] { return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

int shutdown_write(int fd) {
  return retried([&] { return ::shutdown(fd, SHUT_WR); });
}

// Not retried: on Linux the descriptor is gone even when close() says EINTR.
void close(int fd) { ::close(fd); }

int epoll_create() {
  return retried([] { return ::epoll_create1(EPOLL_CLOEXEC); });
}

int epoll_add(int epoll, int fd, uint32_t events, uint64_t tag) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  return retried([&] { return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event); });
}

int epoll_modify(int epoll, int fd, uint32_t events, uint64_t tag) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  return retried([&] { return ::epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event); });
}

int epoll_poll(int epoll, epoll_event* events, int size) {
  return retried([&] { return ::epoll_wait(epoll, events, size, 0); });
}

int event_create() {
  return retried([] { return ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); });
}

void event_signal(int fd) {
  uint64_t one = 1;
  retried([&] { return ::write(fd, &one, sizeof one); });
}

void event_clear(int fd) {
  uint64_t count;
  retried([&] { return ::read(fd, &count, sizeof count); });
}

int somaxconn() {
  int value = 0;
  if (FILE* file = ::fopen("/proc/sys/net/core/somaxconn", "re")) {
    if (::fscanf(file, "%d", &value) != 1) value = 0;
    ::fclose(file);
  }
  return value > 0 ? value : SOMAXCONN;
}

double now() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

void random_bytes(void* into, size_t size) {
  auto* at = static_cast<uint8_t*>(into);
  while (size > 0) {
    int64_t got = retried([&] { return ::getrandom(at, size, 0); });
    if (got <= 0) ::abort();  // without a seed the topic table could be flooded with collisions
    at += got;
    size -= static_cast<size_t>(got);
  }
}

}  // namespace martlet::sockets
