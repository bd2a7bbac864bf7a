#include "net/tls_door.h"

#include <string.h>

#include <algorithm>

#include "net/tls_files.h"

namespace martlet {

using openssl::ErrorScope;
using openssl::Owned;
using openssl::revoke;
using openssl::trust;
using openssl::use_chain;
using openssl::use_key;

// Freed when the door has new contents and the last connection of the old ones is closed: each holds it.
struct TlsDoor::Contents {
  std::vector<Owned<SSL_CTX>> contexts;  // one a certificate; the first is the default
  std::vector<Owned<X509>> leaves;
  std::unordered_map<std::string, std::string> keys;  // PSK
};

namespace {

constexpr long kTicketKeys = 80;

std::string set_up(SSL_CTX* context, const TlsOptions& options) {
  SSL_CTX_set_min_proto_version(context, options.least_version ? options.least_version : TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);  // one recv brings a record and what follows, not its header alone
  // Sessions live in the tickets that clients keep: a reconnect storm costs no memory here and no signature.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  static constexpr unsigned char kName[] = "martlet";
  SSL_CTX_set_session_id_context(context, kName, sizeof kName - 1);
  if (!options.ciphers.empty() && SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) != 1) {
    return "none of the ciphers is known";
  }
  // Shared keys go with SHA-256 in TLS 1.3: beside a certificate, a suite with another hash would be chosen and the key
  // passed over without a word.
  std::string suites = options.suites;
  if (suites.empty() && !options.psk.empty()) {
    suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
  }
  if (!suites.empty() && SSL_CTX_set_ciphersuites(context, suites.c_str()) != 1) {
    return "the TLS 1.3 cipher suites are not known";
  }
  if (!options.psk_hint.empty()) SSL_CTX_use_psk_identity_hint(context, options.psk_hint.c_str());
  if (!options.authorities.empty()) {
    if (std::string problem = trust(context, options.authorities); !problem.empty()) return problem;
  }
  if (!options.revocations.empty()) {
    if (std::string problem = revoke(context, options.revocations); !problem.empty()) return problem;
  }
  int verify = options.require_certificate ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
               : options.request_certificate ? SSL_VERIFY_PEER
                                             : SSL_VERIFY_NONE;
  SSL_CTX_set_verify(context, verify, nullptr);
  return {};
}

}  // namespace

std::string TlsDoor::change(const TlsOptions& options) {
  ErrorScope errors;
  if (options.certificates.empty() && options.psk.empty()) return "a certificate and its key are wanted, or PSK keys";
  auto contents = std::make_shared<Contents>();
  for (const auto& [identity, key] : options.psk) contents->keys.emplace(identity, key);
  size_t count = std::max<size_t>(options.certificates.size(), 1);
  for (size_t i = 0; i < count; ++i) {
    Owned<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
    if (!context) return "no TLS context (" + ErrorScope::reason("") + ")";
    if (std::string problem = set_up(context.get(), options); !problem.empty()) return problem;
    if (i < options.certificates.size()) {
      Owned<X509> leaf;
      const auto& [chain, key] = options.certificates[i];
      std::string problem = use_chain(context.get(), chain, &leaf);
      if (problem.empty()) problem = use_key(context.get(), key, options.passphrase);
      if (!problem.empty()) return problem;
      contents->leaves.push_back(std::move(leaf));
    }
    SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
    SSL_CTX_set_tlsext_servername_callback(context.get(), choose_by_name);
    SSL_CTX_set_tlsext_servername_arg(context.get(), contents.get());
    if (!contents->keys.empty()) {
      SSL_CTX_set_psk_server_callback(context.get(), find_key);
      // In TLS 1.3 a ticket remembers no PSK identity, so nobody is let back in by one. It would save nothing either:
      // a handshake with a shared key has no signature.
      SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
      SSL_CTX_set_num_tickets(context.get(), 0);
    }
    contents->contexts.push_back(std::move(context));
  }
  // One set of ticket keys for all names, so that a resumption finds it whichever context it begins with. Kept over a
  // change only where no client proves who it is: a ticket would outlive the revocation of its certificate or key.
  bool asks = options.request_certificate || options.require_certificate;
  unsigned char keys[kTicketKeys];
  bool keep = contents_ && !asks && !asks_ && contents->keys.empty() && contents_->keys.empty();
  SSL_CTX* source = keep ? contents_->contexts[0].get() : contents->contexts[0].get();
  SSL_CTX_get_tlsext_ticket_keys(source, keys, kTicketKeys);
  for (auto& context : contents->contexts) SSL_CTX_set_tlsext_ticket_keys(context.get(), keys, kTicketKeys);
  contents_ = std::move(contents);
  asks_ = asks;
  return {};
}

Owned<SSL> TlsDoor::open(Peer* peer) const {
  Owned<SSL> ssl(SSL_new(contents_->contexts[0].get()));
  peer->contents = contents_;
  if (ssl) {
    SSL_set_app_data(ssl.get(), peer);
    SSL_set_accept_state(ssl.get());
  }
  return ssl;
}

int TlsDoor::choose_by_name(SSL* ssl, int*, void* arg) {
  auto* contents = static_cast<Contents*>(arg);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!name) return SSL_TLSEXT_ERR_NOACK;
  for (size_t i = 0; i < contents->leaves.size(); ++i) {
    if (X509_check_host(contents->leaves[i].get(), name, strlen(name), 0, nullptr) != 1) continue;
    SSL_set_SSL_CTX(ssl, contents->contexts[i].get());
    break;
  }
  return SSL_TLSEXT_ERR_OK;  // nobody by this name: the first certificate, and the client judges
}

// `mqtt` before `http/1.1`; a client that offers neither, or nothing, is served all the same.
int TlsDoor::choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
                             unsigned int in_size, void*) {
  for (std::string_view wanted : {std::string_view("mqtt"), std::string_view("http/1.1")}) {
    for (unsigned int at = 0; at < in_size && at + 1 + in[at] <= in_size; at += in[at] + 1u) {
      if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) != wanted) continue;
      *out = in + at + 1;
      *size = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_NOACK;
}

unsigned int TlsDoor::find_key(SSL* ssl, const char* identity, unsigned char* key, unsigned int room) {
  auto* peer = static_cast<Peer*>(SSL_get_app_data(ssl));
  const auto& keys = peer->contents->keys;
  auto found = identity ? keys.find(identity) : keys.end();
  if (found == keys.end() || found->second.size() > room) return 0;
  memcpy(key, found->second.data(), found->second.size());
  peer->psk_identity = found->first;
  return static_cast<unsigned int>(found->second.size());
}

std::shared_ptr<TlsDoor> make_tls_door(const TlsOptions& options, std::string* error) {
  *error = openssl::missing();
  if (!error->empty()) return nullptr;
  auto door = std::make_shared<TlsDoor>();
  *error = door->change(options);
  return error->empty() ? door : nullptr;
}

bool change_tls_door(TlsDoor& door, const TlsOptions& options, std::string* error) {
  *error = door.change(options);
  return error->empty();
}

}  // namespace martlet
