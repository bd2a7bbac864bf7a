#include "net/tls_caller.h"

#include <arpa/inet.h>
#include <string.h>

#include "net/tls_files.h"

namespace martlet {

using openssl::ErrorScope;
using openssl::Owned;

std::string TlsCaller::set_up(const TlsOptions& options) {
  ErrorScope errors;
  if (options.authorities.empty() && options.psk.empty()) return "authorities are wanted, or a PSK key";
  if (options.certificates.size() > 1 || options.psk.size() > 1) return "a client shows one certificate, or one key";
  Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  if (!context) return "no TLS context (" + ErrorScope::reason("") + ")";
  SSL_CTX_set_min_proto_version(context.get(), options.least_version ? options.least_version : TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (!options.ciphers.empty() && SSL_CTX_set_cipher_list(context.get(), options.ciphers.c_str()) != 1) {
    return "none of the ciphers is known";
  }
  // Shared keys go with SHA-256 in TLS 1.3, as at the door.
  std::string suites = options.suites;
  if (suites.empty() && !options.psk.empty()) suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
  if (!suites.empty() && SSL_CTX_set_ciphersuites(context.get(), suites.c_str()) != 1) {
    return "the TLS 1.3 cipher suites are not known";
  }
  std::string problem;
  if (!options.authorities.empty()) problem = openssl::trust(context.get(), options.authorities);
  if (problem.empty() && !options.revocations.empty()) problem = openssl::revoke(context.get(), options.revocations);
  if (problem.empty() && !options.certificates.empty()) {
    Owned<X509> leaf;
    problem = openssl::use_chain(context.get(), options.certificates[0].first, &leaf);
    if (problem.empty()) problem = openssl::use_key(context.get(), options.certificates[0].second, options.passphrase);
  }
  if (!problem.empty()) return problem;
  if (!options.psk.empty()) {
    psk_identity_ = options.psk[0].first;
    psk_key_ = options.psk[0].second;
    SSL_CTX_set_psk_client_callback(context.get(), show_key);
  }
  std::string protocols;
  for (const std::string& name : options.protocols) {
    if (name.empty() || name.size() > 255) return "a protocol's name has 1 to 255 bytes";
    protocols += static_cast<char>(name.size());
    protocols += name;
  }
  auto size = static_cast<unsigned int>(protocols.size());
  if (size && SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const uint8_t*>(protocols.data()), size) != 0) {
    return "the protocols cannot be used";
  }
  // Always: who connects to a server that proves nothing could leave TLS out. (A shared key is a proof of its own, and
  // then there is no certificate to look at.)
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  context_ = std::move(context);
  return {};
}

Owned<SSL> TlsCaller::open(const std::string& server_name) const {
  ErrorScope errors;
  Owned<SSL> ssl(SSL_new(context_.get()));
  if (!ssl) return ssl;
  unsigned char address[16];
  bool is_ip = inet_pton(AF_INET, server_name.c_str(), address) == 1 || inet_pton(AF_INET6, server_name.c_str(), address) == 1;
  bool named = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), server_name.c_str()) == 1
                     : SSL_set1_host(ssl.get(), server_name.c_str()) == 1 &&
                           SSL_set_tlsext_host_name(ssl.get(), server_name.c_str()) == 1;  // SNI knows no addresses
  if (!named) return nullptr;
  SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  SSL_set_app_data(ssl.get(), const_cast<TlsCaller*>(this));
  SSL_set_connect_state(ssl.get());
  return ssl;
}

unsigned int TlsCaller::show_key(SSL* ssl, const char*, char* identity, unsigned int identity_room, unsigned char* key,
                                 unsigned int key_room) {
  auto* self = static_cast<const TlsCaller*>(SSL_get_app_data(ssl));
  if (self->psk_identity_.size() >= identity_room || self->psk_key_.size() > key_room) return 0;
  memcpy(identity, self->psk_identity_.c_str(), self->psk_identity_.size() + 1);
  memcpy(key, self->psk_key_.data(), self->psk_key_.size());
  return static_cast<unsigned int>(self->psk_key_.size());
}

std::shared_ptr<const TlsCaller> make_tls_caller(const TlsOptions& options, std::string* error) {
  *error = openssl::missing();
  if (!error->empty()) return nullptr;
  auto caller = std::make_shared<TlsCaller>();
  *error = caller->set_up(options);
  return error->empty() ? caller : nullptr;
}

}  // namespace martlet
