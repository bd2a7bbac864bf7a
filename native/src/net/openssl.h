// The OpenSSL that Node itself is made of: its headers lie beside Node's own, its symbols are found in the process. No
// other library is linked. Nothing here takes the address of an OpenSSL function: where there is none, the addon must
// still load, and say so when the first TLS listener is asked for.
#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace martlet::openssl {

struct Free {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(BIO* p) const { BIO_free_all(p); }
  void operator()(BIO_METHOD* p) const { BIO_meth_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

/** Empty: OpenSSL 3 is there. Else why it is not. */
std::string missing();

/** The queue of errors belongs to the whole thread, Node's crypto included: it is left empty. */
class ErrorScope {
 public:
  ErrorScope() { ERR_clear_error(); }
  ~ErrorScope() { ERR_clear_error(); }
  /** The oldest error's reason, such as "no shared cipher", or `otherwise`. */
  static std::string reason(const char* otherwise);
};

}  // namespace martlet::openssl
