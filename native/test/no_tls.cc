// Stands in for the files of TLS, so that everything else is tested without OpenSSL. What stands in for the client's side
// shakes hands in its own way: it says "hello", and goes on when it has heard "olleh".
#include <errno.h>

#include <algorithm>
#include <string_view>

#include "net/tls.h"

namespace martlet {

class TlsCaller {};

namespace {

class HelloLayer final : public Layer {
 public:
  HelloLayer(Stream& stream, std::unique_ptr<Layer> below) : Layer(std::move(below)), stream_(stream) {
    stream_.shakes_hands = true;
  }

  int64_t recv(uint8_t* into, size_t size) override {
    if (heard_ == kAnswer.size()) return below().recv(into, size);
    int64_t got = below().recv(into, std::min(size, kAnswer.size() - heard_));
    if (got <= 0) return got;
    if (kAnswer.substr(heard_, static_cast<size_t>(got)) != std::string_view(reinterpret_cast<char*>(into), static_cast<size_t>(got))) {
      return stream_.fail("hello was not understood");
    }
    heard_ += static_cast<size_t>(got);
    if (heard_ < kAnswer.size()) return -EAGAIN;
    stream_.shakes_hands = false;
    stream_.learn(wire::Fact::Cipher, "hello");
    return -EAGAIN;
  }
  int flush() override {
    while (said_ < kWord.size()) {
      iovec part{const_cast<char*>(kWord.data()) + said_, kWord.size() - said_};
      int64_t taken = below().send(&part, 1, part.iov_len);
      if (taken < 0) return static_cast<int>(taken);
      said_ += static_cast<size_t>(taken);
    }
    return below().flush();
  }
  bool speaks() const override { return said_ < kWord.size(); }

 private:
  static constexpr std::string_view kWord = "hello", kAnswer = "olleh";
  Stream& stream_;
  size_t said_ = 0, heard_ = 0;
};

}  // namespace

std::shared_ptr<TlsDoor> make_tls_door(const TlsOptions&, std::string* error) {
  *error = "no TLS here";
  return nullptr;
}
bool change_tls_door(TlsDoor&, const TlsOptions&, std::string*) { return false; }
std::unique_ptr<Layer> make_tls_layer(Stream&, TlsDoor&, std::unique_ptr<Layer> below) { return below; }
std::shared_ptr<const TlsCaller> make_tls_caller(const TlsOptions&, std::string*) { return std::make_shared<TlsCaller>(); }
std::unique_ptr<Layer> make_tls_caller_layer(Stream& stream, const TlsCaller&, const std::string&,
                                             std::unique_ptr<Layer> below) {
  return std::make_unique<HelloLayer>(stream, std::move(below));
}

}  // namespace martlet
