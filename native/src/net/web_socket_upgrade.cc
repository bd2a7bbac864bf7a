#include "net/web_socket_upgrade.h"

#include <strings.h>

#include <algorithm>
#include <optional>

#include "net/sha1.h"

namespace martlet {

namespace {

constexpr const char* kHelp =
    "This port speaks MQTT over WebSocket (RFC 6455). Connect with an MQTT client, for example\n"
    "ws://HOST:PORT, and the subprotocol \"mqtt\". There is no web page here.\n";

std::string_view trimmed(std::string_view text) {
  size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/** Calls `use` with each element of a comma-separated list. */
template <typename Use>
void for_each_token(std::string_view list, Use use) {
  while (!list.empty()) {
    size_t comma = std::min(list.find(','), list.size());
    std::string_view token = trimmed(list.substr(0, comma));
    if (!token.empty()) use(token);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

bool has_token(std::string_view list, std::string_view wanted) {
  bool found = false;
  for_each_token(list, [&](std::string_view token) { found = found || same(token, wanted); });
  return found;
}

std::string base64(const uint8_t* bytes, size_t size) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < size; at += 3) {
    uint32_t word = uint32_t{bytes[at]} << 16 | (at + 1 < size ? bytes[at + 1] << 8 : 0) | (at + 2 < size ? bytes[at + 2] : 0);
    for (int i = 0; i < 4; ++i) {
      text += at + static_cast<size_t>(i) <= size ? kDigits[word >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

// 16 bytes in base64: 22 digits, of which the last carries only two bits, and two equals signs.
bool is_key(std::string_view key) {
  if (key.size() != 24 || key.substr(22) != "==") return false;
  return std::all_of(key.begin(), key.begin() + 22, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
}

struct Request {
  std::string_view method, target, version;
  std::string host, upgrade, connection, key, socket_version, protocols, origin, forwarded_for;
  uint32_t hosts = 0, keys = 0, origins = 0;
};

// Several lines of one name are one list; of names that have a single value, the count tells.
void append(std::string& list, std::string_view value) {
  if (!list.empty()) list += ',';
  list += value;
}

bool read_line(std::string_view line, Request* request) {
  size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  std::string_view name = line.substr(0, colon);
  // A space before the colon, or a folded line: what one reader takes for a header another does not.
  if (name.find_first_of(" \t") != std::string_view::npos) return false;
  std::string_view value = trimmed(line.substr(colon + 1));
  if (same(name, "host")) ++request->hosts, append(request->host, value);
  if (same(name, "upgrade")) append(request->upgrade, value);
  if (same(name, "connection")) append(request->connection, value);
  if (same(name, "sec-websocket-key")) ++request->keys, append(request->key, value);
  if (same(name, "sec-websocket-version")) append(request->socket_version, value);
  if (same(name, "sec-websocket-protocol")) append(request->protocols, value);
  if (same(name, "origin")) ++request->origins, append(request->origin, value);
  if (same(name, "x-forwarded-for")) append(request->forwarded_for, value);
  return true;
}

bool read_request(std::string_view head, Request* request) {
  for (char c : head) {
    auto byte = static_cast<uint8_t>(c);
    if ((byte < 0x20 && c != '\r' && c != '\n' && c != '\t') || byte == 0x7F) return false;
  }
  size_t end = head.find("\r\n");
  std::string_view line = head.substr(0, end);
  size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return false;
  request->method = line.substr(0, first);
  request->target = line.substr(first + 1, last - first - 1);
  request->version = line.substr(last + 1);
  if (!request->version.starts_with("HTTP/1.") || request->target.empty()) return false;
  head.remove_prefix(end + 2);
  for (;;) {
    end = head.find("\r\n");
    if (end == 0) return true;
    if (end == std::string_view::npos || !read_line(head.substr(0, end), request)) return false;
    if (head.substr(0, end).find_first_of("\r\n") != std::string_view::npos) return false;
    head.remove_prefix(end + 2);
  }
}

Upgrade refused(const char* status, std::string failure, const char* headers = "") {
  Upgrade result;
  std::string body = "MQTT broker: " + failure + ".\n\n" + kHelp;
  result.answer = std::string("HTTP/1.1 ") + status + "\r\n" + headers +
                  "Content-Type: text/plain; charset=utf-8\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\nConnection: close\r\n\r\n" + body;
  result.failure = std::move(failure);
  return result;
}

}  // namespace

Upgrade refuse_upgrade(const char* status, std::string failure) { return refused(status, std::move(failure)); }

Upgrade answer_upgrade(std::string_view head, const UpgradeRules& rules) {
  Request request;
  if (!read_request(head, &request)) return refused("400 Bad Request", "the HTTP request cannot be read");
  std::string_view path = request.target.substr(0, request.target.find('?'));
  if (!rules.path.empty() && path != rules.path) return refused("404 Not Found", "nothing is at this path");
  if (!has_token(request.upgrade, "websocket")) {
    return refused("426 Upgrade Required", "a plain HTTP request", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  }
  if (request.method != "GET") return refused("405 Method Not Allowed", "a WebSocket begins with GET", "Allow: GET\r\n");
  if (request.version != "HTTP/1.1") return refused("505 HTTP Version Not Supported", "a WebSocket begins with HTTP/1.1");
  if (request.hosts != 1 || request.host.empty()) return refused("400 Bad Request", "one Host header is wanted");
  if (!has_token(request.connection, "upgrade")) return refused("400 Bad Request", "Connection: Upgrade is wanted");
  if (request.socket_version != "13") {
    return refused("426 Upgrade Required", "WebSocket version 13 is spoken here", "Sec-WebSocket-Version: 13\r\n");
  }
  if (request.keys != 1 || !is_key(request.key)) {
    return refused("400 Bad Request", "a Sec-WebSocket-Key of 16 bytes in base64 is wanted");
  }
  bool known = request.origins == 1 && std::find(rules.origins.begin(), rules.origins.end(), request.origin) != rules.origins.end();
  if (!rules.origins.empty() && !known) {
    return refused("403 Forbidden", "this Origin is not allowed here");
  }
  // The client's order is its preference; [MQTT-6.0.0-3], [MQTT-6.0.0-4].
  std::string_view protocol;
  for_each_token(request.protocols, [&](std::string_view token) {
    if (protocol.empty() && (token == "mqtt" || token == "mqttv3.1")) protocol = token;
  });
  if (protocol.empty()) return refused("400 Bad Request", "the WebSocket subprotocol \"mqtt\" is wanted");

  Upgrade result;
  auto digest = sha1(request.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  result.answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
                  base64(digest.data(), digest.size()) + "\r\nSec-WebSocket-Protocol: " + std::string(protocol) +
                  "\r\n\r\n";
  result.protocol = protocol;
  result.forwarded_for = std::move(request.forwarded_for);
  return result;
}

std::string forwarded_peer(std::string_view forwarded_for, const Networks& trusted) {
  std::vector<std::string_view> hops;
  for_each_token(forwarded_for, [&](std::string_view hop) { hops.push_back(hop); });
  std::string named;
  for (auto hop = hops.rbegin(); hop != hops.rend(); ++hop) {
    sockaddr_storage address;
    if (!parse_peer(*hop, &address)) break;
    named = address_text(address);
    if (!trusted.contain(address)) break;
  }
  return named;
}

}  // namespace martlet
