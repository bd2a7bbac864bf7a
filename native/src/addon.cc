// The N-API surface: the NativeReactor class and the two functions of the addon; checks and wraps, decides nothing.
// Nothing here is global: the constructor is instance data, so every environment (worker) has its own.
#include <napi.h>
#include <string.h>
#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "open_reactor.h"

namespace martlet {

namespace {

struct InstanceData {
  Napi::FunctionReference constructor;
};

std::string error_code(int error) {
  const char* name = strerrorname_np(error);
  return name ? name : std::to_string(error);
}

/** As Node's own errors are: `code`, `errno`, `syscall`. */
void throw_system_error(Napi::Env env, int error, const char* syscall, const std::string& where) {
  std::string code = error_code(error);
  Napi::Error thrown = Napi::Error::New(env, std::string(syscall) + " " + code + " " + where + ": " + strerror(error));
  thrown.Set("code", code);
  thrown.Set("errno", Napi::Number::New(env, -error));
  thrown.Set("syscall", syscall);
  thrown.ThrowAsJavaScriptException();
}

class ReactorObject : public Napi::ObjectWrap<ReactorObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeReactor",
                       {
                           InstanceMethod<&ReactorObject::listen>("listen"),
                           InstanceMethod<&ReactorObject::connect>("connect"),
                           InstanceMethod<&ReactorObject::secure>("secure"),
                           InstanceMethod<&ReactorObject::secure_caller>("secureCaller"),
                           InstanceMethod<&ReactorObject::resecure>("resecure"),
                           InstanceMethod<&ReactorObject::port>("port"),
                           InstanceMethod<&ReactorObject::unlisten>("unlisten"),
                           InstanceMethod<&ReactorObject::execute>("execute"),
                           InstanceMethod<&ReactorObject::keep_bytes>("keepBytes"),
                           InstanceMethod<&ReactorObject::read_kept>("readKept"),
                           InstanceMethod<&ReactorObject::trim>("trim"),
                           InstanceMethod<&ReactorObject::ref>("ref"),
                           InstanceMethod<&ReactorObject::close>("close"),
                       });
  }

  explicit ReactorObject(const Napi::CallbackInfo& info);

 private:
  // libuv has let go: the object may be collected now.
  static void gone(void* owner) {
    auto* self = static_cast<ReactorObject*>(owner);
    self->open_ = nullptr;
    self->closed_ = true;
    self->Unref();
  }

  Napi::Value listen(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  Napi::Value secure(const Napi::CallbackInfo& info);
  Napi::Value secure_caller(const Napi::CallbackInfo& info);
  void resecure(const Napi::CallbackInfo& info);
  Napi::Value port(const Napi::CallbackInfo& info);
  void unlisten(const Napi::CallbackInfo& info);
  void execute(const Napi::CallbackInfo& info);
  void keep_bytes(const Napi::CallbackInfo& info);
  Napi::Value read_kept(const Napi::CallbackInfo& info);
  void trim(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // Throws and returns null after close().
  OpenReactor* opened(Napi::Env env) {
    if (open_ && !closed_) return open_;
    Napi::Error::New(env, "the reactor is closed").ThrowAsJavaScriptException();
    return nullptr;
  }
  static void throw_reactor_error(Napi::Env env, OpenReactor& open) {
    Napi::Error::New(env, open.reactor().take_error()).ThrowAsJavaScriptException();
  }

  OpenReactor* open_ = nullptr;
  bool closed_ = false;
};

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
  open_ = new OpenReactor(env, options, memory, info[2].As<Napi::Function>(), std::move(arguments.borrowed));
  int result = open_->start(gone, this);
  if (result < 0) {
    delete open_;
    open_ = nullptr;
    Napi::Error error = Napi::Error::New(env, "open: " + error_code(-result));
    error.Set("code", error_code(-result));
    error.ThrowAsJavaScriptException();
    return;
  }
  Ref();  // lives until gone()
}

