// The HTTP request that opens a WebSocket (RFC 6455, section 4.2) and its answer. Pure: text in, text out. What is not
// such a request gets an answer that helps whoever sent it.
#pragma once

#include <string>
#include <string_view>

#include "net/stream_rules.h"

namespace martlet {

struct Upgrade {
  std::string answer;         // the whole response
  std::string failure;        // empty: the answer is 101
  std::string forwarded_for;  // X-Forwarded-For, all of them
  std::string protocol;       // mqtt or mqttv3.1
};

/** `head`: the request up to and with its empty line. */
Upgrade answer_upgrade(std::string_view head, const UpgradeRules& rules);
/** The answer to a request that cannot be read or is too long. */
Upgrade refuse_upgrade(const char* status, std::string failure);

/**
 * Who sent the request, by X-Forwarded-For: from the right, the first address that is not itself trusted; each proxy
 * appends whom it heard from, so what stands further left could be invented. Empty: nobody is named.
 */
std::string forwarded_peer(std::string_view forwarded_for, const Networks& trusted);

}  // namespace martlet
