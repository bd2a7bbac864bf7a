#include "fake_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "net/retried.h"

FakeKernel* FakeKernel::current = nullptr;

int FakeKernel::connect() {
  int fd = next_fd++;
  sockets[fd];
  backlog.push_back(fd);
  return fd;
}

void FakeKernel::answer(int fd, int error) {
  FakeSocket& socket = sockets[fd];
  socket.connecting = false;
  socket.error = error;
  if (error) socket.reset = socket.reset_told = true;
}

size_t FakeKernel::open_sockets() const {
  size_t count = 0;
  for (auto& [fd, socket] : sockets) {
    bool queued = std::find(backlog.begin(), backlog.end(), fd) != backlog.end();
    if (socket.open && !queued) ++count;
  }
  return count;
}

namespace martlet::sockets {

namespace {

FakeKernel& kernel() { return *FakeKernel::current; }

FakeSocket* find(int fd) {
  auto found = kernel().sockets.find(fd);
  return found == kernel().sockets.end() || !found->second.open ? nullptr : &found->second;
}

size_t some(size_t most) {
  if (most <= 1 || kernel().whole_reads || kernel().random() % 3) return most;
  return 1 + kernel().random() % most;
}

/** A call as the real one is made: returns -errno in the end, and begins anew when a signal comes in between. */
template <typename Call>
auto called(Call call) -> decltype(call()) {
  return retried([&]() -> decltype(call()) {
    if (kernel().interrupts && kernel().random() % 8 == 0) {
      errno = EINTR;
      return -1;
    }
    auto result = call();
    if (result >= 0) return result;
    errno = static_cast<int>(-result);
    return -1;
  });
}

bool changed_its_mind() { return kernel().changes_its_mind && kernel().random() % 16 == 0; }

uint32_t readiness(const FakeSocket& socket) {
  uint32_t events = 0;
  if (socket.connecting) return 0;
  if (socket.error) return (EPOLLOUT & socket.events) | EPOLLHUP | EPOLLERR;
  if (socket.read < socket.sent.size() || socket.fin || socket.reset) events |= EPOLLIN;
  if (socket.window > 0 || socket.reset) events |= EPOLLOUT;
  if (socket.reset) events |= EPOLLHUP;
  if (socket.reset && !socket.reset_told) events |= EPOLLERR;
  if (socket.fin && socket.write_ended) events |= EPOLLHUP;
  return events & (socket.events | EPOLLHUP | EPOLLERR);
}

}  // namespace

int socket(int) {
  if (kernel().open_sockets() >= kernel().descriptors) return -EMFILE;
  int fd = kernel().next_fd++;
  kernel().sockets[fd].dialed = true;
  return fd;
}
int bind(int fd, const sockaddr*, socklen_t) { return kernel().sockets[fd].dialed ? kernel().bind_result : 0; }
int listen(int fd, int backlog) {
  kernel().sockets.erase(fd);  // a listener is none of the connections
  kernel().listener = fd;
  kernel().listen_backlog = backlog;
  return 0;
}
int local_port(int) { return 1883; }
int connect(int fd, const sockaddr*, socklen_t) {
  FakeKernel& k = kernel();
  FakeSocket* socket = find(fd);
  if (!socket) return -EBADF;
  socket->connecting = k.connect_result == -EINPROGRESS;
  if (k.connect_result == 0 || socket->connecting) k.dialed.push_back(fd);
  return k.connect_result;
}

int local_address(int fd, sockaddr_storage* address) {
  FakeSocket* socket = find(fd);
  if (!socket) return -EBADF;
  *address = {};
  auto* v4 = reinterpret_cast<sockaddr_in*>(address);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  v4->sin_port = htons(socket->to_itself ? 1883 : 40000);
  return 0;
}

int peer_address(int fd, sockaddr_storage* address) {
  FakeSocket* socket = find(fd);
  if (!socket) return -EBADF;
  if (socket->connecting || socket->reset || kernel().vanishes) return -ENOTCONN;
  local_address(fd, address);
  reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(1883);
  return 0;
}
int adopt(int) { return 0; }
int bind_to_device(int, const char*) { return 0; }
int peer_credentials(int, int*, int*) { return 0; }

namespace {

int accept_once(sockaddr_storage* peer) {
  FakeKernel& k = kernel();
  if (k.backlog.empty() || changed_its_mind()) return -EAGAIN;
  if (k.open_sockets() >= k.descriptors) return -EMFILE;
  if (k.random() % 20 == 0) return -ECONNABORTED;
  int fd = k.backlog.front();
  k.backlog.erase(k.backlog.begin());
  peer->ss_family = AF_INET;
  return fd;
}

int64_t recv_once(int fd, void* into, size_t size) {
  FakeSocket* socket = find(fd);
  if (!socket) return -EBADF;
  if (changed_its_mind()) return -EAGAIN;
  size_t there = socket->sent.size() - socket->read;
  if (there == 0) {
    if (socket->reset) {
      if (socket->reset_told) return 0;
      socket->reset_told = true;
      return -ECONNRESET;
    }
    return socket->fin ? 0 : -EAGAIN;
  }
  size_t count = some(std::min(size, there));
  if (into) std::memcpy(into, socket->sent.data() + socket->read, count);
  socket->read += count;
  return static_cast<int64_t>(count);
}

int64_t send_once(int fd, const iovec* parts, size_t count) {
  FakeSocket* socket = find(fd);
  if (!socket) return -EBADF;
  if (changed_its_mind()) return -EAGAIN;
  if (socket->write_ended) return -EPIPE;
  if (socket->reset) {
    socket->reset_told = true;
    return -ECONNRESET;
  }
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) total += parts[i].iov_len;
  size_t taken = std::min(some(total), socket->window);
  if (taken == 0 && total > 0) return -EAGAIN;
  size_t left = taken;
  for (size_t i = 0; i < count && left > 0; ++i) {
    size_t part = std::min(left, parts[i].iov_len);
    auto* bytes = static_cast<const uint8_t*>(parts[i].iov_base);
    socket->received.insert(socket->received.end(), bytes, bytes + part);
    left -= part;
  }
  socket->window -= taken;
  return static_cast<int64_t>(taken);
}

}  // namespace

