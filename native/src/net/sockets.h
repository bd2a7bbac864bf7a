// Every system call of the reactor, by name, so that a fake kernel can be linked in place of sockets.cc.
// All of them return a value >= 0 or -errno, retry EINTR, and never raise SIGPIPE.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace martlet::sockets {

int socket(int family);  // a stream, non-blocking, close-on-exec
int bind(int fd, const sockaddr* address, socklen_t length);
int listen(int fd, int backlog);
int connect(int fd, const sockaddr* address, socklen_t length);  // -EINPROGRESS: pending_error() will tell
int adopt(int fd);  // a listening socket somebody else opened: checked, and made non-blocking, close-on-exec
int bind_to_device(int fd, const char* name);
int peer_credentials(int fd, int* pid, int* uid);  // of the process behind a Unix socket
int local_port(int fd);
int local_address(int fd, sockaddr_storage* address);
int peer_address(int fd, sockaddr_storage* address);  // -ENOTCONN: it is gone already
int accept(int fd, sockaddr_storage* peer);  // non-blocking, close-on-exec
int set_option(int fd, int level, int name, int value);
int linger_zero(int fd);  // close() will reset the connection
int pending_error(int fd);  // SO_ERROR, as a positive errno; 0: none

int64_t recv(int fd, void* into, size_t size);
int64_t discard(int fd, size_t size);  // like recv, but the kernel throws the bytes away
int64_t send(int fd, const void* from, size_t size);
int64_t send(int fd, const iovec* parts, size_t count);
int shutdown_write(int fd);
void close(int fd);

int epoll_create();
int epoll_add(int epoll, int fd, uint32_t events, uint64_t tag);
int epoll_modify(int epoll, int fd, uint32_t events, uint64_t tag);
int epoll_poll(int epoll, epoll_event* events, int size);  // never blocks

int event_create();
void event_signal(int fd);
void event_clear(int fd);

int somaxconn();
double now();  // CLOCK_MONOTONIC in milliseconds
void random_bytes(void* into, size_t size);

}  // namespace martlet::sockets
