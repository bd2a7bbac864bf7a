// Decisions TypeScript lets stand: a plain QoS 0 PUBLISH of one connection to one topic goes to one other connection, and
// nobody need be asked. One a topic id, good while the number under which it was made is the present one: TypeScript raises
// that number with whatever might change its mind. Owns the table and nothing else.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace martlet {

struct Shortcut {
  int32_t decision = 0;  // 0: none
  uint32_t from_slot = 0;
  int32_t from_generation = 0;
  uint32_t to_slot = 0;
  int32_t to_generation = 0;
  bool from_5 = false;  // MQTT 5: a property block stands between topic and payload
  bool to_5 = false;
};

class Shortcuts {
 public:
  explicit Shortcuts(uint32_t topic_ids) : most_(topic_ids + 1) {}

  /** False: no such topic id. */
  bool put(uint32_t topic, const Shortcut& shortcut) {
    if (topic == 0 || topic >= most_) return false;
    // Ids are given out from 1 on: the table grows with their use.
    if (topic >= table_.size()) table_.resize(std::min(std::max(topic + 1, 2 * static_cast<uint32_t>(table_.size())), most_));
    table_[topic] = shortcut;
    return true;
  }

  /** What was decided for the topic, if `decision` is still the present one; or null. */
  const Shortcut* find(uint32_t topic, int32_t decision) const {
    if (topic >= table_.size() || table_[topic].decision != decision) return nullptr;
    return &table_[topic];
  }

  /** The id is another topic's from now on. */
  void forget(uint32_t topic) {
    if (topic < table_.size()) table_[topic].decision = 0;
  }

 private:
  const uint32_t most_;
  std::vector<Shortcut> table_;
};

}  // namespace martlet
