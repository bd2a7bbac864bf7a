// The WebSocket layer without a socket: frames cut at every byte, what a client may not send, the upgrade request.
#include <errno.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "net/sha1.h"
#include "net/stream_rules.h"
#include "net/web_socket.h"
#include "net/web_socket_frames.h"
#include "net/web_socket_upgrade.h"
#include "testing.h"

using namespace martlet;
using Event = WebSocketFrames::Event;

namespace {

std::string frame(uint8_t first, const std::string& payload, uint32_t mask = 0x1B2C3D4E, int width = 0) {
  std::string out(1, static_cast<char>(first));
  size_t size = payload.size();
  if (width == 0) width = size < 126 ? 1 : size < 65536 ? 2 : 8;
  if (width == 1) out += static_cast<char>(0x80 | size);
  if (width == 2) out += static_cast<char>(0x80 | 126);
  if (width == 8) out += static_cast<char>(0x80 | 127);
  if (width > 1) {
    for (int i = width - 1; i >= 0; --i) out += static_cast<char>(uint64_t{size} >> (8 * i));
  }
  for (int i = 0; i < 4; ++i) out += static_cast<char>(mask >> (8 * i));
  for (size_t i = 0; i < size; ++i) out += static_cast<char>(payload[i] ^ static_cast<char>(mask >> (8 * (i % 4))));
  return out;
}

struct Heard {
  std::string payload;
  std::vector<std::string> pings;
  Event end = Event::None;
  uint16_t code = 0;
};

// As the layer does it: in place, every piece a buffer of its own.
void hear(WebSocketFrames& frames, std::string piece, Heard* heard) {
  auto* bytes = reinterpret_cast<uint8_t*>(piece.data());
  size_t at = 0, payload = 0;
  while (at < piece.size() && heard->end == Event::None) {
    auto step = frames.step(bytes + at, piece.size() - at, bytes + payload);
    at += step.used;
    payload += step.payload;
    if (step.event == Event::Ping) heard->pings.emplace_back(frames.control());
    if (step.event == Event::Close || step.event == Event::Error) {
      heard->end = step.event;
      heard->code = frames.close_code;
    }
  }
  heard->payload.append(piece, 0, payload);
}

Heard hear_all(const std::string& bytes) {
  WebSocketFrames frames;
  Heard heard;
  hear(frames, bytes, &heard);
  return heard;
}

uint16_t error_of(const std::string& bytes) {
  Heard heard = hear_all(bytes);
  CHECK(heard.end == Event::Error);
  return heard.code;
}

std::string request(const std::string& without = "", const std::string& with = "", const std::string& line = "GET /mqtt HTTP/1.1") {
  std::string text = line + "\r\n";
  for (const char* header : {"Host: broker", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
                             "Sec-WebSocket-Protocol: mqtt"}) {
    if (without.empty() || std::string(header).find(without) == std::string::npos) text += std::string(header) + "\r\n";
  }
  if (!with.empty()) text += with + "\r\n";
  return text + "\r\n";
}

// Below a WebSocket as TLS is: what it was offered when the socket was full is sealed, and must be offered again.
class SealingLayer final : public Layer {
 public:
  SealingLayer(std::string* heard, std::string* wire, bool* full) : Layer(nullptr), heard_(heard), wire_(wire), full_(full) {}
  int64_t recv(uint8_t* into, size_t size) override {
    size_t part = std::min(size, heard_->size());
    std::copy_n(heard_->data(), part, into);
    heard_->erase(0, part);
    return part ? static_cast<int64_t>(part) : -EAGAIN;
  }
  int64_t send(const iovec* parts, size_t count, size_t) override {
    std::string offered;
    for (size_t i = 0; i < count; ++i) offered.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    if (sealed_.empty()) sealed_ = offered;
    CHECK(offered.substr(0, sealed_.size()) == sealed_);
    if (*full_) return -EAGAIN;
    *wire_ += sealed_;
    return static_cast<int64_t>(std::exchange(sealed_, {}).size());
  }
  int flush() override { return 0; }
  void finish() override {}
  bool pending() const override { return !heard_->empty(); }
  bool speaks() const override { return false; }