Napi::Value ReactorObject::listen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OpenReactor* open = opened(env);
  if (!open) return env.Undefined();
  Arguments arguments(env);
  if (!info[0].IsObject()) return arguments.fail("listen(options)"), env.Undefined();
  auto from = info[0].As<Napi::Object>();
  ListenOptions options;
  if (!read_listen_options(arguments, from, open->reactor(), &options)) return env.Undefined();
  ListenError failure;
  int id = open->reactor().listen(options, &failure);
  if (id >= 0) return Napi::Number::New(env, id);
  std::string where = options.path.empty() ? options.host + " port " + std::to_string(options.port) : options.path;
  throw_system_error(env, failure.error, failure.syscall, where);
  return env.Undefined();
}

Napi::Value ReactorObject::connect(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!open_ || closed_) {  // as the reactor says it while it closes: whoever dials hears of it in one way
    throw_system_error(env, ECANCELED, "connect", "the reactor is closed");
    return env.Undefined();
  }
  OpenReactor* open = open_;
  Arguments arguments(env);
  if (!info[0].IsObject()) return arguments.fail("connect(options)"), env.Undefined();
  ConnectOptions options;
  if (!read_connect_options(arguments, info[0].As<Napi::Object>(), open->reactor(), &options)) return env.Undefined();
  ConnectionId id;
  ConnectError failure;
  if (!open->reactor().connect(options, &id, &failure)) {
    std::string where = options.path.empty() ? options.host + " port " + std::to_string(options.port) : options.path;
    throw_system_error(env, failure.error, failure.syscall, where);
    return env.Undefined();
  }
  auto pair = Napi::Array::New(env, 2);
  pair.Set(uint32_t{0}, id.slot);
  pair.Set(uint32_t{1}, id.generation);
  return pair;
}

