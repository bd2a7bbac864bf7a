// The side of TypeScript in a random walk: reads the records and checks what native/index.d.ts promises of them, and writes
// commands, right and wrong.
#include <algorithm>

#include "testing.h"
#include "walk.h"

namespace walk {

void Walk::take(uint32_t records) {
  bool other_seen = false;
  for (uint32_t i = 0; i < records; ++i) {
    ++told_;
    const int32_t* w = &inbox_[i * wire::kRecordWords];
    auto kind = static_cast<wire::Kind>(w[0] & 0xFF);
    if (kind == wire::Kind::Forgotten) {
      CHECK(!other_seen);
      CHECK(names_.erase(w[3]) == 1);
      continue;
    }
    other_seen = true;
    if (kind == wire::Kind::Topic) {
      CHECK(!names_.contains(w[3]));
      names_[w[3]] = std::string(reinterpret_cast<char*>(&inbox_bytes_[static_cast<size_t>(w[4])]),
                                 static_cast<size_t>(w[5]));
      continue;
    }
    if (kind == wire::Kind::AcceptPaused) {
      paused_listener_ = true;
      continue;
    }
    if (kind == wire::Kind::Refused) continue;
    if (kind == wire::Kind::Opened) {
      opened(w);
      continue;
    }
    Peer* peer = by_id(w[1], w[2]);
    CHECK(peer && !peer->closed && (peer->opened || (peer->dialed && kind == wire::Kind::Closed)));
    if (!peer) continue;
    if (kind == wire::Kind::Packet) packet(*peer, w);
    if (kind == wire::Kind::Overflowed) CHECK(w[3] + w[4] > 0);
    if (kind == wire::Kind::Ended) {
      CHECK(!peer->ended);
      peer->ended = true;
      CHECK(peer->to_tell.empty());
    }
    if (kind == wire::Kind::Closed) peer->closed = true;
    if (kind == wire::Kind::Malformed || kind == wire::Kind::Oversized) CHECK(wild_);
  }
  command();
  reactor_->execute();
}

void Walk::opened(const int32_t* w) {
  // Accepted in the order they connected; those that were refused are skipped.
  for (auto& peer : peers_) {
    FakeSocket& socket = kernel_.sockets[peer->fd];
    uint64_t tag = static_cast<uint64_t>(static_cast<uint32_t>(w[2])) << 32 | static_cast<uint32_t>(w[1]);
    if (peer->opened || socket.tag != tag) continue;
    CHECK(peer->dialed == (w[3] == -1));
    peer->opened = true;
    peer->slot = static_cast<uint32_t>(w[1]);
    peer->generation = w[2];
    if (random_() % 4) write({13, w[1], w[2], 0, 0, 0});
    return;
  }
  CHECK(false);
}

void Walk::packet(Peer& peer, const int32_t* w) {
  CHECK(!peer.ended);
  CHECK(!peer.to_tell.empty());
  if (peer.to_tell.empty()) return;
  Packet& expected = peer.to_tell.front();
  CHECK(expected.first == (w[0] >> 8 & 0xFF));
  Bytes body(static_cast<size_t>(w[5]));
  if (w[6]) {
    CHECK(reactor_->read_kept(w[6], 0, body.data(), body.size()) == static_cast<int64_t>(body.size()));
  } else {
    std::copy_n(&inbox_bytes_[static_cast<size_t>(w[4])], body.size(), body.begin());
  }
  CHECK(body == expected.body);
  if (w[3]) {
    CHECK((expected.first & 0xF0) == 0x30);
    CHECK(names_.contains(w[3]) && names_[w[3]] == std::string(body.begin() + 2, body.begin() + 2 + body[1]));
  }
  if ((expected.first & 0xF0) == 0x30) publish(w, body);
  if (w[6]) write({10, w[6]});
  peer.to_tell.pop_front();
}

void Walk::publish(const int32_t* w, const Bytes& body) {
  int32_t tail = 2 + body[1] + ((w[0] >> 8 & 6) ? 2 : 0);
  uint8_t first = random_() % 2 ? 0x30 : 0x32;
  Packet out{first, {body.begin(), body.begin() + 2 + body[1]}};
  if (first & 6) out.body.insert(out.body.end(), {0x12, 0x34});
  out.body.insert(out.body.end(), body.begin() + tail, body.end());
  Bytes bytes = encoded(out);
  uint32_t how = random_() % 6;
  if (w[6]) {
    write({9, w[6], tail});
    if (Peer* to = any_open()) {
      write({4 | first << 8 | 0x1234 << 16, static_cast<int32_t>(to->slot), to->generation, w[6], 0, 0});
      expect(*to, bytes);
    }
  } else if (how < 3) {
    if (Peer* to = any_open()) {
      write({3 | first << 8 | 0x1234 << 16, static_cast<int32_t>(to->slot), to->generation, w[4], w[5], w[4] + tail, 0, 0});
      expect(*to, bytes);
    }
  } else if (how == 3) {
    write({8, 1, w[4], w[5], w[4] + tail});
    if (Peer* to = any_open()) {
      write({4 | first << 8 | 0x1234 << 16, static_cast<int32_t>(to->slot), to->generation, 1, 0, 0});
      expect(*to, bytes);
    }
    write({10, 1});
  } else if (how == 4 && first == 0x30) {
    int32_t size = 0;
    for (auto& to : peers_) {
      if (!to->opened) continue;
      write({11, 3, size++, static_cast<int32_t>(to->slot), to->generation});
      if (!to->closed) expect(*to, bytes);
    }
    write({12, 3, size});
    if (size) write({5 | first << 8, 3, w[4], w[5], w[4] + tail, 0, 0, -1});
  } else {
    std::vector<int32_t> words{7 | first << 8, 0, w[4], w[5], w[4] + tail, 0, 0};
    for (auto& to : peers_) {
      if (!to->opened || random_() % 2) continue;
      words.insert(words.end(), {static_cast<int32_t>(to->slot), to->generation, 0x1234});
      ++words[1];
      if (!to->closed) expect(*to, bytes);
    }
    write(words);
  }
}

void Walk::expect(Peer& to, const Bytes& bytes) {
  if (!to.finished) to.expected.insert(to.expected.end(), bytes.begin(), bytes.end());
}

void Walk::command() {
  if (paused_listener_ && random_() % 3 == 0) {
    write({18, 0});
    paused_listener_ = false;
  }
  if (wild_ && !settling_) wild();
  if (wild_ || settling_) return;
  Peer* peer = any_open();
  if (Peer* underway = random_() % 20 ? nullptr : any_underway()) {
    write({random_() % 2 ? 14 : 15, static_cast<int32_t>(underway->slot), underway->generation, 0});
    if (outbox_[outbox_[0] - 4] == 14) --outbox_[0];  // finish has one word less
  }
  if (!peer) return;
  auto slot = static_cast<int32_t>(peer->slot);
  switch (random_() % 30) {
    case 0:
      write({14, slot, peer->generation});
      peer->finished = true;
      break;
    case 1:
      write({15, slot, peer->generation, static_cast<int32_t>(random_() % 2)});
      peer->finished = true;
      break;
    case 2:
    case 3:
      write({16, slot, peer->generation});
      break;
    case 4:
    case 5:
      write({17, slot, peer->generation});
      break;
    default:
      if (peer->ended) {
        write({14, slot, peer->generation});
        peer->finished = true;
      }
  }
}

// Words that may be right, nearly right, or anything.
void Walk::wild() {
  for (uint32_t i = random_() % 30; i > 0; --i) {
    std::vector<int32_t> words{static_cast<int32_t>(random_() % 20 | random_() % 0x10000 << 8)};
    for (uint32_t n = random_() % 9; n > 0; --n) {
      switch (random_() % 4) {
        case 0:
          words.push_back(static_cast<int32_t>(random_()));
          break;
        case 1:
          words.push_back(static_cast<int32_t>(random_() % inbox_bytes_.size()));
          break;
        default:
          words.push_back(static_cast<int32_t>(random_() % 10) - 2);
      }
    }
    write(words);
  }
  if (random_() % 50 == 0) outbox_[0] = static_cast<int32_t>(random_());
}

void Walk::resume_all() {
  for (auto& peer : peers_) {
    if (peer->opened) write({17, static_cast<int32_t>(peer->slot), peer->generation});
  }
  if (paused_listener_) write({18, 0});
  paused_listener_ = false;
}

void Walk::write(const std::vector<int32_t>& words) {
  if (static_cast<size_t>(outbox_[0]) + words.size() > outbox_.size()) {
    reactor_->execute();
    complain();
  }
  std::copy(words.begin(), words.end(), outbox_.begin() + outbox_[0]);
  outbox_[0] += static_cast<int32_t>(words.size());
}

Peer* Walk::by_id(int32_t slot, int32_t generation) {
  for (auto& peer : peers_) {
    if ((peer->opened || peer->dialed) && static_cast<int32_t>(peer->slot) == slot && peer->generation == generation) return peer.get();
  }
  return nullptr;
}

Peer* Walk::any_underway() {
  for (auto& peer : peers_) {
    if (peer->dialed && !peer->opened && !peer->closed) return peer.get();
  }
  return nullptr;
}

Peer* Walk::any_open() {
  std::vector<Peer*> open;
  for (auto& peer : peers_) {
    if (peer->opened && !peer->closed && !peer->finished) open.push_back(peer.get());
  }
  return open.empty() ? nullptr : open[random_() % open.size()];
}

}  // namespace walk