 private:
  std::string* heard_;
  std::string* wire_;
  bool* full_;
  std::string sealed_;
};

std::string status(const std::string& text, const UpgradeRules& rules = {}) {
  return answer_upgrade(text, rules).answer.substr(9, 3);
}

}  // namespace

TEST("frames cut at every byte give the same payload and the same pings") {
  std::string large(70'000, 'x'), middle(300, 'y');
  std::string bytes = frame(0x02, "first ") + frame(0x89, "one") + frame(0x00, "second ") + frame(0x80, "third ") +
                      frame(0x82, "") + frame(0x82, middle) + frame(0x8A, "unasked") + frame(0x89, "") +
                      frame(0x82, "end") + frame(0x88, std::string("\x03\xE8 bye", 6));
  std::string wanted = "first second third " + middle + "end";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    for (size_t second : {cut, cut + 1, cut + 7}) {
      second = std::min(second, bytes.size());
      WebSocketFrames frames;
      Heard heard;
      hear(frames, bytes.substr(0, cut), &heard);
      hear(frames, bytes.substr(cut, second - cut), &heard);
      hear(frames, bytes.substr(second), &heard);
      CHECK(heard.payload == wanted);
      CHECK((heard.pings == std::vector<std::string>{"one", ""}));
      CHECK(heard.end == Event::Close && heard.code == 1000);
    }
  }
  Heard one_by_one;
  WebSocketFrames frames;
  for (char byte : bytes) hear(frames, std::string(1, byte), &one_by_one);
  CHECK(one_by_one.payload == wanted && one_by_one.end == Event::Close);
  CHECK(hear_all(frame(0x82, large)).payload == large);
}

