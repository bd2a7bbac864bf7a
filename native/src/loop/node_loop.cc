#include "loop/node_loop.h"

namespace martlet {

namespace {

// After this Node has its say: timers, HTTP, commits.
constexpr double kMostPerIteration = 1.0;  // ms

}  // namespace

NodeLoop::NodeLoop(Reactor& reactor, AtRest at_rest, void* context)
    : reactor_(reactor), at_rest_(at_rest), context_(context) {}

int NodeLoop::start(uv_loop_t* loop) {
  int result = uv_poll_init(loop, &poll_, reactor_.epoll_fd());
  if (result < 0) return result;
  uv_prepare_init(loop, &prepare_);
  poll_.data = prepare_.data = this;
  open_handles_ = 2;
  // The poll handle alone decides whether the process lives.
  uv_prepare_start(&prepare_, on_prepare);
  uv_unref(reinterpret_cast<uv_handle_t*>(&prepare_));
  return uv_poll_start(&poll_, UV_READABLE, on_poll);
}

void NodeLoop::stop(Stopped stopped) {
  stopped_ = stopped;
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), on_closed);
}

void NodeLoop::ref(bool keep_alive) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  keep_alive ? uv_ref(handle) : uv_unref(handle);
}

void NodeLoop::on_poll(uv_poll_t* handle, int, int) {
  auto* self = static_cast<NodeLoop*>(handle->data);
  double started = sockets::now();
  for (uint32_t turn = 0; turn < self->reactor_.max_turns(); ++turn) {
    bool more = self->reactor_.turn();
    if (!self->at_rest_(self->context_) || !more) return;
    if (sockets::now() - started >= kMostPerIteration) return;
  }
}

void NodeLoop::on_prepare(uv_prepare_t* handle) {
  auto* self = static_cast<NodeLoop*>(handle->data);
  self->reactor_.before_sleep();
  self->at_rest_(self->context_);
}

void NodeLoop::on_closed(uv_handle_t* handle) {
  auto* self = static_cast<NodeLoop*>(handle->data);
  if (--self->open_handles_ == 0) self->stopped_(self->context_);
}

}  // namespace martlet
