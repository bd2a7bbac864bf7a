// The TLS layer: OpenSSL between the layer below and the one above. It reads and writes through a BIO of ours, so that it
// stands on any layer and copies no ciphertext twice.
#include "net/tls.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "net/openssl.h"
#include "net/tls_caller.h"
#include "net/tls_door.h"

namespace martlet {

using openssl::ErrorScope;
using openssl::Owned;

namespace {

constexpr size_t kRecord = 16384;
constexpr size_t kMostName = 256;      // of a common name or a PSK identity
constexpr size_t kMostSubject = 1024;
// SSL_read goes on until it has data: a peer that sends nothing but KeyUpdates, as fast as it can, would never let it
// return. A record takes two reads of the socket; what is left there is reported again.
constexpr uint32_t kMostReads = 2;

class TlsLayer final : public Layer {
 public:
  TlsLayer(Stream& stream, TlsDoor& door, std::unique_ptr<Layer> below)
      : Layer(std::move(below)), stream_(stream), calls_(false), ssl_(door.open(&peer_)) {
    begin();
  }
  TlsLayer(Stream& stream, const TlsCaller& caller, const std::string& server_name, std::unique_ptr<Layer> below)
      : Layer(std::move(below)), stream_(stream), calls_(true), ssl_(caller.open(server_name)) {
    write_blocked_ = true;  // who calls speaks first: with the first flush()
    begin();
  }

  int64_t recv(uint8_t* into, size_t size) override;
  int64_t send(const iovec* parts, size_t count, size_t waiting) override;
  int flush() override;
  void finish() override { finishing_ = true; }
  bool pending() const override { return pending_; }
  bool stuck() const override { return (stuck_ && write_blocked_) || below().stuck(); }
  bool speaks() const override { return write_blocked_ || (finishing_ && !finished_); }

  // For the BIO.
  int64_t read_below(uint8_t* into, size_t size) {
    if (reads_left_ == 0) return -EAGAIN;
    --reads_left_;
    int64_t got = below().recv(into, size);
    shorten();
    return below_result_ = got;
  }
  int64_t write_below(const void* from, size_t size) {
    iovec part{const_cast<void*>(from), size};
    int64_t taken = below().send(&part, 1, size);
    write_blocked_ = taken == -EAGAIN;
    if (taken < 0 && taken != -EAGAIN) below_result_ = taken;
    return taken;
  }

 private:
  void begin();
  // OpenSSL may hold what came meanwhile, of which the socket does not tell.
  void unstick() { pending_ = std::exchange(stuck_, false) || pending_; }
  int64_t shake_hands();
  bool learn();
  bool learn_certificate();
  int64_t broken(int result, const char* what);

  Stream& stream_;
  const bool calls_;    // the client of the two
  TlsDoor::Peer peer_;  // outlives ssl_
  Owned<SSL> ssl_;
  int64_t below_result_ = 1;  // of the last recv or failed send below
  uint32_t reads_left_ = 0;   // of the layer below, within one call of OpenSSL
  bool shaking_ = true;
  bool pending_ = false;
  bool write_blocked_ = false;
  bool stuck_ = false;  // SSL_read has to answer something first (a KeyUpdate), and the socket did not take it
  bool finishing_ = false;
  bool finished_ = false;
  bool failed_ = false;
};

int bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  auto* layer = static_cast<TlsLayer*>(BIO_get_data(bio));
  int64_t got = layer->read_below(reinterpret_cast<uint8_t*>(into), static_cast<size_t>(size));
  if (got == -EAGAIN) BIO_set_retry_read(bio);
  return got < 0 ? -1 : static_cast<int>(got);
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  int64_t taken = static_cast<TlsLayer*>(BIO_get_data(bio))->write_below(from, static_cast<size_t>(size));
  if (taken == -EAGAIN) BIO_set_retry_write(bio);
  return taken < 0 ? -1 : static_cast<int>(taken);
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "martlet");
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

void TlsLayer::begin() {
  stream_.shakes_hands = true;
  ErrorScope errors;
  BIO* bio = ssl_ ? BIO_new(bio_method()) : nullptr;
  if (!bio) {
    failed_ = true;  // out of memory: the first recv says so
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

int64_t TlsLayer::recv(uint8_t* into, size_t size) {
  if (failed_) return stream_.fail("TLS: out of memory");
  if (shaking_) return shake_hands();
  ErrorScope errors;
  size_t filled = 0;
  int result = 0;
  pending_ = false;
  do {
    reads_left_ = kMostReads;
    result = SSL_read(ssl_.get(), into + filled, static_cast<int>(std::min<size_t>(size - filled, INT32_MAX)));
    if (result <= 0) break;
    filled += static_cast<size_t>(result);
  } while (filled < size && SSL_has_pending(ssl_.get()));
  // After WANT_READ what OpenSSL holds is a part of a record: of no use without the socket.
  if (result > 0) pending_ = SSL_has_pending(ssl_.get());
  if (filled > 0) {
    if (result <= 0 && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) pending_ = true;  // told next time
    return static_cast<int64_t>(filled);
  }
  return broken(result, "TLS");
}

// What a result of 0 or less means, as recv would say it.
int64_t TlsLayer::broken(int result, const char* what) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_WRITE:
      stuck_ = true;
      return -EAGAIN;
    case SSL_ERROR_WANT_READ:
      return below_result_ == kLayerFailed ? kLayerFailed : -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      break;
  }
  finished_ = true;  // no goodbye after a fatal error
  if (below_result_ == kLayerFailed) return kLayerFailed;
  // MQTT ends its streams itself: a FIN without close_notify truncates nothing that could be mistaken for whole.
  if (below_result_ == 0) return shaking_ ? stream_.fail("TLS: the peer went away during the handshake") : 0;
  if (below_result_ < 0 && below_result_ != -EAGAIN) return below_result_;
  long verified = SSL_get_verify_result(ssl_.get());
  if (shaking_ && verified != X509_V_OK) {
    return stream_.fail(std::string("TLS: ") + (calls_ ? "server" : "client") + " certificate: " + X509_verify_cert_error_string(verified));
  }
  return stream_.fail(std::string(what) + ": " + ErrorScope::reason("protocol error"));
}

int64_t TlsLayer::shake_hands() {
  ErrorScope errors;
  reads_left_ = UINT32_MAX;  // a handshake has an end
  int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return broken(result, "TLS handshake");
  shaking_ = false;
  stream_.shakes_hands = false;
  pending_ = SSL_has_pending(ssl_.get());
  if (!learn()) return kLayerFailed;
  return -EAGAIN;
}

bool TlsLayer::learn() {
  SSL* ssl = ssl_.get();
  stream_.learn(wire::Fact::Cipher, std::string(SSL_get_version(ssl)) + " " + SSL_get_cipher_name(ssl) +
                                        (SSL_session_reused(ssl) ? " resumed" : ""));
  if (calls_) return true;  // who the server is was known before, and has been verified
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name); name && strlen(name) <= 255) {
    stream_.learn(wire::Fact::ServerName, name);
  }
  // TLS 1.3 does not tell it; but there, without tickets, a resumed session is one that began with a shared key, and
  // the last key that was found is the one whose binder was verified.
  bool by_key = SSL_version(ssl) == TLS1_3_VERSION && SSL_session_reused(ssl) && !peer_.psk_identity.empty();
  if (const char* identity = by_key ? peer_.psk_identity.c_str() : SSL_get_psk_identity(ssl)) {
    if (strlen(identity) > kMostName) return stream_.fail("TLS: a PSK identity of more than 256 bytes"), false;
    stream_.learn(wire::Fact::PskIdentity, identity);
  }
  return learn_certificate();
}