TEST("what a client may not send is refused with the right status code") {
  CHECK(error_of(std::string("\x82\x01x", 3)) == 1002);             // not masked
  CHECK(error_of(frame(0xC2, "x")) == 1002);                         // RSV1: no compression was agreed on
  CHECK(error_of(frame(0x92, "x")) == 1002);                         // RSV3
  CHECK(error_of(frame(0x81, "x")) == 1003);                         // text [MQTT-6.0.0-1]
  CHECK(error_of(frame(0x83, "x")) == 1002);                         // unknown data opcode
  CHECK(error_of(frame(0x8B, "x")) == 1002);                         // unknown control opcode
  CHECK(error_of(frame(0x09, "x")) == 1002);                         // fragmented ping
  CHECK(error_of(frame(0x89, std::string(126, 'x'))) == 1002);       // long ping
  CHECK(error_of(frame(0x80, "x")) == 1002);                         // continuation of nothing
  CHECK(error_of(frame(0x02, "x") + frame(0x82, "x")) == 1002);      // message inside a message
  CHECK(error_of(frame(0x82, "x", 1, 2)) == 1002);                   // length not minimal
  CHECK(error_of(frame(0x82, std::string(200, 'x'), 1, 8)) == 1002);
  CHECK(error_of(std::string("\x82\xFF\x80\0\0\0\0\0\0\0abcd", 14)) == 1002);  // 2^63
  CHECK(error_of(frame(0x88, "\x03")) == 1002);                      // half a status code
  for (uint16_t code : {0, 999, 1004, 1005, 1006, 1015, 2999, 5000}) {
    CHECK(error_of(frame(0x88, {static_cast<char>(code >> 8), static_cast<char>(code)})) == 1002);
  }
  for (const char* reason : {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xE2\x82"}) {
    CHECK(error_of(frame(0x88, std::string("\x03\xE8", 2) + reason)) == 1007);
  }
}

TEST("status codes and reasons a client may close with are accepted") {
  for (uint16_t code : {1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999}) {
    Heard heard = hear_all(frame(0x88, {static_cast<char>(code >> 8), static_cast<char>(code)}));
    CHECK(heard.end == Event::Close && heard.code == code);
  }
  CHECK(hear_all(frame(0x88, "")).code == WebSocketFrames::kNoStatus);
  CHECK(hear_all(frame(0x88, std::string("\x03\xE8", 2) + "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x90\xA6")).end == Event::Close);
}

TEST("random frames in random pieces keep their payload") {
  std::srand(1);
  for (unsigned round = 0; round < testing::rounds; ++round) {
    std::string bytes, wanted;
    bool open = false;
    for (int i = 0; i < 20; ++i) {
      std::string payload(static_cast<size_t>(std::rand() % (i == 3 ? 70'000 : 300)), 'a');
      for (char& c : payload) c = static_cast<char>(std::rand());
      if (std::rand() % 4 == 0) bytes += frame(0x89, payload.substr(0, 125));
      bool final = std::rand() % 2;
      bytes += frame(static_cast<uint8_t>((final ? 0x80 : 0) | (open ? 0 : 2)), payload, static_cast<uint32_t>(std::rand()));
      open = !final;
      wanted += payload;
    }
    WebSocketFrames frames;
    Heard heard;
    for (size_t at = 0; at < bytes.size();) {
      size_t part = std::min<size_t>(1 + static_cast<size_t>(std::rand() % 2000), bytes.size() - at);
      hear(frames, bytes.substr(at, part), &heard);
      at += part;
    }
    CHECK(heard.payload == wanted);
    CHECK(heard.end == Event::None);
  }
}

TEST("random bytes never crash the frame parser") {
  std::srand(2);
  for (unsigned round = 0; round < testing::rounds * 20; ++round) {
    std::string bytes(static_cast<size_t>(std::rand() % 400), '\0');
    for (char& c : bytes) c = static_cast<char>(std::rand());
    if (bytes.size() > 2) bytes[0] = static_cast<char>(bytes[0] & 0x8F), bytes[1] |= static_cast<char>(0x80);
    hear_all(bytes);
  }
}

TEST("our own frames have minimal headers") {
  uint8_t out[10];
  CHECK(write_frame_header(out, kBinary, 125) == 2 && out[0] == 0x82 && out[1] == 125);
  CHECK(write_frame_header(out, kBinary, 126) == 4 && out[1] == 126 && out[3] == 126);
  CHECK(write_frame_header(out, kBinary, 65536) == 10 && out[1] == 127 && out[7] == 1);
}

TEST("the example of RFC 6455, section 1.3, is answered as written there") {
  Upgrade upgrade = answer_upgrade(request(), {});
  CHECK(upgrade.failure.empty());
  CHECK(upgrade.answer.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != std::string::npos);
  CHECK(upgrade.answer.find("Sec-WebSocket-Protocol: mqtt\r\n") != std::string::npos);
  CHECK(upgrade.answer.find("Extensions") == std::string::npos);
  CHECK(sha1("abc")[0] == 0xA9 && sha1(std::string(120, 'a'))[19] == sha1(std::string(120, 'a'))[19]);
}

TEST("what is missing in an upgrade request is told") {
  CHECK(status(request("Upgrade: websocket")) == "426");
  CHECK(answer_upgrade("GET / HTTP/1.1\r\nHost: x\r\n\r\n", {}).answer.find("MQTT over WebSocket") != std::string::npos);
  CHECK(status(request("Connection", "Connection: close")) == "400");
  CHECK(status(request("Sec-WebSocket-Key")) == "400");
  CHECK(status(request("Sec-WebSocket-Key", "Sec-WebSocket-Key: short==")) == "400");
  CHECK(status(request("", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")) == "400");
  CHECK(status(request("Version", "Sec-WebSocket-Version: 8")) == "426");
  CHECK(answer_upgrade(request("Version"), {}).answer.find("Sec-WebSocket-Version: 13\r\n") != std::string::npos);
  CHECK(status(request("Protocol")) == "400");
  CHECK(status(request("Protocol", "Sec-WebSocket-Protocol: stomp, amqp")) == "400");
  CHECK(status(request("Host")) == "400");
  CHECK(status(request("", "", "POST /mqtt HTTP/1.1")) == "405");
  CHECK(status(request("", "", "GET /mqtt HTTP/1.0")) == "505");
  CHECK(status(request("", "", "GET /mqtt")) == "400");
  CHECK(status(request("", "Folded: a\r\n b")) == "400");
  CHECK(status(request("", "Space : a")) == "400");
  CHECK(status(request("", std::string("Nul: \0", 6))) == "400");
}

TEST("mqttv3.1 is accepted, and the client's preference is kept") {
  CHECK(answer_upgrade(request("Protocol", "Sec-WebSocket-Protocol: mqttv3.1"), {}).protocol == "mqttv3.1");
  CHECK(answer_upgrade(request("Protocol", "Sec-WebSocket-Protocol: wamp, mqtt , mqttv3.1"), {}).protocol == "mqtt");
}

TEST("path and Origin are compared exactly, where they are configured") {
  UpgradeRules rules;
  rules.path = "/mqtt";
  rules.origins = {"https://app.example"};
  CHECK(status(request("", "Origin: https://app.example"), rules) == "101");
  CHECK(status(request("", "Origin: https://app.example", "GET /mqtt?token=1 HTTP/1.1"), rules) == "101");
  CHECK(status(request("", "Origin: https://app.example", "GET /other HTTP/1.1"), rules) == "404");
  CHECK(status(request("", "Origin: https://app.example", "GET /mqtt/ HTTP/1.1"), rules) == "404");
  CHECK(status(request("", "Origin: https://app.example.evil"), rules) == "403");
  CHECK(status(request("", "Origin: HTTPS://app.example"), rules) == "403");
  CHECK(status(request("", "Origin: https://app.example\r\nOrigin: https://evil"), rules) == "403");
  CHECK(status(request(), rules) == "403");
}

TEST("X-Forwarded-For is read from the right, past those who are trusted themselves") {
  Networks trusted;
  CHECK(trusted.add("10.0.0.0/8") && trusted.add("fd00::/8") && trusted.add("192.0.2.7"));
  CHECK(!trusted.add("10.0.0.0/33") && !trusted.add("example.org") && !trusted.add("::/129") && !trusted.add("1.2.3.4/"));
  CHECK(forwarded_peer("203.0.113.9", trusted) == "203.0.113.9:0");
  CHECK(forwarded_peer("6.6.6.6, 203.0.113.9, 10.1.2.3", trusted) == "203.0.113.9:0");
  CHECK(forwarded_peer("6.6.6.6,203.0.113.9:4711", trusted) == "203.0.113.9:4711");
  CHECK(forwarded_peer("[2001:db8::1]:9", trusted) == "[2001:db8::1]:9");
  CHECK(forwarded_peer("unknown, 10.1.2.3", trusted) == "10.1.2.3:0");
  CHECK(forwarded_peer("", trusted).empty());
  sockaddr_storage peer;
  CHECK(parse_peer("::ffff:10.9.9.9", &peer) && trusted.contain(peer));
  CHECK(parse_peer("11.0.0.1", &peer) && !trusted.contain(peer));
}

TEST("pongs that a TLS record holds already are not taken back, however many pings follow") {
  auto rules = std::make_shared<StreamRules>();
  rules->protocol = Protocol::WebSockets;
  Stream stream(-1, rules, {});
  std::string heard = request(), wire;
  bool full = false;
  WebSocketLayer layer(stream, false, std::make_unique<SealingLayer>(&heard, &wire, &full));
  uint8_t into[4096];
  CHECK(layer.recv(into, sizeof into) == -EAGAIN && layer.flush() == 0);
  CHECK(wire.starts_with("HTTP/1.1 101"));
  wire.clear();
  full = true;
  for (int n = 0; n < 40; ++n) {
    heard = frame(0x89, "ping " + std::to_string(n) + std::string(50, '.'));
    CHECK(layer.recv(into, sizeof into) == -EAGAIN);
    if (n == 2 || n == 25) CHECK(layer.flush() == -EAGAIN);
  }
  full = false;
  CHECK(layer.flush() == 0);
  CHECK(wire.size() < 2000);
  // Whole frames, the first ones and the last one among them.
  std::vector<std::string> pongs;
  for (size_t at = 0; at < wire.size(); at += 2 + static_cast<size_t>(wire[at + 1])) {
    CHECK(wire[at] == '\x8A');
    pongs.push_back(wire.substr(at + 2, static_cast<size_t>(wire[at + 1])));
  }
  CHECK(pongs.front().starts_with("ping 0.") && pongs[2].starts_with("ping 2."));
  CHECK(pongs.back().starts_with("ping 39."));
}
