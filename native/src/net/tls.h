// The TLS layer, behind an interface that knows no OpenSSL: everything but tls*.cc compiles and is tested without it.
// A TlsDoor is what a listener offers (certificates, rules); its contents can be exchanged while connections live.
// A TlsCaller is what connections of ours trust and show.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/layer.h"

namespace martlet {

struct TlsOptions {
  // PEM texts: certificate chain (leaf first) and private key. Several: chosen by the name the client asks for.
  std::vector<std::pair<std::string, std::string>> certificates;
  std::string passphrase;   // of the keys that are encrypted
  std::string authorities;  // PEM; who may sign client certificates
  std::string revocations;  // PEM
  bool request_certificate = false;
  bool require_certificate = false;
  int least_version = 0;  // 0x0303 or 0x0304
  std::string ciphers;    // TLS 1.2, OpenSSL's syntax; empty: its default
  std::string suites;     // TLS 1.3
  std::string psk_hint;
  std::vector<std::pair<std::string, std::string>> psk;  // identity, key (bytes)
  std::vector<std::string> protocols;  // ALPN, of a caller
};

class TlsCaller;
class TlsDoor;

/** Null, with `error` filled in: this runtime brings no OpenSSL 3, or the options cannot be used. */
std::shared_ptr<TlsDoor> make_tls_door(const TlsOptions& options, std::string* error);
/** New connections find the new contents, live ones keep what they have. False: nothing was changed. */
bool change_tls_door(TlsDoor& door, const TlsOptions& options, std::string* error);
std::unique_ptr<Layer> make_tls_layer(Stream& stream, TlsDoor& door, std::unique_ptr<Layer> below);

/** Of `options`: one certificate at most, to be shown; one shared key at most; authorities that may sign the server's. */
std::shared_ptr<const TlsCaller> make_tls_caller(const TlsOptions& options, std::string* error);
/** `server_name`: whose certificate it must be, a DNS name or an IP address. Its first flush() begins the handshake. */
std::unique_ptr<Layer> make_tls_caller_layer(Stream& stream, const TlsCaller& caller, const std::string& server_name,
                                             std::unique_ptr<Layer> below);

}  // namespace martlet