Napi::Value ReactorObject::secure(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OpenReactor* open = opened(env);
  if (!open) return env.Undefined();
  Arguments arguments(env);
  if (!info[0].IsObject()) return arguments.fail("secure(options)"), env.Undefined();
  TlsOptions options;
  if (!read_tls_options(arguments, info[0].As<Napi::Object>(), &options)) return env.Undefined();
  std::string problem;
  int door = open->reactor().secure(options, &problem);
  if (door >= 0) return Napi::Number::New(env, door);
  Napi::Error::New(env, problem).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value ReactorObject::secure_caller(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OpenReactor* open = opened(env);
  if (!open) return env.Undefined();
  Arguments arguments(env);
  if (!info[0].IsObject()) return arguments.fail("secureCaller(options)"), env.Undefined();
  TlsOptions options;
  if (!read_tls_options(arguments, info[0].As<Napi::Object>(), &options)) return env.Undefined();
  std::string problem;
  int caller = open->reactor().secure_caller(options, &problem);
  if (caller >= 0) return Napi::Number::New(env, caller);
  Napi::Error::New(env, problem).ThrowAsJavaScriptException();
  return env.Undefined();
}

void ReactorObject::resecure(const Napi::CallbackInfo& info) {
  OpenReactor* open = opened(info.Env());
  if (!open) return;
  Arguments arguments(info.Env());
  TlsOptions options;
  if (!info[1].IsObject()) return void(arguments.fail("resecure(door, options)"));
  if (!read_tls_options(arguments, info[1].As<Napi::Object>(), &options)) return;
  std::string problem;
  if (open->reactor().resecure(info[0].ToNumber().Uint32Value(), options, &problem)) return;
  Napi::Error::New(info.Env(), problem).ThrowAsJavaScriptException();
}

Napi::Value ReactorObject::port(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OpenReactor* open = opened(env);
  if (!open) return env.Undefined();
  Listener* listener = open->reactor().listener(info[0].ToNumber().Uint32Value());
  if (listener) return Napi::Number::New(env, listener->port());
  Napi::Error::New(env, "port: no such listener").ThrowAsJavaScriptException();
  return env.Undefined();
}

void ReactorObject::unlisten(const Napi::CallbackInfo& info) {
  if (open_ && !closed_) open_->reactor().unlisten(info[0].ToNumber().Uint32Value());
}

void ReactorObject::execute(const Napi::CallbackInfo& info) {
  if (!open_) return;  // what is written after close() reaches nobody
  if (!open_->reactor().execute()) throw_reactor_error(info.Env(), *open_);
}

void ReactorObject::keep_bytes(const Napi::CallbackInfo& info) {
  OpenReactor* open = opened(info.Env());
  if (!open) return;
  if (!info[1].IsTypedArray()) {
    Arguments(info.Env()).fail("keepBytes(handle, bytes, headLength)");
    return;
  }
  auto bytes = info[1].As<Napi::Uint8Array>();
  if (!open->reactor().keep_bytes(info[0].ToNumber(), bytes.Data(), static_cast<uint32_t>(bytes.ByteLength()),
                                     info[2].ToNumber().Uint32Value())) {
    throw_reactor_error(info.Env(), *open);
  }
}

Napi::Value ReactorObject::read_kept(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OpenReactor* open = opened(env);
  if (!open) return env.Undefined();
  if (!info[2].IsTypedArray()) return Arguments(env).fail("readKept(handle, offset, target)"), env.Undefined();
  auto target = info[2].As<Napi::Uint8Array>();
  int64_t offset = info[1].ToNumber().Int64Value();
  int64_t count = open->reactor().read_kept(info[0].ToNumber(), static_cast<uint64_t>(std::max<int64_t>(offset, 0)),
                                               target.Data(), target.ByteLength());
  if (count >= 0) return Napi::Number::New(env, static_cast<double>(count));
  throw_reactor_error(env, *open);
  return env.Undefined();
}

void ReactorObject::trim(const Napi::CallbackInfo&) {
  if (open_ && !closed_) open_->reactor().trim();
}

void ReactorObject::ref(const Napi::CallbackInfo& info) {
  if (open_ && !closed_) open_->loop().ref(info[0].ToBoolean());
}

void ReactorObject::close(const Napi::CallbackInfo& info) {
  if (!open_ || closed_) return;
  OpenReactor* open = open_;
  closed_ = !open->reactor().in_turn();
  open->close();
  if (auto error = open->take_first_error()) {
    error->ThrowAsJavaScriptException();
  } else if (closed_) {
    std::string text = open->reactor().take_error();
    if (!text.empty()) Napi::Error::New(info.Env(), text).ThrowAsJavaScriptException();
  }
}

Napi::Value open(const Napi::CallbackInfo& info) {
  std::vector<napi_value> arguments;
  for (size_t i = 0; i < 3; ++i) arguments.push_back(info[i]);
  return info.Env().GetInstanceData<InstanceData>()->constructor.New(arguments);
}

// A datagram to a Unix socket, for systemd: Node has no such sockets.
Napi::Value send_datagram(const Napi::CallbackInfo& info) {
  std::string path = info[0].ToString(), text = info[1].ToString();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return Napi::Number::New(info.Env(), -ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract name space
  int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Napi::Number::New(info.Env(), -errno);
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  ssize_t sent = ::sendto(fd, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), length);
  int result = sent < 0 ? -errno : 0;
  ::close(fd);
  return Napi::Number::New(info.Env(), result);
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

/* exit() would wait for Node's pool of threads, and one of those may hang in a system call on a device that does not answer. */
void end_process(const Napi::CallbackInfo& info) { _exit(info[0].As<Napi::Number>().Int32Value()); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new InstanceData;
  data->constructor = Napi::Persistent(ReactorObject::define(env));
  env.SetInstanceData(data);
  exports.Set("open", Napi::Function::New(env, open, "open"));
  exports.Set("endProcess", Napi::Function::New(env, end_process, "endProcess"));
  exports.Set("sendDatagram", Napi::Function::New(env, send_datagram, "sendDatagram"));
  exports.Set("raiseDescriptorLimit", Napi::Function::New(env, raise_descriptor_limit, "raiseDescriptorLimit"));
  return exports;
}

}  // namespace

}  // namespace martlet

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return martlet::init(env, exports); }
NODE_API_MODULE(martlet, Init)
