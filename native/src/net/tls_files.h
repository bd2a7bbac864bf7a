// PEM texts into an OpenSSL context: chains, keys, authorities, revocation lists. The same for who is called and who calls.
// Each returns an empty text when all is well, else what is wrong.
#pragma once

#include <string>

#include "net/openssl.h"

namespace martlet::openssl {

/** The leaf first; it is kept in `leaf`, too. */
std::string use_chain(SSL_CTX* context, const std::string& pem, Owned<X509>* leaf);
/** Of the chain, which must be there already. `passphrase`: what opens it, if it is encrypted; else empty. */
std::string use_key(SSL_CTX* context, const std::string& pem, const std::string& passphrase);
/** Certificates of authorities that may sign the peer's. */
std::string trust(SSL_CTX* context, const std::string& pem);
/** Their revocation lists; from now on one is required. */
std::string revoke(SSL_CTX* context, const std::string& pem);

}  // namespace martlet::openssl
