// What a TLS listener offers: its certificates, whom it trusts, its keys. A new set of contents takes the place of the
// old one whole or not at all; connections keep the contexts they began with.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/openssl.h"
#include "net/tls.h"

namespace martlet {

class TlsDoor {
 public:
  /** Empty when all is well, else what is wrong; then nothing has changed. */
  std::string change(const TlsOptions& options);

  struct Contents;
  /** What an SSL points at; outlives it. */
  struct Peer {
    std::shared_ptr<const Contents> contents;
    std::string psk_identity;  // the last one whose key was looked up and found
  };
  /** A new server side of a connection. */
  openssl::Owned<SSL> open(Peer* peer) const;

 private:
  static int choose_by_name(SSL* ssl, int* alert, void* contents);
  static int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* size, const unsigned char* in,
                             unsigned int in_size, void* unused);
  static unsigned int find_key(SSL* ssl, const char* identity, unsigned char* key, unsigned int room);

  std::shared_ptr<Contents> contents_;
  bool asks_ = false;
};

}  // namespace martlet
