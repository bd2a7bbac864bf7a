#include "open_reactor.h"

#include <errno.h>

#include <utility>

namespace martlet {

OpenReactor::OpenReactor(Napi::Env env, const Options& options, const Memory& memory, Napi::Function on_turn,
                         std::vector<Napi::ObjectReference> borrowed)
    : env_(env),
      on_turn_(Napi::Persistent(on_turn)),
      borrowed_(std::move(borrowed)),
      reactor_(options, memory, call, this),
      loop_(reactor_, at_rest, this) {}

int OpenReactor::start(Gone gone, void* owner) {
  gone_ = gone;
  owner_ = owner;
  int result = reactor_.open();
  if (result < 0) return result;
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return -ENOSYS;
  result = loop_.start(loop);
  if (result < 0) return result;
  // Asynchronous, because libuv is not done with a handle before the loop went round once more.
  napi_add_async_cleanup_hook(env_, on_environment_end, this, &cleanup_);
  return 0;
}

void OpenReactor::close() {
  if (reactor_.in_turn()) {
    close_requested_ = true;  // its records are being read: at_rest() does it
  } else {
    stop(true);
  }
}

void OpenReactor::stop(bool tell) {
  if (stopping_) return;
  stopping_ = true;
  from_javascript_ = !in_loop_;
  reactor_.close(tell);
  loop_.stop(stopped);
}

// Called by the reactor, once a turn.
void OpenReactor::call(void* context, uint32_t records) {
  auto* self = static_cast<OpenReactor*>(context);
  Napi::HandleScope scope(self->env_);
  napi_env env = self->env_;
  napi_value count = Napi::Number::New(env, records);
  napi_value global = Napi::Env(env).Global();
  napi_value function = self->on_turn_.Value();
  // Plain N-API: in a worker that is being terminated no call succeeds, and the wrappers make that fatal.
  napi_status status = self->from_javascript_
                           ? napi_call_function(env, global, function, 1, &count, nullptr)
                           : napi_make_callback(env, nullptr, global, function, 1, &count, nullptr);
  if (status != napi_pending_exception || !self->env_.IsExceptionPending()) return;
  // The turn goes on. In a turn of the loop the error is uncaught; in close() it waits for the last record.
  Napi::Error error = self->env_.GetAndClearPendingException();
  if (!self->from_javascript_) {
    napi_fatal_exception(env, error.Value());
  } else if (!self->first_error_) {
    self->first_error_ = error;
  }
}

bool OpenReactor::at_rest(void* context) {
  auto* self = static_cast<OpenReactor*>(context);
  if (self->stopping_) return false;
  self->in_loop_ = true;
  std::string text = self->reactor_.take_error();
  if (!text.empty()) {
    Napi::HandleScope scope(self->env_);
    napi_fatal_exception(self->env_, Napi::Error::New(self->env_, text).Value());
  }
  if (self->close_requested_) self->stop(true);
  self->in_loop_ = false;
  return !self->stopping_;
}

void OpenReactor::on_environment_end(napi_async_cleanup_hook_handle, void* context) {
  static_cast<OpenReactor*>(context)->stop(false);
}

void OpenReactor::stopped(void* context) {
  std::unique_ptr<OpenReactor> self(static_cast<OpenReactor*>(context));
  Napi::HandleScope scope(self->env_);
  self->gone_(self->owner_);
  napi_async_cleanup_hook_handle cleanup = self->cleanup_;
  self.reset();  // gives references up: the environment must still stand
  napi_remove_async_cleanup_hook(cleanup);
}

std::optional<Napi::Error> OpenReactor::take_first_error() { return std::exchange(first_error_, std::nullopt); }

}  // namespace martlet
