// Connections with layers against the fake kernel: short reads, short writes, full windows, ends in the middle.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fake_kernel.h"
#include "loop/reactor.h"
#include "testing.h"

using namespace martlet;
using wire::Kind;

namespace {

class Door {
 public:
  Door(uint32_t seed, Protocol protocol, bool proxy) : kernel(seed) {
    Options options{16, 64, 8, 4, 8, 1u << 20, 1u << 30, 20'000, 5'000, 1u << 22, 0, 1, true};
    Memory memory{inbox,      64,         inbox_bytes, sizeof inbox_bytes, outbox,    256,
                  outbox_bytes, sizeof outbox_bytes, last_read, last_write,  queued, bytes_in,
                  bytes_out,  left_out,    totals,      decisions};
    reactor = std::make_unique<Reactor>(options, memory, on_turn, this);
    reactor->open();
    ListenOptions listen = listen_options();
    auto rules = std::make_shared<StreamRules>();
    rules->protocol = protocol;
    rules->proxy = proxy;
    listen.rules = rules;
    ListenError error;
    CHECK(reactor->listen(listen, &error) == 0);
    fd = kernel.connect();
    kernel.sockets[fd].window = 0;
  }

  void say(const std::string& bytes) {
    auto& sent = kernel.sockets[fd].sent;
    sent.insert(sent.end(), bytes.begin(), bytes.end());
  }

  void command(std::vector<int32_t> words) {
    std::copy(words.begin(), words.end(), outbox + outbox[0]);
    outbox[0] += static_cast<int32_t>(words.size());
  }

  /** Turns until nothing moves, with a window that opens a little each time. */
  void settle(size_t step) {
    for (int idle = 0, i = 0; idle < 4 && i < 20'000; ++i) {
      size_t before = told + kernel.sockets[fd].received.size();
      kernel.sockets[fd].window += step;
      bool busy = kernel.ready();
      reactor->turn();
      reactor->before_sleep();
      CHECK(reactor->take_error().empty());
      idle = before == told + kernel.sockets[fd].received.size() && !busy ? idle + 1 : 0;
    }
    CHECK(!kernel.wake_set);  // no spin
  }

  std::string received() {
    auto& bytes = kernel.sockets[fd].received;
    return {bytes.begin(), bytes.end()};
  }
  size_t count(Kind kind) const { return static_cast<size_t>(std::count(kinds.begin(), kinds.end(), kind)); }

  static void on_turn(void* context, uint32_t records) {
    auto* self = static_cast<Door*>(context);
    for (uint32_t i = 0; i < records; ++i) {
      const int32_t* w = self->inbox + i * wire::kRecordWords;
      auto kind = static_cast<Kind>(w[0] & 0xFF);
      self->kinds.push_back(kind);
      ++self->told;
      auto text = [&] { return std::string(reinterpret_cast<char*>(self->inbox_bytes + w[4]), static_cast<size_t>(w[5])); };
      if (kind == Kind::Packet) {
        self->packets += text() + ";";
        // Echoes two bytes for each packet, as PINGRESP does.
        self->command({2 | 2 << 8, w[1], w[2], 0xD0});
      }
      if (kind == Kind::Learned || kind == Kind::StreamFailed) self->texts.push_back(text());
      if (kind == Kind::Ended) self->command({14, w[1], w[2]});
      if (self->outbox[0] > 200) self->reactor->execute();
    }
  }

  FakeKernel kernel;
  int fd;
  std::vector<Kind> kinds;
  std::vector<std::string> texts;
  std::string packets;
  size_t told = 0;
  int32_t inbox[64 * wire::kRecordWords];
  uint8_t inbox_bytes[4096];
  int32_t outbox[256];
  uint8_t outbox_bytes[256] = {};
  double last_read[16], last_write[16], bytes_in[16], bytes_out[16], totals[wire::kTotals];
  uint32_t queued[16], left_out[16];
  int32_t decisions[1] = {1};
  std::unique_ptr<Reactor> reactor;
};

std::string frame(uint8_t first, const std::string& payload) {
  std::string out{static_cast<char>(first), static_cast<char>(0x80 | payload.size()), 1, 2, 3, 4};
  for (size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ static_cast<char>(i % 4 + 1));
  return out;
}

/** The payload of the reactor's binary frames, and its control frames, in order. */
struct Parsed {
  std::string data;
  std::string control;  // first byte of each
  bool whole = true;
};

Parsed parse(const std::string& bytes) {
  Parsed out;
  size_t at = 0;
  while (at + 2 <= bytes.size()) {
    size_t size = static_cast<uint8_t>(bytes[at + 1]), head = 2;
    if (size == 126) {
      size = static_cast<size_t>(static_cast<uint8_t>(bytes[at + 2])) << 8 | static_cast<uint8_t>(bytes[at + 3]);
      head = 4;
    }
    if (at + head + size > bytes.size()) break;
    if (bytes[at] == '\x82') {
      out.data += bytes.substr(at + head, size);
    } else {
      out.control += bytes[at];
    }
    at += head + size;
  }
  out.whole = at == bytes.size();
  return out;
}

constexpr const char* kRequest =
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

}  // namespace

