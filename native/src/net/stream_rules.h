// What a listener asks of the streams it accepts, or a connection of ours of its stream. Shared by the listener and its streams; a listener without rules
// accepts plain TCP, and its connections carry no stream at all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"

namespace martlet {

class TlsCaller;
class TlsDoor;

enum class Protocol : uint8_t {
  Mqtt = 0,
  WebSockets = 1,
  Any = 2,  // told apart by the first byte: 'G' of GET begins no Control Packet a client may send first
};

struct UpgradeRules {
  std::string path;                  // empty: any
  std::vector<std::string> origins;  // empty: any, and none
  uint32_t header_limit = 8192;      // bytes of the request's head
  Networks trusted;                  // whose X-Forwarded-For is believed
};

struct StreamRules {
  Protocol protocol = Protocol::Mqtt;
  bool proxy = false;  // a PROXY header comes first, always
  UpgradeRules upgrade;
  std::shared_ptr<TlsDoor> tls;
  // For connections of ours: TLS, with whom.
  std::shared_ptr<const TlsCaller> caller;
  std::string server_name;

  bool plain() const { return protocol == Protocol::Mqtt && !proxy && !tls && !caller; }
};

}  // namespace martlet