// Whoever is let in by a name must not be let in by a part of it: a name that cannot be told whole ends the connection.
bool TlsLayer::learn_certificate() {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (!certificate || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return true;
  X509_NAME* subject = X509_get_subject_name(certificate);
  int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) {
    unsigned char* text = nullptr;
    int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    std::string name(size > 0 ? reinterpret_cast<char*>(text) : "", size > 0 ? static_cast<size_t>(size) : 0);
    if (size >= 0) OPENSSL_free(text);
    if (size <= 0 || name.size() > kMostName || name.find('\0') != std::string::npos) {
      return stream_.fail("TLS: the client certificate's common name cannot be used"), false;
    }
    stream_.learn(wire::Fact::CommonName, std::move(name));
  }
  Owned<BIO> text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), subject, 0, XN_FLAG_RFC2253);
  char* bytes = nullptr;
  long size = BIO_get_mem_data(text.get(), &bytes);
  if (size > static_cast<long>(kMostSubject)) return stream_.fail("TLS: the client certificate's subject is too long"), false;
  if (size > 0) stream_.learn(wire::Fact::Subject, std::string(bytes, static_cast<size_t>(size)));
  return true;
}

int64_t TlsLayer::send(const iovec* parts, size_t count, size_t waiting) {
  if (shaking_ || finished_) return static_cast<int64_t>(waiting);  // nobody can read it
  ErrorScope errors;
  // Many small packets become one record: each costs a cipher's start and 22 bytes.
  uint8_t gathered[kRecord];
  const void* from = parts[0].iov_base;
  size_t size = std::min(parts[0].iov_len, kRecord);
  if (count > 1 && size < kRecord) {
    size = 0;
    for (size_t i = 0; i < count && size < kRecord; ++i) {
      size_t part = std::min(parts[i].iov_len, kRecord - size);
      memcpy(gathered + size, parts[i].iov_base, part);
      size += part;
    }
    from = gathered;
  }
  int taken = SSL_write(ssl_.get(), from, static_cast<int>(size));
  if (taken > 0) {
    unstick();  // what SSL_read had to say went first
    return taken;
  }
  switch (SSL_get_error(ssl_.get(), taken)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return -EAGAIN;
    default:
      finished_ = true;
      return below_result_ < 0 && below_result_ != -EAGAIN ? below_result_ : -EPIPE;
  }
}

int TlsLayer::flush() {
  if (failed_) return 0;
  ErrorScope errors;
  if (write_blocked_ && (shaking_ || SSL_in_init(ssl_.get()))) {
    write_blocked_ = false;
    reads_left_ = shaking_ ? UINT32_MAX : kMostReads;
    // Goes on with what the socket did not take; whatever comes of it, the next recv tells.
    int result = SSL_do_handshake(ssl_.get());
    int error = SSL_get_error(ssl_.get(), result);
    pending_ = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
  }
  if (!write_blocked_) unstick();
  if (finishing_ && !finished_) {
    if (shaking_) {
      finished_ = true;
    } else {
      int result = SSL_shutdown(ssl_.get());
      finished_ = result >= 0 || SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_WRITE;
    }
  }
  if (write_blocked_) return -EAGAIN;
  return below().flush();
}

}  // namespace

std::unique_ptr<Layer> make_tls_layer(Stream& stream, TlsDoor& door, std::unique_ptr<Layer> below) {
  return std::make_unique<TlsLayer>(stream, door, std::move(below));
}

std::unique_ptr<Layer> make_tls_caller_layer(Stream& stream, const TlsCaller& caller, const std::string& server_name,
                                             std::unique_ptr<Layer> below) {
  return std::make_unique<TlsLayer>(stream, caller, server_name, std::move(below));
}

}  // namespace martlet
