// What the records of a fuzzed story told, checked against the promises of native/index.d.ts. Owns what TypeScript would know:
// connections, topic ids, handles of kept frames.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "input.h"
#include "loop/wire.h"
#include "mqtt/splitter.h"

namespace story {

using namespace martlet;
using wire::Kind;

struct Named {  // a connection as the records told of it
  uint32_t slot;
  int32_t generation;
  bool ended = false;
  bool stopped = false;  // oversized or malformed: no packet follows
};

struct Body {  // a packet of this turn's inbox
  int32_t offset, length;
};

class Records {
 public:
  Records(uint32_t slots, const std::vector<uint8_t>& inbox_bytes) : slots_(slots), inbox_bytes_(inbox_bytes) {}

  /** Reads the records of a turn; the packets among them that are in its inbox. */
  std::vector<Body> read(const int32_t* inbox, uint32_t count) {
    std::vector<Body> bodies;
    bool forgetting = true;
    for (uint32_t i = 0; i < count; ++i) {
      const int32_t* w = inbox + i * wire::kRecordWords;
      const auto kind = static_cast<Kind>(w[0] & 0xFF);
      if (kind != Kind::Forgotten) forgetting = false;
      CHECK(kind != Kind::Forgotten || forgetting);
      record(kind, w, &bodies);
    }
    return bodies;
  }

  std::map<int32_t, Named> open;
  std::map<int32_t, int32_t> underway;  // of ours, not told yet: slot to generation
  std::vector<int32_t> kept;            // handles native code chose, some of them released since

 private:
  void record(Kind kind, const int32_t* w, std::vector<Body>* bodies) {
    switch (kind) {
      case Kind::Opened:
        CHECK(open.count(w[1]) == 0 && static_cast<uint32_t>(w[1]) < slots_);
        CHECK((w[3] == -1) == (underway.count(w[1]) == 1 && underway[w[1]] == w[2]));
        underway.erase(w[1]);
        open[w[1]] = {static_cast<uint32_t>(w[1]), w[2]};
        in_inbox(w[4], w[5]);
        return;
      case Kind::Topic:
        CHECK(w[3] > 0 && w[3] <= 8 && topics_.count(w[3]) == 0);
        in_inbox(w[4], w[5]);
        topics_[w[3]].assign(inbox_bytes_.begin() + w[4], inbox_bytes_.begin() + w[4] + w[5]);
        return;
      case Kind::Forgotten:
        CHECK(topics_.erase(w[3]) == 1);
        return;
      case Kind::AcceptPaused:
      case Kind::Refused:
        return;
      default:
        break;
    }
    if (auto dialed = underway.find(w[1]); dialed != underway.end() && dialed->second == w[2]) {
      CHECK(kind == Kind::Closed || kind == Kind::StreamFailed);
      if (kind == Kind::Closed) underway.erase(dialed);
      return;
    }
    auto found = open.find(w[1]);
    CHECK(found != open.end() && found->second.generation == w[2]);
    Named& connection = found->second;
    switch (kind) {
      case Kind::Packet:
        CHECK(!connection.ended && !connection.stopped);
        packet(w, bodies);
        break;
      case Kind::Ended:
        CHECK(!connection.ended);
        connection.ended = true;
        break;
      case Kind::Oversized:
      case Kind::Malformed:
        CHECK(!connection.stopped && !connection.ended);
        connection.stopped = true;
        break;
      case Kind::Learned:
        in_inbox(w[4], w[5]);
        break;
      case Kind::StreamFailed:
        in_inbox(w[4], w[5]);
        connection.stopped = true;
        break;
      case Kind::Drained:
      case Kind::Overflowed:
        break;
      case Kind::Closed:
        open.erase(found);
        break;
      default:
        CHECK(false && "a record of no known kind");
    }
  }

  void packet(const int32_t* w, std::vector<Body>* bodies) {
    if (w[6] != 0) {
      CHECK(w[6] < 0 && w[4] == 0);
      kept.push_back(w[6]);
      if (kept.size() > 50) kept.erase(kept.begin());
      return;
    }
    in_inbox(w[4], w[5]);
    bodies->push_back({w[4], w[5]});
    if (w[3] == 0) return;
    // The id stands for the very name this packet has.
    CHECK(topics_.count(w[3]) == 1);
    const auto& name = topics_[w[3]];
    const int32_t length = topic_length(inbox_bytes_.data() + w[4], static_cast<uint32_t>(w[5]));
    CHECK(length == static_cast<int32_t>(name.size()));
    CHECK(std::equal(name.begin(), name.end(), inbox_bytes_.begin() + w[4] + 2));
  }

  void in_inbox(int32_t offset, int32_t length) const {
    CHECK(offset >= 0 && length >= 0);
    CHECK(static_cast<size_t>(offset) + static_cast<size_t>(length) <= inbox_bytes_.size());
  }

  const uint32_t slots_;
  const std::vector<uint8_t>& inbox_bytes_;
  std::map<int32_t, std::vector<uint8_t>> topics_;
};

}  // namespace story
