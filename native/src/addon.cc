// The N-API surface: argument checks and wrapping, no logic. One Session for each open reactor holds what must outlive
// the JavaScript object (handles of the loop, references to the shared memory); it goes when libuv has let go of the
// handles, after close() or when the environment ends. Nothing here is global: the constructor is instance data.
#include <errno.h>
#include <napi.h>
#include <string.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop/node_loop.h"
#include "loop/reactor.h"

namespace martlet {

namespace {

struct InstanceData {
  Napi::FunctionReference constructor;
};

std::string error_code(int error) {
  const char* name = strerrorname_np(error);
  return name ? name : std::to_string(error);
}

class ReactorObject;

class Session {
 public:
  Session(Napi::Env env, ReactorObject* object, const Options& options, const Memory& memory, Napi::Function on_turn,
          std::vector<Napi::ObjectReference> borrowed)
      : env_(env),
        object_(object),
        on_turn_(Napi::Persistent(on_turn)),
        borrowed_(std::move(borrowed)),
        reactor_(options, memory, call, this),
        loop_(reactor_, at_rest, this) {}

  int open() {
    int result = reactor_.open();
    if (result < 0) return result;
    uv_loop_t* loop;
    if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return -ENOSYS;
    result = loop_.start(loop);
    if (result < 0) return result;
    napi_add_async_cleanup_hook(env_, on_environment_end, this, &cleanup_);
    return 0;
  }

  Reactor& reactor() { return reactor_; }
  NodeLoop& loop() { return loop_; }

  void close() {
    if (reactor_.in_turn()) {
      close_requested_ = true;  // its records are being read: at_rest() does it
      return;
    }
    stop(true);
  }

 private:
  void stop(bool tell) {
    if (stopping_) return;
    stopping_ = true;
    from_javascript_ = !in_loop_;
    reactor_.close(tell);
    loop_.stop(stopped);
  }

  // Called by the reactor, once a turn.
  static void call(void* context, uint32_t records) {
    auto* self = static_cast<Session*>(context);
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
      napi_fatal_exception(self->env_, error.Value());
    } else if (!self->first_error_) {
      self->first_error_ = error;
    }
  }

  static bool at_rest(void* context) {
    auto* self = static_cast<Session*>(context);
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

  static void stopped(void* context);

  static void on_environment_end(napi_async_cleanup_hook_handle, void* context) {
    auto* self = static_cast<Session*>(context);
    self->stop(false);
  }

 public:
  std::optional<Napi::Error> take_first_error() { return std::exchange(first_error_, std::nullopt); }

 private:
  Napi::Env env_;
  ReactorObject* object_;
  Napi::FunctionReference on_turn_;
  std::vector<Napi::ObjectReference> borrowed_;
  Reactor reactor_;
  NodeLoop loop_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  std::optional<Napi::Error> first_error_;
  bool close_requested_ = false;
  bool stopping_ = false;
  bool in_loop_ = false;
  bool from_javascript_ = false;  // the last turns run inside close()
};

class ReactorObject : public Napi::ObjectWrap<ReactorObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeReactor",
                       {
                           InstanceMethod<&ReactorObject::listen>("listen"),
                           InstanceMethod<&ReactorObject::port>("port"),
                           InstanceMethod<&ReactorObject::unlisten>("unlisten"),
                           InstanceMethod<&ReactorObject::execute>("execute"),
                           InstanceMethod<&ReactorObject::keep_bytes>("keepBytes"),
                           InstanceMethod<&ReactorObject::read_kept>("readKept"),
                           InstanceMethod<&ReactorObject::ref>("ref"),
                           InstanceMethod<&ReactorObject::close>("close"),
                       });
  }

  explicit ReactorObject(const Napi::CallbackInfo& info);

  // libuv has let go: the object may be collected now.
  void session_ended() {
    session_ = nullptr;
    closed_ = true;
    Unref();
  }

 private:
  Napi::Value listen(const Napi::CallbackInfo& info);
  Napi::Value port(const Napi::CallbackInfo& info);
  void unlisten(const Napi::CallbackInfo& info);
  void execute(const Napi::CallbackInfo& info);
  void keep_bytes(const Napi::CallbackInfo& info);
  Napi::Value read_kept(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // Throws and returns null after close().
  Session* session(Napi::Env env) {
    if (session_ && !closed_) return session_;
    Napi::Error::New(env, "the reactor is closed").ThrowAsJavaScriptException();
    return nullptr;
  }
  static void throw_reactor_error(Napi::Env env, Session& session) {
    Napi::Error::New(env, session.reactor().take_error()).ThrowAsJavaScriptException();
  }

  Session* session_ = nullptr;
  bool closed_ = false;
};

