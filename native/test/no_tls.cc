// Stands in for tls.cc, so that everything else is tested without OpenSSL.
#include "net/tls.h"

namespace martlet {

std::shared_ptr<TlsDoor> make_tls_door(const TlsOptions&, std::string* error) {
  *error = "no TLS here";
  return nullptr;
}
bool change_tls_door(TlsDoor&, const TlsOptions&, std::string*) { return false; }
std::unique_ptr<Layer> make_tls_layer(Stream&, TlsDoor&, std::unique_ptr<Layer> below) { return below; }

}  // namespace martlet
