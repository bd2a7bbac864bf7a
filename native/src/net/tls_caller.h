// What connections of ours say TLS with: whom they trust, which certificate or shared key they show. Made once, shared by
// all connections of a kind; each adds the name of the server it wants.
#pragma once

#include <string>

#include "net/openssl.h"
#include "net/tls.h"

namespace martlet {

class TlsCaller {
 public:
  /** Empty when all is well, else what is wrong. */
  std::string set_up(const TlsOptions& options);
  /** A new client side of a connection, which accepts nobody but `server_name`. Null: out of memory. */
  openssl::Owned<SSL> open(const std::string& server_name) const;

 private:
  static unsigned int show_key(SSL* ssl, const char* hint, char* identity, unsigned int identity_room, unsigned char* key,
                               unsigned int key_room);

  openssl::Owned<SSL_CTX> context_;
  std::string psk_identity_, psk_key_;
};

}  // namespace martlet
