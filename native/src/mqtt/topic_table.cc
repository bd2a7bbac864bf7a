#include "mqtt/topic_table.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "net/sockets.h"

namespace martlet {

namespace {

uint64_t load(const uint8_t* at, size_t size) {
  uint64_t value = 0;
  std::memcpy(&value, at, size);
  return value;
}

// Both halves of a 64 x 64 bit product: every bit of either factor reaches every bit of the result.
uint64_t fold(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

TopicTable::TopicTable(uint32_t ids) {
  sockets::random_bytes(seed_, sizeof seed_);
  seed_[1] |= 1;
  entries_.resize(ids + 1);
  cells_.resize(std::bit_ceil(std::max(ids * 2, 4u)));
  cell_mask_ = static_cast<uint32_t>(cells_.size()) - 1;
  sightings_.resize(std::bit_ceil(std::clamp(ids * 4, 1024u, 1u << 18)));
  sighting_mask_ = static_cast<uint32_t>(sightings_.size()) - 1;
  free_.reserve(ids);
  for (uint32_t id = ids; id >= 1; --id) free_.push_back(id);
}

TopicTable::~TopicTable() {
  for (Entry& entry : entries_) std::free(entry.name);
}

uint64_t TopicTable::hash(const uint8_t* name, uint32_t size) const {
  uint64_t state = seed_[0] ^ size;
  const uint8_t* end = name + size;
  while (end - name > 16) {
    state = fold(load(name, 8) ^ seed_[1], load(name + 8, 8) ^ state);
    name += 16;
  }
  // The last 1 to 16 bytes as two words that may overlap.
  auto rest = static_cast<size_t>(end - name);
  uint64_t low, high;
  if (rest >= 8) {
    low = load(name, 8);
    high = load(end - 8, 8);
  } else if (rest >= 4) {
    low = load(name, 4);
    high = load(end - 4, 4);
  } else {
    low = name[0] | static_cast<uint64_t>(name[rest / 2]) << 8 | static_cast<uint64_t>(end[-1]) << 16;
    high = 0;
  }
  state = fold(low ^ seed_[1], high ^ state);
  return fold(state ^ seed_[0], seed_[1]);
}

TopicTable::Found TopicTable::find(const uint8_t* name, uint32_t size, bool may_add) {
  if (size == 0 || size > kLongestName) return {};
  uint64_t key = hash(name, size);
  auto tag = static_cast<uint32_t>(key >> 32);
  for (uint32_t at = static_cast<uint32_t>(key) & cell_mask_; cells_[at].id; at = (at + 1) & cell_mask_) {
    if (cells_[at].tag != tag) continue;
    Entry& entry = entries_[cells_[at].id];
    if (entry.size != size || std::memcmp(entry.name, name, size) != 0) continue;
    entry.seen = true;
    return {cells_[at].id, false};
  }
  if (!may_add) return {};
  uint32_t& sighting = sightings_[static_cast<uint32_t>(key) & sighting_mask_];
  if (sighting != tag) {
    sighting = tag;
    return {};
  }
  if (free_.empty()) {
    ++wanted_;
    return {};
  }
  return {add(key, name, size), true};
}

uint32_t TopicTable::add(uint64_t hash, const uint8_t* name, uint32_t size) {
  uint32_t id = free_.back();
  free_.pop_back();
  auto* copy = static_cast<uint8_t*>(std::malloc(size));
  if (!copy) std::abort();
  std::memcpy(copy, name, size);
  // Not `seen` yet: a name that comes twice and never again leaves before one that is in use.
  entries_[id] = Entry{hash, copy, size, false};
  uint32_t at = static_cast<uint32_t>(hash) & cell_mask_;
  while (cells_[at].id) at = (at + 1) & cell_mask_;
  cells_[at] = Cell{static_cast<uint32_t>(hash >> 32), id};
  ++used_;
  return id;
}

void TopicTable::remove(uint32_t id) {
  Entry& entry = entries_[id];
  uint32_t hole = static_cast<uint32_t>(entry.hash) & cell_mask_;
  while (cells_[hole].id != id) hole = (hole + 1) & cell_mask_;
  // Close the gap: a cell moves back unless its home lies between the hole and itself.
  for (uint32_t at = (hole + 1) & cell_mask_; cells_[at].id; at = (at + 1) & cell_mask_) {
    uint32_t home = static_cast<uint32_t>(entries_[cells_[at].id].hash) & cell_mask_;
    if (((at - home) & cell_mask_) < ((at - hole) & cell_mask_)) continue;
    cells_[hole] = cells_[at];
    hole = at;
  }
  cells_[hole] = Cell{};
  std::free(entry.name);
  entry = Entry{};
  --used_;
}

uint32_t TopicTable::evict(uint32_t most, uint32_t* ids) {
  // An eighth of the table at most, so that a busy turn cannot turn the whole cache over.
  auto size = static_cast<uint32_t>(entries_.size()) - 1;
  uint32_t goal = std::min({wanted_, most, std::max(size / 8, 1u), used_});
  wanted_ = 0;
  uint32_t count = 0;
  // Two rounds see every entry without its second chance.
  for (uint64_t step = 0; count < goal && step < uint64_t{size} * 2; ++step) {
    Entry& entry = entries_[hand_];
    uint32_t id = hand_;
    hand_ = hand_ == size ? 1 : hand_ + 1;
    if (!entry.name) continue;
    if (entry.seen) {
      entry.seen = false;
      continue;
    }
    remove(id);
    resting_.push_back(id);
    ids[count++] = id;
  }
  return count;
}

void TopicTable::end_turn() {
  free_.insert(free_.end(), resting_.begin(), resting_.end());
  resting_.clear();
}

}  // namespace martlet
