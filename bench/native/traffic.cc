// The closed loop: publish while a window is open, read, count, open windows again.
#include "traffic.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "system.h"

namespace {
constexpr size_t kBurst = 64 * 1024;    // what one publisher writes before the next has its turn
constexpr size_t kUnsent = 256 * 1024;  // a publisher whose socket is this far behind waits
constexpr uint64_t kSubscribeDeadline = 30'000'000'000;  // ns
constexpr uint64_t kStalled = 5'000'000'000;             // ns without a single delivery
constexpr uint64_t kMillisecond = 1'000'000;             // ns

// A broker that has lost a whole window of messages would otherwise be waited for without end.
class Patience {
 public:
  explicit Patience(uint64_t delivered) : delivered_(delivered), deadline_(now_ns() + kStalled) {}

  bool lasts(uint64_t delivered) {
    uint64_t now = now_ns();
    if (delivered != delivered_) deadline_ = now + kStalled;
    delivered_ = delivered;
    return now < deadline_;
  }

 private:
  uint64_t delivered_;
  uint64_t deadline_;
};

}  // namespace

Traffic::Traffic(const Options& options)
    : options_(options),
      run_(static_cast<uint16_t>(getpid())),
      copies_(options.shape == Shape::pair ? 1 : options.subscribers),
      clients_(options, options.publishers + options.subscribers) {
  for (uint32_t i = 0; i < options.publishers; i++)
    publishers_.push_back({{topic_of(i), options.qos, options.mqtt5, options.payload_size}});
  streams_.resize(size_t{options.subscribers} * (options.shape == Shape::pair ? 1 : options.publishers));
  for (uint32_t i = 0; i < options.subscribers; i++) clients_[options.publishers + i].persistent = options.persist;
}

TrafficReport Traffic::run() {
  TrafficReport report;
  connect();
  warm_up();
  if (options_.gate) {
    drain();
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) give_up("nobody opened the gate");
  }
  measure(report);
  if (!options_.messages) drain();
  if (options_.away) collect();
  report.lost = sent_ * copies_ - delivered_;
  report.repeated = repeated_;
  report.reordered = reordered_;
  report.closed = clients_.closed_by_broker();
  clients_.disconnect_all();
  return report;
}

std::string Traffic::topic_of(uint32_t publisher) const {
  return options_.shape == Shape::fanout ? "bench/all" : "bench/dev" + std::to_string(publisher) + "/state";
}

std::string Traffic::filter_of(uint32_t subscriber) const {
  return options_.shape == Shape::fanin ? "bench/+/state" : topic_of(subscriber);
}

// Subscribers first, and all of them subscribed, so that no message can miss its receiver.
void Traffic::connect() {
  clients_.connect_all(*this, options_.publishers, static_cast<uint32_t>(clients_.size()));
  uint64_t deadline = now_ns() + kSubscribeDeadline;
  while (subscribed_ < options_.subscribers) {
    clients_.poll(*this, 10);
    if (now_ns() > deadline) give_up("only %lu of %u SUBACKs in time", subscribed_, options_.subscribers);
  }
  if (options_.away)
    for (uint32_t i = options_.publishers; i < clients_.size(); i++) clients_.disconnect(clients_[i]);
  clients_.connect_all(*this, 0, options_.publishers);
  uint64_t now = now_ns();
  double interval = 1e9 / options_.rate;
  for (uint32_t i = 0; i < options_.publishers; i++) {
    // Spread over the first interval: publishers that all tick together would measure a queue.
    if (options_.rate > 0) publishers_[i].next_due = now + static_cast<uint64_t>(interval * i / options_.publishers);
    make_ready(i);
  }
}

void Traffic::warm_up() {
  uint64_t end = now_ns() + static_cast<uint64_t>(options_.warm_seconds * 1e9);
  while (now_ns() < end) step();
}

void Traffic::measure(TrafficReport& report) {
  ProcessMeter broker(options_.pid), self(0);
  uint64_t sent = sent_, before = counted(), start = now_ns();
  double broker_cpu = options_.pid ? broker.cpu_seconds() : 0, load_cpu = self.cpu_seconds();
  measuring_ = true;
  if (options_.messages) {
    message_limit_ = sent_ + options_.messages;
    for (uint32_t i = 0; i < options_.publishers; i++) make_ready(i);
    Patience patience(counted());
    while (sent_ < message_limit_ && patience.lasts(counted())) step();
    drain();
  } else {
    uint64_t end = start + static_cast<uint64_t>(options_.seconds * 1e9);
    while (now_ns() < end) step();
  }
  measuring_ = false;
  report.seconds = static_cast<double>(now_ns() - start) / 1e9;
  report.sent = sent_ - sent;
  report.delivered = counted() - before;
  report.load_cpu = self.cpu_seconds() - load_cpu;
  if (options_.pid) {
    report.broker_cpu = broker.cpu_seconds() - broker_cpu;
    report.rss_kb = broker.rss_kb();
  }
}

// Publishes nothing; ends when every copy has arrived, or when nothing has for a while.
void Traffic::drain() {
  Patience patience(counted());
  while (counted() < sent_ * copies_ && patience.lasts(counted())) clients_.poll(*this, 10);
}

