// The topic table against a plain map: an id stands for one name from its sighting to its eviction, is never given out
// twice, and rests for the turn in which it was taken back.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fake_kernel.h"  // random_bytes: the hash's key
#include "input.h"
#include "mqtt/topic_table.h"

using martlet::TopicTable;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FakeKernel kernel(1);
  Input in(data, size);
  const uint32_t ids = 1 + in.byte() % 12;
  TopicTable table(ids);
  std::map<std::string, uint32_t> known;
  std::map<uint32_t, std::string> names;
  std::set<uint32_t> resting;

  while (!in.empty()) {
    const uint8_t op = in.byte();
    if (op % 8 == 0) {
      uint32_t taken[16];
      const uint32_t count = table.evict(in.byte() % 16, taken);
      CHECK(count <= 16);
      for (uint32_t i = 0; i < count; ++i) {
        CHECK(names.count(taken[i]) == 1);
        known.erase(names[taken[i]]);
        names.erase(taken[i]);
        resting.insert(taken[i]);
      }
    } else if (op % 8 == 1) {
      table.end_turn();
      resting.clear();
    } else {
      // Few short names that come again, and some long ones.
      std::string name(op % 8 == 2 ? in.two() % 1100 : op % 3, static_cast<char>('a' + in.byte() % 24));
      const bool may_add = op % 5 != 0;
      auto found = table.find(reinterpret_cast<const uint8_t*>(name.data()), static_cast<uint32_t>(name.size()), may_add);
      auto before = known.find(name);
      if (before != known.end()) {
        CHECK(found.id == before->second && !found.is_new);
      } else if (found.id != 0) {
        CHECK(found.is_new && may_add && found.id <= ids);
        CHECK(name.size() <= TopicTable::kLongestName);
        CHECK(names.count(found.id) == 0 && resting.count(found.id) == 0);
        known[name] = found.id;
        names[found.id] = name;
      } else {
        CHECK(!found.is_new);
      }
    }
    CHECK(table.used() == names.size());
  }
  return 0;
}
