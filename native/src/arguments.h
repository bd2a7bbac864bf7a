// Checks what JavaScript hands over and turns it into the reactor's own types. Throws a TypeError that names the
// argument; borrows memory only through references, which the caller keeps for as long as native code uses it.
#pragma once

#include <napi.h>

#include <algorithm>
#include <string>
#include <vector>

#include "loop/reactor.h"

namespace martlet {

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

  /** A text that may be left out. */
  std::string text(const Napi::Object& from, const char* name) {
    Napi::Value value = from.Get(name);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  }

  /** A list of texts that may be left out; `use` says whether one is right. */
  template <typename Use>
  bool texts(const Napi::Object& from, const char* name, Use use) {
    Napi::Value value = from.Get(name);
    if (!value.IsArray()) return true;
    auto list = value.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      std::string item = list.Get(i).ToString();
      if (!use(item)) return fail(std::string(name) + ": '" + item + "' cannot be used");
    }
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

/** ReactorOptions of native/index.d.ts. False: a TypeError is pending. */
bool read_options(Arguments& arguments, const Napi::Object& from, Options* out);
/** ListenOptions; a TLS door is looked up in `reactor`. */
bool read_listen_options(Arguments& arguments, const Napi::Object& from, const Reactor& reactor, ListenOptions* out);
/** ConnectOptions; a TLS caller is looked up in `reactor`. */
bool read_connect_options(Arguments& arguments, const Napi::Object& from, const Reactor& reactor, ConnectOptions* out);
/** TlsOptions. */
bool read_tls_options(Arguments& arguments, const Napi::Object& from, TlsOptions* out);
/** ReactorMemory. A typed array that is detached later would leave native code with nothing: nobody may transfer it. */
bool read_memory(Arguments& arguments, const Napi::Object& from, uint32_t slots, Memory* out);

}  // namespace martlet