TEST("a WebSocket through every layer of a hostile kernel: all packets in, all answers out, then the closing handshake") {
  for (uint32_t seed = 0; seed < testing::rounds; ++seed) {
    Door door(seed, seed % 2 ? Protocol::Any : Protocol::WebSockets, seed % 3 == 0);
    if (seed % 3 == 0) door.say("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n");
    door.say(kRequest);
    std::string wanted;
    for (int i = 0; i < 300; ++i) {
      std::string body(door.kernel.random() % 90, 'b');
      std::string packet = std::string("\xE1", 1) + static_cast<char>(body.size()) + body;
      size_t cut = door.kernel.random() % (packet.size() + 1);
      door.say(frame(0x02, packet.substr(0, cut)) + (i % 50 == 0 ? frame(0x89, "p") : "") + frame(0x80, packet.substr(cut)));
      wanted += body + ";";
    }
    door.say(frame(0x88, std::string("\x03\xE8", 2)));
    door.settle(1 + door.kernel.random() % 200);
    CHECK(door.packets == wanted);
    CHECK(door.count(Kind::Ended) == 1 && door.count(Kind::StreamFailed) == 0);
    std::string all = door.received();
    size_t head = all.find("\r\n\r\n");
    CHECK(all.starts_with("HTTP/1.1 101") && head != std::string::npos);
    Parsed parsed = parse(all.substr(head + 4));
    CHECK(parsed.whole);
    CHECK(parsed.data.size() == 600);
    CHECK(!parsed.control.empty() && parsed.control.back() == '\x88');
    CHECK(door.count(Kind::Closed) == 1);
    if (testing::failed) return;
  }
}

TEST("a stream that a layer cannot go on with: its answer is sent whole, FIN follows, and one failure is told") {
  for (uint32_t seed = 0; seed < testing::rounds; ++seed) {
    Door door(seed, Protocol::WebSockets, false);
    door.say(seed % 2 ? std::string(kRequest) + std::string("\x82\x01x", 3) + std::string(500, 'x') : "GET / HTTP/1.1\r\n\r\nunread");
    door.settle(1 + door.kernel.random() % 50);
    CHECK(door.count(Kind::StreamFailed) == 1 && door.count(Kind::Ended) == 1 && door.count(Kind::Packet) == 0);
    std::string all = door.received();
    if (seed % 2) {
      Parsed parsed = parse(all.substr(all.find("\r\n\r\n") + 4));
      CHECK(parsed.whole && parsed.control == "\x88");
    } else {
      CHECK(all.starts_with("HTTP/1.1 426") && all.find("no web page here") != std::string::npos);
    }
    FakeSocket& socket = door.kernel.sockets[door.fd];
    CHECK(socket.write_ended && socket.open);
    socket.fin = true;
    door.settle(1);
    CHECK(door.count(Kind::Closed) == 1);
    if (testing::failed) return;
  }
}

TEST("a connection whose layers are done is a plain one: MQTT on a shared port, behind a PROXY header") {
  Door door(3, Protocol::Any, true);
  door.kernel.whole_reads = true;
  door.say("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + std::string("\xC0\0\xC0\0", 4));
  door.settle(100);
  CHECK(door.count(Kind::Packet) == 2);
  CHECK((door.texts == std::vector<std::string>{"1.2.3.4:9"}));
  CHECK(door.received() == std::string("\xD0\0\xD0\0", 4));
}

TEST("HTTP where MQTT is spoken is told so, in pieces and behind a header too; a packet that begins alike is a packet") {
  const std::string header = "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n";
  for (uint32_t seed = 0; seed < testing::rounds; ++seed) {
    Door door(seed, Protocol::Mqtt, seed % 2);
    const std::string methods[] = {"GET / HTTP/1.1\r\n\r\n", "POST /x HTTP/1.1\r\n", "HEAD", "OPTIONS * HTTP/1.1\r\n"};
    door.say((seed % 2 ? header : "") + methods[seed % 4] + "unread");
    door.settle(1 + door.kernel.random() % 50);
    CHECK(door.count(Kind::StreamFailed) == 1 && door.count(Kind::Ended) == 1 && door.count(Kind::Packet) == 0);
    CHECK(door.texts.back() == "a plain HTTP request where MQTT is spoken");
    const std::string all = door.received();
    CHECK(all.starts_with("HTTP/1.1 400 ") && all.ends_with("mqtt://HOST:PORT\n"));
    CHECK(all.size() - all.find("\r\n\r\n") - 4 == 82 && all.find("Content-Length: 82\r\n") != std::string::npos);
    door.kernel.sockets[door.fd].fin = true;
    door.settle(1);
    CHECK(door.count(Kind::Closed) == 1);
    if (testing::failed) return;
  }
  {
    Door door(3, Protocol::Mqtt, true);
    door.say(header + std::string("\x50\2PUT \xC0\0", 8));  // PUBREC, whose id is "PU", is no method
    door.settle(100);
    CHECK(door.count(Kind::StreamFailed) == 0 && door.packets.starts_with("PU;"));
  }
  Door later(3, Protocol::Mqtt, true);
  later.say(header + std::string("\xC0\0GET ", 6) + std::string(100, ' '));  // not how it begins
  later.settle(100);
  CHECK(later.count(Kind::StreamFailed) == 0);
}

TEST("layers end with their peer at any moment, and leave nothing behind") {
  for (uint32_t seed = 0; seed < testing::rounds * 2; ++seed) {
    Door door(seed, Protocol::Any, seed % 2);
    std::string all = (seed % 2 ? "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" : std::string()) + kRequest;
    for (int i = 0; i < 20; ++i) all += frame(0x82, std::string("\xC0\0", 2));
    door.say(all.substr(0, door.kernel.random() % all.size()));
    (door.kernel.random() % 2 ? door.kernel.sockets[door.fd].fin : door.kernel.sockets[door.fd].reset) = true;
    door.settle(1 + door.kernel.random() % 30);
    door.kernel.sockets[door.fd].fin = true;
    door.settle(1000);
    CHECK(door.count(Kind::Opened) == door.count(Kind::Closed));
    CHECK(door.totals[static_cast<size_t>(wire::Total::Connections)] == 0);
    if (testing::failed) return;
  }
}
