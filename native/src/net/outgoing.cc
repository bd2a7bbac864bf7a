#include "net/outgoing.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "net/address.h"
#include "net/listener.h"
#include "net/sockets.h"

namespace martlet {

namespace {

socklen_t unix_address(const std::string& path, sockaddr_storage* out) {
  *out = {};
  auto* address = reinterpret_cast<sockaddr_un*>(out);
  bool is_abstract = path[0] == '@';
  size_t size = path.size() + (is_abstract ? 0 : 1);  // an abstract name is as long as it is told to be, a path ends with zero
  if (size > sizeof address->sun_path) return 0;
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path.data(), path.size());
  if (is_abstract) address->sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
}

int bind_local(int fd, int family, const ConnectOptions& options, ConnectError* error) {
  auto step = [&](int result, const char* syscall) {
    if (result < 0) *error = {-result, syscall};
    return result >= 0;
  };
  if (!options.device.empty() && !step(sockets::bind_to_device(fd, options.device.c_str()), "setsockopt")) return -1;
  if (options.local_host.empty() && options.local_port == 0) return 0;
  sockaddr_storage local{};
  const char* any = family == AF_INET6 ? "::" : "0.0.0.0";
  socklen_t length = parse_address(options.local_host.empty() ? any : options.local_host.c_str(), options.local_port, &local);
  if (!step(length == 0 ? -EINVAL : 0, "inet_pton")) return -1;
  // Without a port, it is chosen by connect(): bind() would allow each port once, whatever the target. With one, it may
  // still be in TIME_WAIT from the last time.
  bool chosen = options.local_port != 0;
  int result = chosen ? sockets::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)
                      : sockets::set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  bool bound = step(result, "setsockopt") && step(sockets::bind(fd, reinterpret_cast<sockaddr*>(&local), length), "bind");
  return bound ? 0 : -1;
}

}  // namespace

int begin_connect(const ConnectOptions& options, uint32_t user_timeout, ConnectError* error) {
  bool is_unix = !options.path.empty();
  sockaddr_storage address;
  socklen_t length = is_unix ? unix_address(options.path, &address) : parse_address(options.host.c_str(), options.port, &address);
  if (length == 0) {
    *error = {is_unix ? ENAMETOOLONG : EINVAL, is_unix ? "connect" : "inet_pton"};
    return -1;
  }
  int fd = sockets::socket(address.ss_family);
  if (fd < 0) {
    *error = {-fd, "socket"};
    return -1;
  }
  if (!is_unix) {
    set_connection_options(fd, user_timeout);
    if (bind_local(fd, address.ss_family, options, error) < 0) {
      sockets::close(fd);
      return -1;
    }
  }
  int result = sockets::connect(fd, reinterpret_cast<sockaddr*>(&address), length);
  if (result < 0 && result != -EINPROGRESS) {
    *error = {-result, "connect"};
    sockets::close(fd);
    return -1;
  }
  return fd;
}

}  // namespace martlet
