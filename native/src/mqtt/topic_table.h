// Gives Topic Names small integers, so that TypeScript looks a route up with an array index. An id is a cache key and
// nothing more: a name gets one at its second sighting (a flood of unique topics evicts nothing), ids are taken back by
// second chance between turns only. Owns copies of the names. The hash is keyed: nobody outside can aim at collisions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace martlet {

class TopicTable {
 public:
  explicit TopicTable(uint32_t ids);
  ~TopicTable();
  TopicTable(const TopicTable&) = delete;
  TopicTable& operator=(const TopicTable&) = delete;

  static constexpr uint32_t kLongestName = 1024;

  struct Found {
    uint32_t id = 0;  // 0: none
    bool is_new = false;
  };
  /** The name's id; with `may_add`, a name seen before gets one if an id is free. */
  Found find(const uint8_t* name, uint32_t size, bool may_add);

  /** Takes back ids the last turn had wanted and found none; at most `most`. They rest until `end_turn`. */
  uint32_t evict(uint32_t most, uint32_t* ids);
  /** Ids evicted at this turn's start may be given out from now on. */
  void end_turn();

  uint32_t used() const { return used_; }

 private:
  struct Entry {
    uint64_t hash;
    uint8_t* name;
    uint32_t size;
    bool seen;  // since the clock's hand last passed
  };
  struct Cell {
    uint32_t tag;
    uint32_t id;  // 0: empty
  };

  uint64_t hash(const uint8_t* name, uint32_t size) const;
  uint32_t add(uint64_t hash, const uint8_t* name, uint32_t size);
  void remove(uint32_t id);

  uint64_t seed_[2];
  std::vector<Entry> entries_;  // by id; [0] unused
  std::vector<Cell> cells_;     // open addressing, linear probing, at most half full
  std::vector<uint32_t> sightings_;  // fingerprints of names seen once, direct-mapped
  std::vector<uint32_t> free_;
  std::vector<uint32_t> resting_;
  uint32_t cell_mask_;
  uint32_t sighting_mask_;
  uint32_t used_ = 0;
  uint32_t wanted_ = 0;  // names that found no free id since the last eviction
  uint32_t hand_ = 1;
};

}  // namespace martlet
