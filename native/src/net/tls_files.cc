#include "net/tls_files.h"

#include <dlfcn.h>

#include <cstring>

namespace martlet::openssl {

std::string missing() {
  if (!dlsym(RTLD_DEFAULT, "SSL_CTX_new")) return "this runtime does not export OpenSSL: TLS needs Node.js";
  using Version = unsigned long (*)();
  auto version = reinterpret_cast<Version>(dlsym(RTLD_DEFAULT, "OpenSSL_version_num"));
  unsigned long major = version ? version() >> 28 : 0;
  if (major == OPENSSL_VERSION_MAJOR) return {};
  return "the addon was built for OpenSSL " + std::to_string(OPENSSL_VERSION_MAJOR) + ", this runtime has " +
         std::to_string(major);
}

std::string ErrorScope::reason(const char* otherwise) {
  unsigned long error = ERR_get_error();
  const char* text = error ? ERR_reason_error_string(error) : nullptr;
  return text ? text : otherwise;
}

namespace {

Owned<BIO> memory(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

struct Passphrase {
  const std::string& text;
  bool asked = false;
};

int give_passphrase(char* into, int size, int, void* data) {
  auto* passphrase = static_cast<Passphrase*>(data);
  passphrase->asked = true;
  const std::string& text = passphrase->text;
  if (text.empty() || text.size() > static_cast<size_t>(size)) return -1;
  std::memcpy(into, text.data(), text.size());
  return static_cast<int>(text.size());
}

// Something encrypted that is no key: nobody is there to be asked.
int no_password(char*, int, int, void*) { return -1; }

}  // namespace

std::string use_chain(SSL_CTX* context, const std::string& pem, Owned<X509>* leaf) {
  auto bio = memory(pem);
  leaf->reset(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr));
  if (!*leaf) return "the certificate cannot be read (" + ErrorScope::reason("no PEM") + ")";
  if (SSL_CTX_use_certificate(context, leaf->get()) != 1) return "the certificate cannot be used (" + ErrorScope::reason("") + ")";
  SSL_CTX_clear_chain_certs(context);
  for (;;) {
    Owned<X509> next(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (!next) break;
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return "the certificate chain cannot be used";
  }
  ERR_clear_error();  // the end of the file is an error too
  return {};
}

std::string use_key(SSL_CTX* context, const std::string& pem, const std::string& text) {
  auto bio = memory(pem);
  Passphrase passphrase{text};
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &passphrase));
  if (!key && passphrase.asked && text.empty()) return "the private key is encrypted, and there is no passphrase for it";
  if (!key && passphrase.asked) return "the passphrase does not open the private key";
  if (!key) return "the private key cannot be read (" + ErrorScope::reason("no PEM") + ")";
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return "the private key does not belong to the certificate";
  }
  return {};
}

std::string trust(SSL_CTX* context, const std::string& pem) {
  auto bio = memory(pem);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  uint32_t count = 0;
  for (;; ++count) {
    Owned<X509> authority(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (!authority) break;
    X509_STORE_add_cert(store, authority.get());
    SSL_CTX_add_client_CA(context, authority.get());
  }
  ERR_clear_error();
  return count ? std::string() : "no certificate is in the file of authorities";
}

std::string revoke(SSL_CTX* context, const std::string& pem) {
  auto bio = memory(pem);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  uint32_t count = 0;
  for (;; ++count) {
    Owned<X509_CRL> list(PEM_read_bio_X509_CRL(bio.get(), nullptr, no_password, nullptr));
    if (!list) break;
    X509_STORE_add_crl(store, list.get());
  }
  ERR_clear_error();
  if (count == 0) return "no revocation list is in the file";
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  return {};
}

}  // namespace martlet::openssl
