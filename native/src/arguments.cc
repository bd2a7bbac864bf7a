#include "arguments.h"

#include <charconv>
#include <utility>

namespace martlet {

bool read_options(Arguments& arguments, const Napi::Object& from, Options* out) {
  constexpr double kWord = INT32_MAX;
  constexpr double kSafe = 9007199254740991;
  out->poison = from.Get("poison").ToBoolean();
  return arguments.number(from, "maxConnections", 1, 1 << 24, &out->max_connections) &&
         arguments.number(from, "readSize", 1, 1 << 30, &out->read_size) &&
         arguments.number(from, "topicIds", 1, 1 << 24, &out->topic_ids) &&
         arguments.number(from, "maxTurns", 1, kWord, &out->max_turns) &&
         arguments.number(from, "acceptBudget", 1, kWord, &out->accept_budget) &&
         arguments.number(from, "unadmittedPacketLimit", 2, kWord, &out->unadmitted_packet_limit) &&
         arguments.number(from, "partialBudget", 1, kSafe, &out->partial_budget) &&
         arguments.number(from, "highWater", 1, kWord, &out->high_water) &&
         arguments.number(from, "lowWater", 0, out->high_water, &out->low_water) &&
         arguments.number(from, "flushAfter", 1, kSafe, &out->flush_after) &&
         arguments.number(from, "userTimeout", 0, kWord, &out->user_timeout) &&
         arguments.number(from, "handshakeBudget", 1, kWord, &out->handshake_budget);
}

bool read_listen_options(Arguments& arguments, const Napi::Object& from, const Reactor& reactor, ListenOptions* out) {
  out->host = arguments.text(from, "host");
  out->ipv6_only = from.Get("ipv6Only").ToBoolean();
  out->reuse_port = from.Get("reusePort").ToBoolean();
  out->device = arguments.text(from, "device");
  out->owner = arguments.text(from, "owner");
  out->group = arguments.text(from, "group");
  out->path = arguments.text(from, "socketPath");
  if (from.Has("mode") && !arguments.number(from, "mode", 0, 07777, &out->mode)) return false;
  if (from.Has("descriptor") && !arguments.number(from, "descriptor", 0, INT32_MAX, &out->descriptor)) return false;
  auto rules = std::make_shared<StreamRules>();
  std::string protocol = arguments.text(from, "protocol");
  if (!protocol.empty() && protocol != "mqtt" && protocol != "websockets" && protocol != "any") {
    return arguments.fail("protocol must be mqtt, websockets or any");
  }
  rules->protocol = protocol == "any" ? Protocol::Any : protocol == "websockets" ? Protocol::WebSockets : Protocol::Mqtt;
  rules->proxy = from.Get("proxyProtocol").ToBoolean();
  rules->upgrade.path = arguments.text(from, "path");
  if (from.Has("headerLimit") && !arguments.number(from, "headerLimit", 256, 1 << 20, &rules->upgrade.header_limit)) return false;
  bool good = arguments.texts(from, "origins", [&](std::string& origin) {
    rules->upgrade.origins.push_back(std::move(origin));
    return true;
  }) && arguments.texts(from, "trustedProxies", [&](std::string& network) { return rules->upgrade.trusted.add(network); });
  if (from.Has("tls")) {
    uint32_t door;
    if (!arguments.number(from, "tls", 0, INT32_MAX, &door)) return false;
    rules->tls = reactor.door(door);
    if (!rules->tls) return arguments.fail("tls: no such door");
  }
  out->rules = std::move(rules);
  if (from.Has("maxConnections") && !arguments.number(from, "maxConnections", 1, INT32_MAX, &out->max_connections)) return false;
  if (from.Has("countWith")) {
    uint32_t id;
    if (!arguments.number(from, "countWith", 0, INT32_MAX, &id)) return false;
    Listener* other = reactor.listener(id);
    if (!other) return arguments.fail("countWith: no such listener");
    out->open = other->open;
  }
  return good && arguments.number(from, "port", 0, 65535, &out->port) &&
         arguments.number(from, "backlog", 0, INT32_MAX, &out->backlog);
}

bool read_connect_options(Arguments& arguments, const Napi::Object& from, const Reactor& reactor, ConnectOptions* out) {
  out->host = arguments.text(from, "host");
  out->path = arguments.text(from, "socketPath");
  out->local_host = arguments.text(from, "localHost");
  out->device = arguments.text(from, "device");
  if (from.Has("localPort") && !arguments.number(from, "localPort", 0, 65535, &out->local_port)) return false;
  if (from.Has("tls")) {
    uint32_t number;
    if (!arguments.number(from, "tls", 0, INT32_MAX, &number)) return false;
    auto rules = std::make_shared<StreamRules>();
    rules->caller = reactor.caller(number);
    rules->server_name = arguments.text(from, "serverName");
    if (!rules->caller) return arguments.fail("tls: no such caller");
    if (rules->server_name.empty() || rules->server_name.find('\0') != std::string::npos) {
      return arguments.fail("serverName is wanted with tls");
    }
    out->rules = std::move(rules);
  }
  return !out->path.empty() || arguments.number(from, "port", 1, 65535, &out->port);
}

bool read_tls_options(Arguments& arguments, const Napi::Object& from, TlsOptions* out) {
  // Alternating: chain, key, chain, key.
  std::string chain;
  bool good = arguments.texts(from, "certificates", [&](std::string& pem) {
    if (chain.empty()) {
      chain = std::move(pem);
    } else {
      out->certificates.emplace_back(std::exchange(chain, {}), std::move(pem));
    }
    return true;
  });
  std::string identity;
  good = good && arguments.texts(from, "psk", [&](std::string& text) {
    if (identity.empty()) {
      identity = std::move(text);
      return !identity.empty();
    }
    std::string key;
    if (text.empty() || text.size() % 2) return false;
    for (size_t i = 0; i < text.size(); i += 2) {
      unsigned byte;
      auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
      if (error != std::errc{} || end != text.data() + i + 2) return false;
      key += static_cast<char>(byte);
    }
    out->psk.emplace_back(std::exchange(identity, {}), std::move(key));
    return true;
  });
  out->passphrase = arguments.text(from, "passphrase");
  out->authorities = arguments.text(from, "authorities");
  out->revocations = arguments.text(from, "revocations");
  out->request_certificate = from.Get("requestCertificate").ToBoolean();
  out->require_certificate = from.Get("requireCertificate").ToBoolean();
  out->least_version = arguments.text(from, "minVersion") == "TLSv1.3" ? 0x0304 : 0x0303;
  out->ciphers = arguments.text(from, "ciphers");
  out->suites = arguments.text(from, "ciphersuites");
  out->psk_hint = arguments.text(from, "pskHint");
  return good && arguments.texts(from, "protocols", [&](std::string& name) {
    out->protocols.push_back(std::move(name));
    return true;
  });
}

bool read_memory(Arguments& arguments, const Napi::Object& from, uint32_t slots, Memory* out) {
  size_t inbox, inbox_bytes, outbox, outbox_bytes;
  bool good =
      arguments.array(from, "inbox", napi_int32_array, 64 * wire::kRecordWords, &out->inbox, &inbox) &&
      arguments.array(from, "inboxBytes", napi_uint8_array, 4096, &out->inbox_bytes, &inbox_bytes) &&
      arguments.array(from, "outbox", napi_int32_array, 256, &out->outbox, &outbox) &&
      arguments.array(from, "outboxBytes", napi_uint8_array, 256, &out->outbox_bytes, &outbox_bytes) &&
      arguments.array(from, "lastRead", napi_float64_array, slots, &out->last_read) &&
      arguments.array(from, "lastWrite", napi_float64_array, slots, &out->last_write) &&
      arguments.array(from, "queued", napi_uint32_array, slots, &out->queued) &&
      arguments.array(from, "bytesIn", napi_float64_array, slots, &out->bytes_in) &&
      arguments.array(from, "bytesOut", napi_float64_array, slots, &out->bytes_out) &&
      arguments.array(from, "leftOut", napi_uint32_array, slots, &out->left_out) &&
      arguments.array(from, "totals", napi_float64_array, wire::kTotals, &out->totals) &&
      arguments.array(from, "decisions", napi_int32_array, 1, &out->decisions);
  if (!good) return false;
  out->inbox_records = static_cast<uint32_t>(inbox / wire::kRecordWords);
  out->inbox_size = static_cast<uint32_t>(inbox_bytes);
  out->outbox_words = static_cast<uint32_t>(outbox);
  out->outbox_size = static_cast<uint32_t>(outbox_bytes);
  return true;
}

}  // namespace martlet