void Session::stopped(void* context) {
  std::unique_ptr<Session> self(static_cast<Session*>(context));
  Napi::HandleScope scope(self->env_);
  self->object_->session_ended();
  napi_async_cleanup_hook_handle cleanup = self->cleanup_;
  self.reset();  // gives references up: the environment must still stand
  napi_remove_async_cleanup_hook(cleanup);
}

// -- arguments

class Arguments {
 public:
  explicit Arguments(Napi::Env env) : env_(env) {}

  bool number(const Napi::Object& from, const char* name, double least, double most, double* out) {
    Napi::Value value = from.Get(name);
    double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= least && number <= most)) {
      return fail(std::string(name) + " must be a number from " + std::to_string(static_cast<int64_t>(least)) +
                  " to " + std::to_string(static_cast<int64_t>(most)));
    }
    *out = number;
    return true;
  }

  template <typename T>
  bool number(const Napi::Object& from, const char* name, double least, double most, T* out) {
    double value;
    if (!number(from, name, least, most, &value)) return false;
    *out = static_cast<T>(value);
    return true;
  }

  /** A typed array of at least `least` elements, referenced for as long as native code borrows it. */
  template <typename T>
  bool array(const Napi::Object& from, const char* name, napi_typedarray_type type, size_t least, T** data,
             size_t* length = nullptr) {
    Napi::Value value = from.Get(name);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
      return fail(std::string(name) + ": wrong type of array");
    }
    auto array = value.As<Napi::TypedArray>();
    if (array.ElementLength() < least) return fail(std::string(name) + " is too short");
    void* bytes;
    napi_get_typedarray_info(env_, value, nullptr, nullptr, &bytes, nullptr, nullptr);
    *data = static_cast<T*>(bytes);
    if (length) *length = std::min<size_t>(array.ElementLength(), INT32_MAX);
    borrowed.push_back(Napi::Persistent(value.As<Napi::Object>()));
    return true;
  }

  bool fail(const std::string& text) {
    if (!env_.IsExceptionPending()) Napi::TypeError::New(env_, text).ThrowAsJavaScriptException();
    return false;
  }

  std::vector<Napi::ObjectReference> borrowed;

 private:
  Napi::Env env_;
};

bool read_options(Arguments& arguments, const Napi::Object& from, Options* out) {
  constexpr double kWord = INT32_MAX;
  constexpr double kSafe = 9007199254740991;
  out->poison = from.Get("poison").ToBoolean();
  return arguments.number(from, "maxConnections", 1, 1 << 24, &out->max_connections) &&
         arguments.number(from, "readSize", 1, 1 << 30, &out->read_size) &&
         arguments.number(from, "topicIds", 1, 1 << 24, &out->topic_ids) &&
         arguments.number(from, "maxTurns", 1, kWord, &out->max_turns) &&
         arguments.number(from, "acceptBudget", 1, kWord, &out->accept_budget) &&
         arguments.number(from, "unadmittedPacketLimit", 2, kWord, &out->unadmitted_packet_limit) &&
         arguments.number(from, "partialBudget", 1, kSafe, &out->partial_budget) &&
         arguments.number(from, "highWater", 1, kWord, &out->high_water) &&
         arguments.number(from, "lowWater", 0, out->high_water, &out->low_water) &&
         arguments.number(from, "flushAfter", 1, kSafe, &out->flush_after) &&
         arguments.number(from, "userTimeout", 0, kWord, &out->user_timeout);
}

