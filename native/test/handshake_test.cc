// Connections with a layer that shakes hands: nobody is told before it is through, whatever comes in between, and those that
// shake hands and those that are connected do not hold each other up.
#include <errno.h>

#include <algorithm>
#include <string>
#include <vector>

#include "caller.h"

using namespace caller;

// The layer of no_tls.cc says "hello" and wants "olleh" before anything else.
namespace {

int secured(Caller& caller) {
  std::string problem;
  CHECK(caller.reactor->secure_caller({}, &problem) >= 0);
  ConnectOptions options = Caller::to();
  auto rules = std::make_shared<StreamRules>();
  rules->caller = caller.reactor->caller(0);
  rules->server_name = "broker";
  options.rules = rules;
  return caller.connect(options);
}

void say(Caller& caller, int fd, const std::string& bytes) {
  auto& sent = caller.kernel.sockets[fd].sent;
  sent.insert(sent.end(), bytes.begin(), bytes.end());
}

}  // namespace

TEST("with a layer that shakes hands, opened is told when it is through; nothing is sent before") {
  Caller caller;
  caller.greets = true;
  int fd = secured(caller);
  FakeSocket& socket = caller.kernel.sockets[fd];
  socket.window = 2;  // the layer's own words meet a full socket, too
  caller.kernel.answer(fd);
  for (int i = 0; i < 3; ++i) caller.turn();
  socket.window = 100;
  for (int i = 0; i < 3; ++i) caller.turn();
  CHECK(caller.told.empty() && std::string(socket.received.begin(), socket.received.end()) == "hello");
  say(caller, fd, "oll");
  for (int i = 0; i < 3; ++i) caller.turn();
  CHECK(caller.told.empty());
  say(caller, fd, std::string("eh\xD0\0", 4));
  for (int i = 0; i < 3; ++i) caller.turn();
  CHECK(caller.told.size() == 3 && caller.told[0].kind == Kind::Opened && caller.told[1].kind == Kind::Learned);
  CHECK(caller.told[2].kind == Kind::Packet);
  CHECK(std::string(socket.received.begin(), socket.received.end()) == std::string("hello\xC0\0", 7));
}

TEST("a handshake that fails, ends, or is reset is told as closed without opened; a failed one says why first") {
  for (int how = 0; how < 3; ++how) {
    Caller caller;
    int fd = secured(caller);
    caller.kernel.answer(fd);
    caller.turn();
    if (how == 0) say(caller, fd, "no!!!");
    if (how == 1) caller.kernel.sockets[fd].fin = true;
    if (how == 2) caller.kernel.sockets[fd].reset = true;
    for (int i = 0; i < 4; ++i) caller.turn();
    CHECK(caller.told.back().kind == Kind::Closed);
    CHECK(caller.told.back().a == static_cast<int32_t>(CloseReason::SocketError));
    CHECK(caller.told.back().b == (how == 0 ? EPROTO : ECONNRESET));
    CHECK(caller.told.size() == (how == 0 ? 2 : 1));
    if (how == 0) CHECK(caller.told[0].kind == Kind::StreamFailed && caller.told[0].text == "hello was not understood");
    CHECK(caller.is_quiet());
  }
}

namespace {

/** Connections that talk already, and twelve whose handshake's last words have come. */
std::vector<int> twelve_come(Caller& caller, int talking) {
  std::vector<int> plain;
  for (int n = 0; n < talking; ++n) {
    plain.push_back(caller.connect());
    caller.kernel.answer(plain.back());
  }
  std::vector<int> fds;
  for (int n = 0; n < 12; ++n) {
    fds.push_back(secured(caller));
    caller.kernel.answer(fds.back());
  }
  for (int i = 0; i < 5; ++i) caller.turn();
  for (int fd : fds) say(caller, fd, "olleh");
  caller.told.clear();
  return plain;
}

int64_t opened(const Caller& caller) {
  return std::count_if(caller.told.begin(), caller.told.end(), [](const Told& one) { return one.kind == Kind::Opened; });
}

}  // namespace

TEST("handshakes take turns: no more than the budget in each, and behind those who are connected already") {
  Caller caller;
  const int plain = twelve_come(caller, 1)[0];
  for (int i = 0; i < 3; ++i) {
    say(caller, plain, std::string("\xC0\0", 2));
    caller.told.clear();
    caller.turn();
    CHECK(opened(caller) == 4);
    CHECK(caller.told[0].kind == Kind::Packet);
  }
}

TEST("handshakes are not starved by connections that fill every inbox") {
  Caller caller;
  const auto firehoses = twelve_come(caller, 3);  // what is left is room for a packet, not for a handshake
  for (int i = 0; i < 12; ++i) {
    for (int fd : firehoses) say(caller, fd, "\x30\xFD\x1F" + std::string(1, '\0') + "\1t" + std::string(4090, '.'));
    caller.turn();
  }
  CHECK(opened(caller) == 12);
}

TEST("an attempt is taken back in the middle of a handshake, by finish as by close") {
  for (int32_t command : {14, 15}) {
    Caller caller;
    int fd = secured(caller);
    caller.kernel.answer(fd);
    caller.turn();
    say(caller, fd, "oll");
    caller.turn();
    caller.command({command, static_cast<int32_t>(caller.id.slot), caller.id.generation});
    if (command == 15) caller.command({1});
    caller.turn();
    CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Closed);
    CHECK(caller.told[0].a == static_cast<int32_t>(CloseReason::Command));
    CHECK(caller.is_quiet());
  }
}
