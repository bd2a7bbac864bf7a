// The whole reactor over the fake kernel. An input is a list of steps of eight bytes each, and every eight bytes are a
// step: peers that connect and are connected to, talk (packets right and wrong, in pieces), stall, end and reset; commands right, stale and
// wild, in a turn and outside. The mutator moves whole steps about, so that it works on the story and not on the bytes.
// Half of the stories are told over plain TCP, the rest through the PROXY and WebSocket layers.
// Checked: the promises of native/index.d.ts about records (story_records.h), and that nothing is left behind.
#include <errno.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "input.h"
#include "loop/reactor.h"
#include "story_peers.h"
#include "story_records.h"

using namespace martlet;
using namespace story;
using wire::Command;

namespace {

constexpr size_t kStep = 8;
constexpr uint32_t kSlots = 6;

class Story {
 public:
  explicit Story(Input& in) : peers_(in.four()) {
    const uint8_t shape = in.byte();
    const bool tiny = shape & 1;
    Options options{kSlots, tiny ? 64u : 4096u, 8, 4, 2, 2000, 6000, 4000, 1000, tiny ? 700u : 100'000u, 0, 4, true};
    inbox_.resize((tiny ? 64 : 256) * wire::kRecordWords);
    inbox_bytes_.resize(tiny ? 4096 : 12'000);
    outbox_.resize(256);
    outbox_bytes_.resize(256);
    for (size_t i = 0; i < outbox_bytes_.size(); ++i) outbox_bytes_[i] = static_cast<uint8_t>(i);
    Memory memory{inbox_.data(),
                  static_cast<uint32_t>(inbox_.size() / wire::kRecordWords),
                  inbox_bytes_.data(),
                  static_cast<uint32_t>(inbox_bytes_.size()),
                  outbox_.data(),
                  static_cast<uint32_t>(outbox_.size()),
                  outbox_bytes_.data(),
                  static_cast<uint32_t>(outbox_bytes_.size()),
                  last_read_,
                  last_write_,
                  queued_,
                  bytes_in_,
                  bytes_out_,
                  left_out_,
                  totals_,
                  decisions_};
    outbox_[0] = 1;
    reactor_ = std::make_unique<Reactor>(options, memory, on_turn, this);
    CHECK(reactor_->open() == 0);
    ListenError error;
    CHECK(reactor_->listen(peers_.door(shape >> 1), &error) == 0);
  }

  void take(const Step& step) {
    switch (step.op % 16) {
      case 0:
        if (peers_.kernel.sockets.size() < 40) peers_.connect(step);
        break;
      case 1:
      case 2:
      case 3:
        peers_.say_packet(step);
        break;
      case 4:
        peers_.say_raw(step);
        break;
      case 5:
        if (auto* socket = peers_.peer(step.who)) socket->window = std::min<size_t>(socket->window + step.a, 1 << 20);
        break;
      case 6:
        if (auto* socket = peers_.peer(step.who)) (step.a & 1 ? socket->reset : socket->fin) = true;
        break;
      case 7:
        peers_.kernel.descriptors = step.a % 4 ? SIZE_MAX : 2;
        peers_.kernel.changes_its_mind = step.b & 1;
        peers_.kernel.whole_reads = step.b & 2;
        peers_.kernel.interrupts = step.b & 4;
        break;
      case 8:
      case 9:
      case 10:
        in_turn_.push_back(step);
        break;
      case 11:
        command(step, nullptr);
        break;
      case 12:
        keep_or_read(step);
        break;
      case 13:
        dial_or_answer(step);
        break;
      default:
        turn();
    }
  }

  void end() {
    peers_.kernel.descriptors = SIZE_MAX;
    peers_.kernel.changes_its_mind = false;
    for (auto& [fd, socket] : peers_.kernel.sockets) socket.window = 1 << 24;
    for (int i = 0; i < 30; ++i) turn();
    reactor_->close(true);
    CHECK(told_.open.empty() && told_.underway.empty());
    CHECK(total(wire::Total::Connections) == 0);
    CHECK(total(wire::Total::QueuedBytes) == 0);
    CHECK(total(wire::Total::PartialBytes) == 0);
    for (auto& [fd, socket] : peers_.kernel.sockets) {
      const bool waiting = std::find(peers_.kernel.backlog.begin(), peers_.kernel.backlog.end(), fd) != peers_.kernel.backlog.end();
      CHECK(waiting || !socket.open);
    }
  }

 private:
  double total(wire::Total index) const { return totals_[static_cast<size_t>(index)]; }

  void dial_or_answer(const Step& step) {
    static const int errors[] = {0, 0, 0, 0, ECONNREFUSED, ETIMEDOUT, EAGAIN, ECONNRESET};
    const int error = errors[step.b % 8];
    FakeSocket* socket = peers_.peer(step.who);
    if (socket && socket->connecting) {
      socket->to_itself = step.a % 16 == 0;
      auto found = std::find_if(peers_.kernel.sockets.begin(), peers_.kernel.sockets.end(), [&](auto& each) { return &each.second == socket; });
      peers_.kernel.answer(found->first, error);
      return;
    }
    if (peers_.kernel.sockets.size() >= 40) return;
    peers_.kernel.connect_result = error ? -error : step.a & 1 ? 0 : -EINPROGRESS;
    ConnectOptions options;
    options.host = "127.0.0.1";
    if (step.c % 3 == 0) {  // with the layer of no_tls.cc, which may or may not hear what it wants
      auto rules = std::make_shared<StreamRules>();
      std::string problem;
      if (!reactor_->caller(0)) reactor_->secure_caller({}, &problem);
      rules->caller = reactor_->caller(0);
      options.rules = rules;
    }
    ConnectionId id;
    ConnectError failure;
    if (!reactor_->connect(options, &id, &failure)) return;
    told_.underway[static_cast<int32_t>(id.slot)] = id.generation;
    FakeSocket& dialed = peers_.kernel.sockets[peers_.kernel.dialed.back()];
    dialed.window = step.a;
    static const char heard[] = "olleh";
    if (options.rules && step.c % 2) dialed.sent.insert(dialed.sent.end(), heard, heard + 5);
  }

  // A connection that is there, or one that is not any more.
  Named named(const Step& step) const {
    if (told_.open.empty() || step.who % 16 == 15) return {step.who % (kSlots + 2u), step.c};
    auto at = told_.open.begin();
    std::advance(at, step.who % told_.open.size());
    return at->second;
  }

  void put(std::initializer_list<int32_t> words) {
    if (outbox_[0] + static_cast<int32_t>(words.size()) > static_cast<int32_t>(outbox_.size())) execute();
    std::copy(words.begin(), words.end(), outbox_.begin() + outbox_[0]);
    outbox_[0] += static_cast<int32_t>(words.size());
  }

  static int32_t word(Command command, uint32_t first = 0, uint32_t id = 0) {
    return static_cast<int32_t>(static_cast<uint32_t>(command) | first << 8 | id << 16);
  }

  // Writes one command; `body` names a packet of this turn, null outside of one.
  void command(const Step& step, const Body* body) {
    const Named to = named(step);
    const auto slot = static_cast<int32_t>(to.slot);
    const int32_t group = step.b % 3;
    const int32_t handle = 1 + step.c % 5;
    const int32_t middle = step.a % 40;
    const int32_t alias = step.a % 7 == 0 ? INT32_MIN : step.a % 11 == 0 ? 1 << 30 : 0;
    const uint32_t first = 0x30 | (step.c & 0x0F);
    const uint32_t id = step.b | 1;
    // The tail may begin anywhere behind the topic, which the reactor has to check.
    const int32_t tail = body ? body->offset + step.b % (body->length + 1) : step.b;
    const int32_t at = body ? body->offset : step.a;
    const int32_t size = body ? body->length : step.c;
    switch (step.a % 19) {
      case 0: put({word(Command::Send), slot, to.generation, middle, step.b % 200}); break;
      case 1: put({word(Command::SendShort, 1 + step.b % 4), slot, to.generation, step.c}); break;
      case 2:
      case 3: put({word(Command::Forward, first, id), slot, to.generation, at, size, tail, 3, middle | alias}); break;
      case 4: put({word(Command::ForwardKept, first, id), slot, to.generation, any_handle(step), 3, middle | alias}); break;
      case 5: put({word(Command::Multicast, 0x30), group, at, size, tail, 3, middle, slot - 1}); break;
      case 6: put({word(Command::MulticastKept, 0x30), group, any_handle(step), 3, middle, slot - 1}); break;
      case 7: put({word(Command::ForwardList, first), 2, at, size, tail, 3, middle, slot, to.generation, 7, slot, to.generation, 8}); break;
      case 8:
      case 9: put({word(Command::Keep), handle, at, size, tail}); break;
      case 10: put({word(Command::Shape), any_handle(step), step.b}); break;
      case 11: put({word(Command::Release), any_handle(step)}); break;
      case 12: put({word(Command::GroupPut), group, step.c % 5, slot, to.generation}); break;
      case 13: put({word(Command::GroupSize), group, step.c % 5}); break;
      case 14: put({word(Command::Admit), slot, to.generation, step.b % 9000, step.c % 5000, step.b % 8000}); break;
      case 15: put({word(step.b & 1 ? Command::Finish : Command::Close), slot, to.generation, step.c & 1}); undo_if_finish(step); break;
      case 16: put({word(step.b & 1 ? Command::Pause : Command::Resume), slot, to.generation}); break;
      case 17: if (step.b & 1) put({word(Command::Shortcut), step.c % 10, slot, to.generation, step.b % 8, to.generation, step.a & 3, 1}); else put({word(Command::ListenerResume), step.b % 3 == 0 ? step.b : 0}); break;
      default: put({step.b, step.c, slot, to.generation, step.a, step.b, step.c, step.a}); break;  // wild
    }
    if (step.b % 5 == 0) execute();
  }

  // Finish has one word less than Close.
  void undo_if_finish(const Step& step) {
    if (step.b & 1) --outbox_[0];
  }

  int32_t any_handle(const Step& step) {
    if (!told_.kept.empty() && step.who % 2) return told_.kept[step.c % told_.kept.size()];
    return step.c % 13 == 12 ? static_cast<int32_t>(step.b) - 32'768 : 1 + step.c % 5;
  }

  void keep_or_read(const Step& step) {
    if (step.op & 16) {
      reactor_->keep_bytes(1 + step.c % 5, outbox_bytes_.data(), step.a % 256, step.b % 300);
    } else {
      uint8_t into[64];
      const int64_t count = reactor_->read_kept(any_handle(step), step.a, into, sizeof into);
      CHECK(count >= -1 && count <= static_cast<int64_t>(sizeof into));
    }
    reactor_->take_error();
  }

  void execute() {
    reactor_->execute();
    reactor_->take_error();
    CHECK(outbox_[0] == 1);
  }

  void turn() {
    reactor_->turn();
    reactor_->take_error();
    CHECK(!reactor_->in_turn());
    in_turn_.clear();
    reactor_->before_sleep();
    reactor_->take_error();
    CHECK(outbox_[0] == 1);
  }

  static void on_turn(void* context, uint32_t count) { static_cast<Story*>(context)->read(count); }

  void read(uint32_t count) {
    CHECK(count * wire::kRecordWords <= inbox_.size());
    const std::vector<Body> bodies = told_.read(inbox_.data(), count);
    for (const Step& step : in_turn_) {
      command(step, bodies.empty() ? nullptr : &bodies[step.c % bodies.size()]);
    }
    in_turn_.clear();
  }

  Peers peers_;
  std::vector<Step> in_turn_;
  std::vector<int32_t> inbox_, outbox_;
  std::vector<uint8_t> inbox_bytes_, outbox_bytes_;
  Records told_{kSlots, inbox_bytes_};
  double last_read_[kSlots], last_write_[kSlots], bytes_in_[kSlots], bytes_out_[kSlots], totals_[wire::kTotals];
  uint32_t queued_[kSlots], left_out_[kSlots];
  int32_t decisions_[1] = {1};
  std::unique_ptr<Reactor> reactor_;  // last: it borrows all of the above
};

constexpr size_t kHeader = 8;  // seed and sizes
constexpr size_t kMostSteps = 400;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, std::min(size, kHeader));
  Story story(in);
  for (size_t at = kHeader; at + kStep <= size && at < kHeader + kMostSteps * kStep; at += kStep) {
    Input step(data + at, kStep);
    const uint8_t op = step.byte();
    const uint8_t who = step.byte();
    const auto a = static_cast<uint16_t>(step.two());
    const auto b = static_cast<uint16_t>(step.two());
    story.take({op, who, a, b, static_cast<uint16_t>(step.two())});
  }
  story.end();
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

/** Doubles, drops, swaps, copies or changes whole steps. */
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  std::minstd_rand random(seed);
  if (size < kHeader + kStep || random() % 10 == 0) {
    const size_t changed = LLVMFuzzerMutate(data, size, most);
    return changed;
  }
  const size_t steps = (size - kHeader) / kStep;
  auto step = [&](size_t index) { return data + kHeader + index * kStep; };
  const size_t one = random() % steps;
  const size_t other = random() % steps;
  switch (random() % 5) {
    case 0:  // once more, behind
      if (size + kStep > most || steps >= kMostSteps) break;
      std::memmove(step(one) + kStep, step(one), (steps - one) * kStep);
      return kHeader + (steps + 1) * kStep;
    case 1:
      if (steps == 1) break;
      std::memmove(step(one), step(one) + kStep, (steps - one - 1) * kStep);
      return kHeader + (steps - 1) * kStep;
    case 2:
      std::swap_ranges(step(one), step(one) + kStep, step(other));
      return kHeader + steps * kStep;
    case 3:
      if (one != other) std::memcpy(step(one), step(other), kStep);
      step(one)[random() % kStep] = static_cast<uint8_t>(random());
      return kHeader + steps * kStep;
    default:
      break;
  }
  LLVMFuzzerMutate(step(one), kStep, kStep);
  return kHeader + steps * kStep;
}