bool read_memory(Arguments& arguments, const Napi::Object& from, uint32_t slots, Memory* out) {
  size_t inbox, inbox_bytes, outbox, outbox_bytes;
  bool good =
      arguments.array(from, "inbox", napi_int32_array, 64 * wire::kRecordWords, &out->inbox, &inbox) &&
      arguments.array(from, "inboxBytes", napi_uint8_array, 4096, &out->inbox_bytes, &inbox_bytes) &&
      arguments.array(from, "outbox", napi_int32_array, 256, &out->outbox, &outbox) &&
      arguments.array(from, "outboxBytes", napi_uint8_array, 256, &out->outbox_bytes, &outbox_bytes) &&
      arguments.array(from, "lastRead", napi_float64_array, slots, &out->last_read) &&
      arguments.array(from, "lastWrite", napi_float64_array, slots, &out->last_write) &&
      arguments.array(from, "queued", napi_uint32_array, slots, &out->queued) &&
      arguments.array(from, "bytesIn", napi_float64_array, slots, &out->bytes_in) &&
      arguments.array(from, "bytesOut", napi_float64_array, slots, &out->bytes_out) &&
      arguments.array(from, "leftOut", napi_uint32_array, slots, &out->left_out) &&
      arguments.array(from, "totals", napi_float64_array, wire::kTotals, &out->totals);
  if (!good) return false;
  out->inbox_records = static_cast<uint32_t>(inbox / wire::kRecordWords);
  out->inbox_size = static_cast<uint32_t>(inbox_bytes);
  out->outbox_words = static_cast<uint32_t>(outbox);
  out->outbox_size = static_cast<uint32_t>(outbox_bytes);
  return true;
}

ReactorObject::ReactorObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ReactorObject>(info) {
  Napi::Env env = info.Env();
  Arguments arguments(env);
  if (!info[0].IsObject() || !info[1].IsObject() || !info[2].IsFunction()) {
    arguments.fail("open(options, memory, onTurn)");
    return;
  }
  Options options;
  Memory memory;
  if (!read_options(arguments, info[0].As<Napi::Object>(), &options) ||
      !read_memory(arguments, info[1].As<Napi::Object>(), options.max_connections, &memory)) {
    return;
  }
  session_ = new Session(env, this, options, memory, info[2].As<Napi::Function>(), std::move(arguments.borrowed));
  int result = session_->open();
  if (result < 0) {
    delete session_;
    session_ = nullptr;
    Napi::Error error = Napi::Error::New(env, "open: " + error_code(-result));
    error.Set("code", error_code(-result));
    error.ThrowAsJavaScriptException();
    return;
  }
  Ref();  // lives until session_ended()
}

Napi::Value ReactorObject::listen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Session* session = this->session(env);
  if (!session) return env.Undefined();
  Arguments arguments(env);
  if (!info[0].IsObject()) return arguments.fail("listen(options)"), env.Undefined();
  auto from = info[0].As<Napi::Object>();
  std::string host = from.Get("host").ToString();
  ListenOptions options{};
  options.host = host.c_str();
  options.ipv6_only = from.Get("ipv6Only").ToBoolean();
  options.reuse_port = from.Get("reusePort").ToBoolean();
  if (!arguments.number(from, "port", 0, 65535, &options.port) ||
      !arguments.number(from, "backlog", 0, INT32_MAX, &options.backlog)) {
    return env.Undefined();
  }
  ListenError failure;
  int id = session->reactor().listen(options, &failure);
  if (id >= 0) return Napi::Number::New(env, id);
  std::string code = error_code(failure.error);
  Napi::Error error = Napi::Error::New(env, std::string(failure.syscall) + " " + code + " " + host + " port " +
                                                std::to_string(options.port) + ": " + strerror(failure.error));
  error.Set("code", code);
  error.Set("errno", Napi::Number::New(env, -failure.error));
  error.Set("syscall", failure.syscall);
  error.ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value ReactorObject::port(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Session* session = this->session(env);
  if (!session) return env.Undefined();
  Listener* listener = session->reactor().listener(info[0].ToNumber().Uint32Value());
  if (listener) return Napi::Number::New(env, listener->port());
  Napi::Error::New(env, "port: no such listener").ThrowAsJavaScriptException();
  return env.Undefined();
}

