#include "net/groups.h"

#include <algorithm>
#include <cstdlib>

namespace martlet {

Groups::~Groups() { clear(); }

void Groups::clear() {
  for (Group& group : groups_) std::free(group.recipients);
  groups_.clear();
}

bool Groups::put(uint32_t number, uint32_t position, Recipient recipient) {
  if (number >= kMostGroups) return false;
  if (number >= groups_.size()) {
    if (position != 0) return false;
    groups_.resize(std::max<size_t>(number + size_t{1}, groups_.size() * 2));
  }
  Group& group = groups_[number];
  if (position > group.size) return false;
  if (position == group.capacity) {
    uint32_t capacity = std::max(4u, group.capacity * 2);
    auto* moved = static_cast<Recipient*>(std::realloc(group.recipients, capacity * sizeof(Recipient)));
    if (!moved) std::abort();
    group.recipients = moved;
    group.capacity = capacity;
  }
  group.recipients[position] = recipient;
  if (position == group.size) ++group.size;
  return true;
}

bool Groups::truncate(uint32_t number, uint32_t size) {
  if (number >= groups_.size()) return size == 0 && number < kMostGroups;
  Group& group = groups_[number];
  if (size > group.size) return false;
  group.size = size;
  if (size == 0) {
    std::free(group.recipients);
    group = Group{};
  } else if (group.capacity > 16 && size < group.capacity / 4) {
    // A list that was long once must not hold its memory for ever.
    uint32_t capacity = group.capacity / 2;
    if (auto* moved = static_cast<Recipient*>(std::realloc(group.recipients, capacity * sizeof(Recipient)))) {
      group.recipients = moved;
      group.capacity = capacity;
    }
  }
  return true;
}

}  // namespace martlet
