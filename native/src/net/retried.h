// The one answer to EINTR: the call is made again. For calls that return -1 and set errno.
#pragma once

#include <errno.h>

namespace martlet::sockets {

/** Makes the call until no signal interrupts it; what it returned, or -errno. */
template <typename Call>
auto retried(Call call) -> decltype(call()) {
  for (;;) {
    auto result = call();
    if (result >= 0) return result;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace martlet::sockets
