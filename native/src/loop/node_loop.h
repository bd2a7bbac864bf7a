// Binds a Reactor to Node's own loop: one poll handle on the epoll set, one prepare handle that flushes what was
// written outside turns, the last thing before the loop sleeps. Owns the two handles, not the reactor.
#pragma once

#include <uv.h>

#include "loop/reactor.h"

namespace martlet {

class NodeLoop {
 public:
  /** Called after each turn and each flush outside one, when the reactor is at rest; false: turn no more. */
  using AtRest = bool (*)(void* context);
  using Stopped = void (*)(void* context);

  NodeLoop(Reactor& reactor, AtRest at_rest, void* context);
  NodeLoop(const NodeLoop&) = delete;
  NodeLoop& operator=(const NodeLoop&) = delete;

  /** Returns 0 or a libuv error; after an error nothing is left open. */
  int start(uv_loop_t* loop);
  /** Closes the handles; `stopped` is called when libuv has let go of them. */
  void stop(Stopped stopped);
  void ref(bool keep_alive);

 private:
  static void on_poll(uv_poll_t* handle, int status, int events);
  static void on_prepare(uv_prepare_t* handle);
  static void on_closed(uv_handle_t* handle);

  Reactor& reactor_;
  AtRest at_rest_;
  void* context_;
  Stopped stopped_ = nullptr;
  uv_poll_t poll_;
  uv_prepare_t prepare_;
  int open_handles_ = 0;
};

}  // namespace martlet