void ReactorObject::unlisten(const Napi::CallbackInfo& info) {
  if (session_ && !closed_) session_->reactor().unlisten(info[0].ToNumber().Uint32Value());
}

void ReactorObject::execute(const Napi::CallbackInfo& info) {
  if (!session_) return;  // what is written after close() reaches nobody
  if (!session_->reactor().execute()) throw_reactor_error(info.Env(), *session_);
}

void ReactorObject::keep_bytes(const Napi::CallbackInfo& info) {
  Session* session = this->session(info.Env());
  if (!session) return;
  if (!info[1].IsTypedArray()) {
    Arguments(info.Env()).fail("keepBytes(handle, bytes, headLength)");
    return;
  }
  auto bytes = info[1].As<Napi::Uint8Array>();
  if (!session->reactor().keep_bytes(info[0].ToNumber(), bytes.Data(), static_cast<uint32_t>(bytes.ByteLength()),
                                     info[2].ToNumber().Uint32Value())) {
    throw_reactor_error(info.Env(), *session);
  }
}

Napi::Value ReactorObject::read_kept(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Session* session = this->session(env);
  if (!session) return env.Undefined();
  if (!info[2].IsTypedArray()) return Arguments(env).fail("readKept(handle, offset, target)"), env.Undefined();
  auto target = info[2].As<Napi::Uint8Array>();
  int64_t offset = info[1].ToNumber().Int64Value();
  int64_t count = session->reactor().read_kept(info[0].ToNumber(), static_cast<uint64_t>(std::max<int64_t>(offset, 0)),
                                               target.Data(), target.ByteLength());
  if (count >= 0) return Napi::Number::New(env, static_cast<double>(count));
  throw_reactor_error(env, *session);
  return env.Undefined();
}

void ReactorObject::ref(const Napi::CallbackInfo& info) {
  if (session_ && !closed_) session_->loop().ref(info[0].ToBoolean());
}

void ReactorObject::close(const Napi::CallbackInfo& info) {
  if (!session_ || closed_) return;
  Session* session = session_;
  closed_ = !session->reactor().in_turn();
  session->close();
  if (auto error = session->take_first_error()) {
    error->ThrowAsJavaScriptException();
  } else if (closed_) {
    std::string text = session->reactor().take_error();
    if (!text.empty()) Napi::Error::New(info.Env(), text).ThrowAsJavaScriptException();
  }
}

Napi::Value open(const Napi::CallbackInfo& info) {
  std::vector<napi_value> arguments;
  for (size_t i = 0; i < 3; ++i) arguments.push_back(info[i]);
  return info.Env().GetInstanceData<InstanceData>()->constructor.New(arguments);
}

Napi::Value raise_descriptor_limit(const Napi::CallbackInfo& info) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // the answer below tells whether it worked
  getrlimit(RLIMIT_NOFILE, &limit);
  auto pair = Napi::Array::New(info.Env(), 2);
  pair.Set(uint32_t{0}, static_cast<double>(limit.rlim_cur));
  pair.Set(uint32_t{1}, static_cast<double>(limit.rlim_max));
  return pair;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new InstanceData;
  data->constructor = Napi::Persistent(ReactorObject::define(env));
  env.SetInstanceData(data);
  exports.Set("open", Napi::Function::New(env, open, "open"));
  exports.Set("raiseDescriptorLimit", Napi::Function::New(env, raise_descriptor_limit, "raiseDescriptorLimit"));
  return exports;
}

}  // namespace

}  // namespace martlet

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return martlet::init(env, exports); }
NODE_API_MODULE(martlet, Init)
