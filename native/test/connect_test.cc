// Connections of ours against the fake kernel: every way connect() can answer, at once and later, and what takes an attempt
// back. Layers that shake hands before anybody is told are in handshake_test.cc.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <string>
#include <vector>

#include "caller.h"

using namespace caller;

TEST("a connection of ours is told when the socket is writable, and is as any other from then on") {
  Caller caller;
  caller.greets = true;
  int fd = caller.connect();
  auto& options = caller.kernel.options[fd];
  CHECK((options[{IPPROTO_TCP, TCP_NODELAY}] == 1 && options[{IPPROTO_TCP, TCP_USER_TIMEOUT}] == 60'000));
  for (int i = 0; i < 3; ++i) caller.turn();
  CHECK(caller.told.empty() && !caller.kernel.ready());
  caller.kernel.answer(fd);
  caller.turn();
  CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Opened && caller.told[0].a == -1);
  CHECK(caller.told[0].text == "127.0.0.1:1883");
  CHECK(caller.told[0].slot == static_cast<int32_t>(caller.id.slot) && caller.told[0].generation == caller.id.generation);
  FakeSocket& socket = caller.kernel.sockets[fd];
  CHECK(socket.received == (std::vector<uint8_t>{0xC0, 0}));  // in the same turn
  CHECK(socket.events == EPOLLIN);
  socket.sent = {0xD0, 0};
  socket.fin = true;
  caller.turn();
  caller.turn();
  CHECK(caller.told[1].kind == Kind::Packet && caller.told[2].kind == Kind::Ended);
  caller.command({14, caller.told[0].slot, caller.told[0].generation});
  caller.reactor->before_sleep();
  caller.turn();
  CHECK(caller.told.back().kind == Kind::Closed && caller.told.back().a == static_cast<int32_t>(CloseReason::Finished));
  CHECK(caller.total(wire::Total::Connected) == 1 && caller.total(wire::Total::Accepted) == 0);
  CHECK(caller.is_quiet());
}

TEST("connect() that succeeds at once is told in the next turn, like any other") {
  Caller caller;
  caller.kernel.connect_result = 0;
  CHECK(caller.connect() >= 0);
  CHECK(caller.told.empty());
  caller.turn();
  CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Opened);
}

TEST("what SO_ERROR says later is told as closed, without opened: refused, timed out, unreachable, reset") {
  for (int error : {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, EACCES}) {
    Caller caller;
    int fd = caller.connect();
    caller.kernel.answer(fd, error);
    caller.turn();
    CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Closed);
    CHECK(caller.told[0].a == static_cast<int32_t>(CloseReason::SocketError) && caller.told[0].b == error);
    CHECK(caller.is_quiet());
  }
}

TEST("what connect() says at once is an error, and leaves no descriptor and no slot behind") {
  for (int error : {ECONNREFUSED, EAGAIN, EADDRNOTAVAIL, ENETUNREACH, EACCES, ENOENT}) {
    Caller caller(1);
    caller.kernel.connect_result = -error;
    CHECK(caller.connect() < 0 && caller.fails_with(error, "connect"));
    CHECK(caller.kernel.open_sockets() == 0);
    caller.kernel.connect_result = -EINPROGRESS;
    CHECK(caller.connect() >= 0);  // the one slot is free still
  }
}

TEST("no descriptor, no local address, no slot: each is an error at once") {
  Caller caller(1);
  caller.kernel.descriptors = 0;
  CHECK(caller.connect() < 0 && caller.fails_with(EMFILE, "socket"));
  caller.kernel.descriptors = SIZE_MAX;
  caller.kernel.bind_result = -EADDRNOTAVAIL;
  ConnectOptions from = Caller::to();
  from.local_host = "127.0.0.2";
  CHECK(caller.connect(from) < 0 && caller.fails_with(EADDRNOTAVAIL, "bind"));
  from.local_host = "localhost";
  CHECK(caller.connect(from) < 0 && caller.fails_with(EINVAL, "inet_pton"));
  CHECK(caller.connect(Caller::to("localhost")) < 0 && caller.fails_with(EINVAL, "inet_pton"));
  ConnectOptions path;
  path.path = std::string(200, 'x');
  CHECK(caller.connect(path) < 0 && caller.fails_with(ENAMETOOLONG, "connect"));
  CHECK(caller.kernel.open_sockets() == 0);
  CHECK(caller.connect() >= 0);
  size_t opened = caller.kernel.sockets.size();
  CHECK(caller.connect() < 0 && caller.fails_with(ENOBUFS, "connect"));
  CHECK(caller.kernel.sockets.size() == opened);  // not even a socket was opened for it
}

