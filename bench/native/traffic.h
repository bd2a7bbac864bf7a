// The shapes that move messages: pair, fanin, fanout. Owns the closed loop and what is counted in it.
//
// A publisher never has more than `window` messages whose deliveries (all copies) are outstanding: no broker is pushed
// into dropping, and every figure is goodput. The loop closes on deliveries, not on acknowledgements, so QoS 0 is held
// back too. With --away, where nobody takes what is published until the end, it closes on acknowledgements instead, and they
// are what is counted; at the end every message must be there. Each payload begins with a stamp: when it was sent (or, at a given rate, when it was due), by whom, in which
// run and as which message of that publisher. That is how lost, repeated and reordered messages are told apart.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "clients.h"
#include "histogram.h"
#include "mqtt.h"
#include "options.h"

struct Stamp {
  uint64_t time;  // ns
  uint16_t run;
  uint16_t publisher;
  uint32_t sequence;  // 1 …
};
constexpr size_t kStampSize = sizeof(Stamp);

/** What one subscriber has seen of one publisher. */
struct Stream {
  uint32_t last = 0;                // the highest sequence number so far
  std::vector<uint32_t> skipped;    // below `last` and not seen yet; bounded by the window
};

struct Publisher {
  mqtt::PublishTemplate message;
  uint32_t sent = 0;
  uint64_t delivered = 0;  // copies that arrived
  uint32_t unacknowledged = 0;
  std::deque<uint64_t> sent_at;  // away: ns, of those
  uint16_t next_packet_id = 1;
  uint64_t next_due = 0;  // ns, when there is a rate
  bool ready = false;     // stands in the list of publishers to be pumped
};

/** The figures of a run. Times in µs, rates a second, CPU in seconds. */
struct TrafficReport {
  double seconds = 0;
  uint64_t sent = 0;
  uint64_t delivered = 0;
  double broker_cpu = 0;
  double load_cpu = 0;
  uint64_t rss_kb = 0;
  uint64_t lost = 0;       // never arrived, of the whole run
  uint64_t repeated = 0;   // arrived again
  uint64_t reordered = 0;  // arrived after a later one of the same publisher
  uint64_t closed = 0;     // connections the broker closed
};

class Traffic final : ClientEvents {
 public:
  explicit Traffic(const Options& options);

  /** Connects, warms up, measures, drains, disconnects. */
  TrafficReport run();

  /** Send (or due) to delivery, away: to acknowledgement, in microseconds. */
  const Histogram& latencies() const { return latencies_; }

 private:
  void on_connected(Client& client) override;
  void on_subscribed(Client& client) override;
  void on_delivery(Client& client, const uint8_t* payload, size_t length) override;
  void on_acknowledged(Client& client) override;

  void connect();
  void warm_up();
  void measure(TrafficReport& report);
  void drain();
  void collect();
  /** What the run counts: deliveries, or acknowledgements while the subscribers are away. */
  uint64_t counted() const { return options_.away ? acknowledged_ : delivered_; }
  void step();
  bool pump(uint32_t index, uint64_t now);
  bool may_publish(uint32_t index) const;
  void publish(uint32_t index, uint64_t stamp_time);
  void make_ready(uint32_t index);
  int wait_for_due(uint64_t now) const;
  void count(Stream& stream, const Stamp& stamp);
  std::string topic_of(uint32_t publisher) const;
  std::string filter_of(uint32_t subscriber) const;

  const Options& options_;
  uint16_t run_;
  uint32_t copies_;  // deliveries of one message
  Clients clients_;  // publishers first, then subscribers
  std::vector<Publisher> publishers_;
  std::vector<Stream> streams_;  // subscriber by subscriber; pair: one each, else one for each publisher
  std::vector<uint32_t> ready_;
  std::vector<uint32_t> pumping_;
  Histogram latencies_;
  bool measuring_ = false;
  uint64_t message_limit_ = UINT64_MAX;  // publishing stops there
  uint64_t subscribed_ = 0;
  uint64_t sent_ = 0;
  uint64_t delivered_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t repeated_ = 0;
  uint64_t reordered_ = 0;
};
