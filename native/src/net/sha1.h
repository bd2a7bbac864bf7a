// SHA-1 of a short text, for Sec-WebSocket-Accept alone (RFC 6455, section 4.2.2): no secret depends on it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace martlet {

std::array<uint8_t, 20> sha1(std::string_view text);

}  // namespace martlet
