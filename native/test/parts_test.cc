// The parts below the reactor, each alone: fixed headers, frames on their way out, topic ids, kept frames, groups.
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fake_kernel.h"
#include "mqtt/kept_frames.h"
#include "mqtt/publish_frame.h"
#include "mqtt/splitter.h"
#include "mqtt/topic_table.h"
#include "net/groups.h"
#include "net/output_queue.h"
#include "testing.h"

using namespace martlet;

namespace {

const uint8_t* bytes(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

TopicTable::Found find(TopicTable& table, const std::string& name, bool may_add = true) {
  return table.find(bytes(name), static_cast<uint32_t>(name.size()), may_add);
}

}  // namespace

TEST("a fixed header is incomplete until its last length byte, at every length") {
  struct Case {
    std::vector<uint8_t> bytes;
    uint32_t body;
  } cases[] = {
      {{0x30, 0x00}, 0},          {{0x30, 0x7F}, 127},
      {{0x30, 0x80, 0x01}, 128},  {{0x30, 0xFF, 0xFF, 0x7F}, 2'097'151},
      {{0x30, 0x80, 0x80, 0x80, 0x01}, 2'097'152}, {{0x30, 0xFF, 0xFF, 0xFF, 0x7F}, kMaxRemainingLength},
      {{0x30, 0x80, 0x00}, 0},
  };
  for (auto& one : cases) {
    FixedHeader header;
    for (size_t size = 0; size < one.bytes.size(); ++size) {
      CHECK(read_fixed_header(one.bytes.data(), size, &header) == HeaderState::Incomplete);
    }
    CHECK(read_fixed_header(one.bytes.data(), one.bytes.size(), &header) == HeaderState::Complete);
    CHECK(header.first == 0x30 && header.body == one.body && header.length == one.bytes.size());
  }
  const uint8_t five[] = {0x30, 0x80, 0x80, 0x80, 0x80};
  FixedHeader header;
  CHECK(read_fixed_header(five, 4, &header) == HeaderState::Incomplete);
  CHECK(read_fixed_header(five, 5, &header) == HeaderState::Malformed);
}

TEST("a PUBLISH longer than a Control Packet can be is refused") {
  PublishFrame frame;
  uint8_t byte = 0;
  frame.tail = {&byte, kMaxRemainingLength};
  CHECK(frame.finish(0x30));
  CHECK(frame.total == kMaxRemainingLength + 5);
  PublishFrame longer;
  longer.tail = {&byte, kMaxRemainingLength};
  CHECK(!longer.finish(0x32));
}

TEST("topic ids come at the second sighting and survive removals around them") {
  FakeKernel kernel(1);
  TopicTable table(64);
  std::mt19937 random(3);
  std::vector<std::string> known(65);
  std::set<std::string> with_id;
  for (int round = 0; round < 20'000; ++round) {
    std::string name = "topic/" + std::to_string(random() % 200) + std::string(random() % 40, 'x');
    TopicTable::Found found = find(table, name);
    if (found.is_new) {
      CHECK(known[found.id].empty());
      CHECK(!with_id.contains(name));
      known[found.id] = name;
      with_id.insert(name);
    } else if (found.id) {
      CHECK(known[found.id] == name);
    } else {
      CHECK(!with_id.contains(name));
    }
    if (random() % 50) continue;
    uint32_t ids[16];
    uint32_t count = table.evict(16, ids);
    for (uint32_t i = 0; i < count; ++i) {
      CHECK(!known[ids[i]].empty());
      with_id.erase(known[ids[i]]);
      known[ids[i]].clear();
    }
    table.end_turn();
    CHECK(table.used() == with_id.size());
  }
}

TEST("names of every length are told apart, and only 1 to 1024 bytes get ids") {
  FakeKernel kernel(1);
  TopicTable table(2000);
  for (uint32_t size = 0; size <= 1100; ++size) {
    std::string name(size, 'n');
    find(table, name);
    CHECK((find(table, name).id != 0) == (size >= 1 && size <= 1024));
  }
  CHECK(table.used() == 1024);
  CHECK(find(table, "unseen", false).id == 0);
}

TEST("an id taken back is not given out before its turn is over") {
  FakeKernel kernel(1);
  TopicTable table(1);
  find(table, "a");
  CHECK(find(table, "a").id == 1);
  find(table, "b");
  CHECK(find(table, "b").id == 0);
  uint32_t ids[4];
  CHECK(table.evict(4, ids) == 1 && ids[0] == 1);
  CHECK(find(table, "b").id == 0);
  table.end_turn();
  CHECK(find(table, "b").id == 1);
}

TEST("kept frames: handles of both signs, reused, counted, never confused") {
  KeptFrames frames;
  auto block = [](uint32_t size) {
    Block* one = Block::create(size);
    one->length = size;
    return one;
  };
  for (int32_t handle : {0, -1, INT32_MIN, INT32_MAX, KeptFrames::kMostHandles + 1}) CHECK(!frames.is_free(handle));
  frames.put(3, block(10));
  int32_t native = frames.add(block(20));
  CHECK(native == -1);
  CHECK(frames.count() == 2 && frames.bytes() == 30);
  CHECK(!frames.is_free(3) && frames.is_free(2));
  CHECK(frames.find(3)->length == 10 && frames.find(-1)->length == 20);
  for (int32_t handle : {0, 2, -2, 4, INT32_MIN, INT32_MAX}) {
    CHECK(!frames.find(handle));
    CHECK(!frames.release(handle));
  }
  CHECK(frames.release(-1) && !frames.release(-1));
  CHECK(frames.add(block(1)) == -1);
  CHECK(frames.release(3));
  CHECK(frames.count() == 1 && frames.bytes() == 1);
}

TEST("groups grow, shrink and refuse holes") {
  Groups groups;
  CHECK(!groups.find(0));
  CHECK(!groups.put(0, 1, {1, 1}));
  for (uint32_t i = 0; i < 1000; ++i) CHECK(groups.put(5, i, {i, 1}));
  CHECK(!groups.put(5, 1001, {1, 1}));
  CHECK(groups.put(5, 10, {99, 2}));
  CHECK(groups.find(5)->size == 1000 && groups.find(5)->recipients[10].slot == 99);
  for (uint32_t size = 1000; size-- > 0;) CHECK(groups.truncate(5, size));
  CHECK(!groups.truncate(5, 1));
  CHECK(!groups.find(5)->recipients);
  CHECK(groups.truncate(1000, 0) && !groups.truncate(1000, 1) && !groups.truncate(UINT32_MAX, 0));
}

TEST("output arrives whole and in order, however little the socket takes") {
  std::vector<uint8_t> inbox(65536);
  for (size_t i = 0; i < inbox.size(); ++i) inbox[i] = static_cast<uint8_t>(i * 7);
  for (uint32_t seed = 0; seed < testing::rounds / 3; ++seed) {
    FakeKernel kernel(seed);
    int fd = kernel.connect();
    FakeSocket& socket = kernel.sockets[fd];
    socket.window = 0;
    BufferPool pool;
    OutputStore store(pool, inbox.data());
    OutputQueue queue{};
    std::vector<uint8_t> expected;
    auto& random = kernel.random;
    for (int step = 0; step < 200; ++step) {
      uint32_t size = 1 + random() % (random() % 4 ? 300 : 40'000);
      uint32_t at = random() % (static_cast<uint32_t>(inbox.size()) - size);
      const uint8_t* from = inbox.data() + at;
      switch (random() % 4) {
        case 0:
          store.append(queue, from, size);
          break;
        case 1: {
          Block* block = Block::create(size);
          std::memcpy(block->data(), from, size);
          store.refer_to_block(queue, block, block->data(), size);
          block->release();
          break;
        }
        case 2:
          store.refer_to_inbox(queue, from, size, at, size, random() % 2);
          break;
        default:
          size = std::min(size, 500u);
          CHECK(store.reserve(queue, size));
          std::memcpy(queue.write_at, from, size);
          queue.write_at += size;
          queue.bytes += size;
      }
      expected.insert(expected.end(), from, from + size);
      if (random() % 3) continue;
      socket.window += random() % 30'000;
      CHECK(store.send(queue, fd).error == 0);
      store.leave_inbox(queue);
      store.end_turn();
      CHECK(queue.bytes == expected.size() - socket.received.size());
    }
    socket.window = SIZE_MAX / 2;
    while (queue.bytes) store.send(queue, fd);
    CHECK(socket.received == expected);
    store.clear(queue);
  }
}
