// A reactor that is open in a Node environment: what must outlive the JavaScript object (handles of the loop,
// references to the shared memory and the callback). Deletes itself when libuv has let go of the handles, after
// close() or when the environment ends, and tells its owner.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop/node_loop.h"
#include "loop/reactor.h"

namespace martlet {

class OpenReactor {
 public:
  using Gone = void (*)(void* owner);

  OpenReactor(Napi::Env env, const Options& options, const Memory& memory, Napi::Function on_turn,
              std::vector<Napi::ObjectReference> borrowed);

  /** Returns 0 or a negative errno; only after 0 it deletes itself one day and calls `gone`. */
  int start(Gone gone, void* owner);
  /** Inside a turn: at its end. Outside: now, and the last records are told before this returns. */
  void close();
  /** What the callback threw while close() told the last records. */
  std::optional<Napi::Error> take_first_error();

  Reactor& reactor() { return reactor_; }
  NodeLoop& loop() { return loop_; }

 private:
  void stop(bool tell);
  static void call(void* context, uint32_t records);
  static bool at_rest(void* context);
  static void stopped(void* context);
  static void on_environment_end(napi_async_cleanup_hook_handle handle, void* context);

  Napi::Env env_;
  Gone gone_ = nullptr;
  void* owner_ = nullptr;
  Napi::FunctionReference on_turn_;
  std::vector<Napi::ObjectReference> borrowed_;
  Reactor reactor_;
  NodeLoop loop_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  std::optional<Napi::Error> first_error_;
  bool close_requested_ = false;
  bool stopping_ = false;
  bool in_loop_ = false;          // called by libuv, not by JavaScript
  bool from_javascript_ = false;  // the last turns run inside close()
};

}  // namespace martlet
