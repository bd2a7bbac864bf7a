#include "net/layer.h"
#include "net/proxy_header.h"
#include "net/stream_rules.h"
#include "net/tls.h"
#include "net/web_socket.h"

namespace martlet {

Stream::Stream(int fd, std::shared_ptr<const StreamRules> rules, const sockaddr_storage& peer)
    : rules_(std::move(rules)), top_(std::make_unique<SocketLayer>(fd)) {
  if (!rules_->upgrade.trusted.empty()) peer_ = std::make_unique<sockaddr_storage>(peer);
  if (rules_->caller) top_ = make_tls_caller_layer(*this, *rules_->caller, rules_->server_name, std::move(top_));
  if (rules_->proxy) top_ = std::make_unique<ProxyLayer>(*this, std::move(top_));
  if (rules_->tls) top_ = make_tls_layer(*this, *rules_->tls, std::move(top_));
  if (rules_->protocol != Protocol::Mqtt) {
    bool sniffs = rules_->protocol == Protocol::Any;
    top_ = std::make_unique<WebSocketLayer>(*this, sniffs, std::move(top_));
  }
}

bool Stream::is_bare() {
  while (top_->transparent()) top_ = std::move(top_->below_);
  return top_->below_ == nullptr;
}

}  // namespace martlet