int accept(int, sockaddr_storage* peer) {
  return called([&] { return accept_once(peer); });
}

int set_option(int fd, int level, int name, int value) {
  kernel().options[fd][{level, name}] = value;
  return 0;
}
int linger_zero(int) { return 0; }
int pending_error(int fd) {
  FakeSocket* socket = find(fd);
  if (!socket || !socket->dialed) return ECONNRESET;
  int error = socket->error;
  socket->error = 0;  // told once, as SO_ERROR is
  if (error) socket->reset = true;
  return error ? error : socket->reset ? ECONNRESET : 0;
}

int64_t recv(int fd, void* into, size_t size) {
  return called([&] { return recv_once(fd, into, size); });
}

int64_t discard(int fd, size_t size) { return recv(fd, nullptr, size); }

int64_t send(int fd, const void* from, size_t size) {
  iovec part{const_cast<void*>(from), size};
  return send(fd, &part, 1);
}

int64_t send(int fd, const iovec* parts, size_t count) {
  return called([&] { return send_once(fd, parts, count); });
}

int shutdown_write(int fd) {
  FakeSocket* socket = find(fd);
  if (!socket || socket->reset) return -ENOTCONN;
  socket->write_ended = true;
  return 0;
}

void close(int fd) {
  if (FakeSocket* socket = find(fd)) socket->open = false;
}

int epoll_create() { return kernel().next_fd++; }

int epoll_add(int epoll, int fd, uint32_t events, uint64_t tag) {
  FakeKernel& k = kernel();
  if (fd == k.wake) k.wake_tag = tag;
  return epoll_modify(epoll, fd, events, tag);
}

int epoll_modify(int, int fd, uint32_t events, uint64_t tag) {
  FakeKernel& k = kernel();
  if (fd == k.wake) return 0;
  if (fd == k.listener) {
    k.listener_events = events;
    k.listener_tag = tag;
    return 0;
  }
  FakeSocket* socket = find(fd);
  if (!socket) return -EBADF;
  socket->events = events;
  socket->tag = tag;
  return 0;
}

int epoll_poll(int, epoll_event* events, int size) {
  FakeKernel& k = kernel();
  int count = 0;
  auto add = [&](uint32_t ready, uint64_t tag) {
    events[count].events = ready;
    events[count++].data.u64 = tag;
  };
  if (k.wake_set) add(EPOLLIN, k.wake_tag);
  if (k.listener >= 0 && !k.backlog.empty() && (k.listener_events & EPOLLIN)) add(EPOLLIN, k.listener_tag);
  // Round the sockets, from where the last poll ended: nobody is always first.
  auto from = k.sockets.upper_bound(k.last_polled);
  auto visit = [&](auto begin, auto end) {
    for (auto it = begin; it != end && count < size; ++it) {
      if (!it->second.open || it->second.tag == 0) continue;
      if (uint32_t ready = readiness(it->second)) {
        add(ready, it->second.tag);
        k.last_polled = it->first;
      }
    }
  };
  visit(from, k.sockets.end());
  visit(k.sockets.begin(), from);
  return count;
}

int event_create() { return kernel().wake = kernel().next_fd++; }
void event_signal(int) { kernel().wake_set = true; }
void event_clear(int) { kernel().wake_set = false; }
int somaxconn() { return 4096; }
double now() { return kernel().time += 0.25; }

void random_bytes(void* into, size_t size) {
  std::mt19937 fixed(7);
  auto* at = static_cast<uint8_t*>(into);
  for (size_t i = 0; i < size; ++i) at[i] = static_cast<uint8_t>(fixed());
}

}  // namespace martlet::sockets

bool FakeKernel::ready() {
  epoll_event events[8];
  int remembered = last_polled;
  int count = martlet::sockets::epoll_poll(0, events, 8);
  last_polled = remembered;
  return count > 0;
}