// The subscribers come back for what was published while they were away.
void Traffic::collect() {
  clients_.connect_all(*this, options_.publishers, static_cast<uint32_t>(clients_.size()));
  Patience patience(delivered_);
  while (delivered_ < sent_ && patience.lasts(delivered_)) clients_.poll(*this, 10);
}

void Traffic::step() {
  uint64_t now = now_ns();
  bool published = false;
  pumping_.swap(ready_);
  for (uint32_t index : pumping_) {
    publishers_[index].ready = false;
    published |= pump(index, now);
  }
  pumping_.clear();
  clients_.flush();
  clients_.poll(*this, published ? 0 : wait_for_due(now));
}

// At a given rate: sleep the whole milliseconds and spin the rest, because a timer would add its own slack to what is
// to be measured. Otherwise the next delivery ends the wait.
int Traffic::wait_for_due(uint64_t now) const {
  if (options_.rate <= 0) return 1;
  uint64_t due = UINT64_MAX;
  for (const Publisher& publisher : publishers_) due = std::min(due, publisher.next_due);
  return due <= now + kMillisecond ? 0 : static_cast<int>((due - now) / kMillisecond - 1);
}

void Traffic::make_ready(uint32_t index) {
  if (publishers_[index].ready) return;
  publishers_[index].ready = true;
  ready_.push_back(index);
}

bool Traffic::may_publish(uint32_t index) const {
  const Publisher& publisher = publishers_[index];
  if (sent_ >= message_limit_) return false;
  if (options_.qos && publisher.unacknowledged >= clients_[index].receive_maximum) return false;
  if (options_.away) return publisher.unacknowledged < options_.window;
  return publisher.sent * uint64_t{copies_} < publisher.delivered + uint64_t{options_.window} * copies_;
}

/** Publishes while the window is open; returns whether it published anything. */
bool Traffic::pump(uint32_t index, uint64_t now) {
  Client& client = clients_[index];
  Publisher& publisher = publishers_[index];
  size_t before = client.out.size();
  while (may_publish(index)) {
    if (client.out.size() - before > kBurst || client.unsent() > kUnsent) {
      make_ready(index);  // the others first
      break;
    }
    uint64_t stamp_time = now;
    if (options_.rate > 0) {
      if (now < publisher.next_due) break;
      stamp_time = publisher.next_due;
      publisher.next_due += static_cast<uint64_t>(1e9 / options_.rate);
    }
    publish(index, stamp_time);
  }
  if (options_.rate > 0) make_ready(index);  // the clock, not a delivery, says when to look again
  return client.out.size() > before;
}

void Traffic::publish(uint32_t index, uint64_t stamp_time) {
  Publisher& publisher = publishers_[index];
  Client& client = clients_[index];
  size_t at = client.out.size();
  client.out += publisher.message.frame;
  if (options_.qos) {
    client.out[at + publisher.message.packet_id_at] = static_cast<char>(publisher.next_packet_id >> 8);
    client.out[at + publisher.message.packet_id_at + 1] = static_cast<char>(publisher.next_packet_id);
    if (!++publisher.next_packet_id) publisher.next_packet_id = 1;
    publisher.unacknowledged++;
    if (options_.away) publisher.sent_at.push_back(stamp_time);
  }
  Stamp stamp{stamp_time, run_, static_cast<uint16_t>(index), ++publisher.sent};
  memcpy(&client.out[at + publisher.message.payload_at], &stamp, sizeof stamp);
  sent_++;
  clients_.mark(client);
}

void Traffic::on_connected(Client& client) {
  if (client.index < options_.publishers) return;
  mqtt::put_subscribe(client.out, filter_of(client.index - options_.publishers), options_.qos, options_.mqtt5);
  clients_.mark(client);
}

void Traffic::on_subscribed(Client&) { subscribed_++; }

void Traffic::on_acknowledged(Client& client) {
  Publisher& publisher = publishers_[client.index];
  publisher.unacknowledged--;
  acknowledged_++;
  if (options_.away) {
    if (measuring_) latencies_.record((now_ns() - publisher.sent_at.front()) / 1000);
    publisher.sent_at.pop_front();
  }
  make_ready(client.index);
}

void Traffic::on_delivery(Client& client, const uint8_t* payload, size_t length) {
  if (length < kStampSize) give_up("a message of %zu bytes that nobody sent", length);
  Stamp stamp;
  memcpy(&stamp, payload, sizeof stamp);
  if (stamp.run != run_ || stamp.publisher >= publishers_.size()) return;  // of an earlier run's session
  uint32_t subscriber = client.index - options_.publishers;
  bool pair = options_.shape == Shape::pair;
  count(streams_[pair ? subscriber : subscriber * publishers_.size() + stamp.publisher], stamp);
}

void Traffic::count(Stream& stream, const Stamp& stamp) {
  if (stamp.sequence > stream.last) {
    for (uint32_t missing = stream.last + 1; missing < stamp.sequence; missing++) stream.skipped.push_back(missing);
    stream.last = stamp.sequence;
  } else {
    auto late = std::find(stream.skipped.begin(), stream.skipped.end(), stamp.sequence);
    if (late == stream.skipped.end()) {
      repeated_++;
      return;
    }
    stream.skipped.erase(late);
    reordered_++;
  }
  delivered_++;
  publishers_[stamp.publisher].delivered++;
  make_ready(stamp.publisher);
  if (measuring_ && !options_.away) latencies_.record((now_ns() - stamp.time) / 1000);
}