TEST("a connection that reached itself is dropped with a reason of its own") {
  Caller caller;
  int fd = caller.connect();
  caller.kernel.sockets[fd].to_itself = true;
  caller.kernel.answer(fd);
  caller.turn();
  CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Closed);
  CHECK(caller.told[0].a == static_cast<int32_t>(CloseReason::ReachedItself));
  CHECK(caller.is_quiet());
}

TEST("a peer that accepts and is gone before we look is a failed connection") {
  Caller caller;
  int fd = caller.connect();
  caller.kernel.vanishes = true;
  caller.kernel.answer(fd);
  caller.turn();
  CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Closed && caller.told[0].b == ECONNRESET);
  CHECK(caller.is_quiet());
}

TEST("close and finish take an attempt back; other commands to it do nothing") {
  for (int32_t command : {14, 15}) {
    Caller caller;
    caller.connect();
    auto slot = static_cast<int32_t>(caller.id.slot);
    int32_t generation = caller.id.generation;
    caller.command({1, slot, generation, 0, 100});
    caller.command({16, slot, generation});
    caller.command({17, slot, generation});
    caller.command({13, slot, generation, 100, 100, 100});
    caller.turn();
    CHECK(caller.told.empty());
    caller.command({command, slot, generation});
    if (command == 15) caller.command({0});  // whether with a reset: the word behind
    caller.turn();
    CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Closed);
    CHECK(caller.told[0].a == static_cast<int32_t>(CloseReason::Command));
    CHECK(caller.is_quiet());
  }
}

TEST("an attempt taken back in the turn that would have told of it is told closed, once") {
  Caller caller;
  int fd = caller.connect();
  caller.kernel.answer(fd);
  caller.close(caller.id);
  caller.reactor->before_sleep();
  caller.turn();
  caller.turn();
  CHECK(caller.told.size() == 1 && caller.told[0].kind == Kind::Closed);
}

TEST("closing the reactor closes what connects still, and begins nothing new") {
  Caller caller;
  for (int i = 0; i < 5; ++i) caller.connect();
  caller.kernel.answer(caller.kernel.dialed[0]);
  caller.turn();
  caller.reactor->close(true);
  CHECK(std::count_if(caller.told.begin(), caller.told.end(), [](const Told& told) {
          return told.kind == Kind::Closed && told.a == static_cast<int32_t>(CloseReason::ReactorClosed);
        }) == 5);
  CHECK(caller.connect() < 0 && caller.fails_with(ECANCELED, "connect"));
  CHECK(caller.is_quiet());
}

TEST("more connections stand, fail and end at once than the inbox has room for: all are told, none twice") {
  Caller caller(Caller::kMostSlots);
  for (uint32_t round = 0; round < 3; ++round) {
    std::vector<int> told_opened(Caller::kMostSlots), told_closed(Caller::kMostSlots);
    auto note = [&] {
      for (const Told& each : caller.told) {
        if (each.kind == Kind::Opened) CHECK(++told_opened[static_cast<size_t>(each.slot)] == 1);
        if (each.kind == Kind::Closed) CHECK(++told_closed[static_cast<size_t>(each.slot)] == 1);
      }
      caller.told.clear();
    };
    for (uint32_t i = 0; i < Caller::kMostSlots; ++i) {
      int fd = caller.connect();
      CHECK(fd >= 0);
      caller.kernel.answer(fd, i % 3 == 0 ? ECONNREFUSED : 0);
    }
    caller.turn();
    CHECK(caller.told.size() < Caller::kMostSlots);  // or this test says nothing
    for (int i = 0; i < 20; ++i) caller.turn();
    note();
    CHECK(std::count(told_opened.begin(), told_opened.end(), 1) == Caller::kMostSlots - (Caller::kMostSlots + 2) / 3);
    for (int fd : caller.kernel.dialed) caller.kernel.sockets[fd].reset = true;
    for (int i = 0; i < 20; ++i) caller.turn();
    note();
    CHECK(std::count(told_closed.begin(), told_closed.end(), 1) == Caller::kMostSlots);
    CHECK(caller.is_quiet());
  }
}
