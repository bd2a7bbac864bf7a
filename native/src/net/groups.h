// Recipient lists, edited in place by TypeScript and walked by `multicast`. Entries are (slot, generation): a stale one
// reaches nobody. Knows no connections.
#pragma once

#include <cstdint>
#include <vector>

namespace martlet {

class Groups {
 public:
  struct Recipient {
    uint32_t slot;
    int32_t generation;
  };
  struct Group {
    Recipient* recipients = nullptr;
    uint32_t size = 0;
    uint32_t capacity = 0;
  };

  Groups() = default;
  ~Groups();
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  /** Null: nobody ever put anything there. */
  const Group* find(uint32_t group) const { return group < groups_.size() ? &groups_[group] : nullptr; }
  /** Overwrites a position or, at `size`, appends. False: no such group number or a position behind the end. */
  bool put(uint32_t group, uint32_t position, Recipient recipient);
  /** Shortens the list; 0 gives its memory back. False: longer than it is. */
  bool truncate(uint32_t group, uint32_t size);
  void clear();

  static constexpr uint32_t kMostGroups = 1 << 24;

 private:
  std::vector<Group> groups_;
};

}  // namespace martlet
