// HTTP where MQTT is spoken: a browser, a scanner or a health check at the wrong port. Told by how it begins, and answered in
// its own words, instead of being waited for until `connect_timeout`.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace martlet {

/** Whether a connection's first bytes are those of an HTTP request: none of its methods begins like a CONNECT packet. */
inline bool is_http(const uint8_t* bytes, uint32_t size) {
  static constexpr std::string_view kMethods[] = {"GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "PATC"};
  if (size < 4) return false;
  for (std::string_view method : kMethods) {
    if (std::memcmp(bytes, method.data(), method.size()) == 0) return true;
  }
  return false;
}

inline constexpr std::string_view kHttpFailure = "a plain HTTP request where MQTT is spoken";
inline constexpr std::string_view kHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 82\r\n\r\n"
    "This port speaks MQTT, and no HTTP. Connect with an MQTT client, mqtt://HOST:PORT\n";

}  // namespace martlet
