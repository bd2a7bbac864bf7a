// Runs idle, burst and storm.
#include "connections.h"

#include <algorithm>
#include <string>
#include <vector>

#include "clients.h"
#include "mqtt.h"
#include "options.h"
#include "system.h"

namespace {

constexpr uint64_t kSettleStep = 500'000'000;  // ns
constexpr int kSettleSteps = 8;                // at most
constexpr int kCalmSteps = 60;                 // at most, after a burst: a broker that looks once in a while must have looked

class Quiet final : public ClientEvents {};

class ComeAndGo final : public ClientEvents {
 public:
  explicit ComeAndGo(Clients& clients) : clients_(clients) {}
  void on_connected(Client& client) override { clients_.disconnect(client); }

 private:
  Clients& clients_;
};

void wait_ns(Clients& clients, uint64_t duration) {
  Quiet quiet;
  for (uint64_t end = now_ns() + duration; now_ns() < end;) clients.poll(quiet, 50);
}

// Allocators give back and collectors collect a little after the fact: wait until memory has stopped moving.
uint64_t settled_rss_kb(Clients& clients, const ProcessMeter& broker, int still = 1, int most = kSettleSteps) {
  uint64_t rss = broker.rss_kb();
  for (int i = 0, unchanged = 0; i < most && unchanged < still; i++) {
    wait_ns(clients, kSettleStep);
    uint64_t before = rss;
    rss = broker.rss_kb();
    unchanged = rss == before ? unchanged + 1 : 0;
  }
  return rss;
}

}  // namespace

namespace {

// Everybody talks to themselves: as many messages outstanding as the window says, until it is over.
class Echoes final : public ClientEvents {
 public:
  Echoes(const Options& options, Clients& clients) : options_(options), clients_(clients), connections_(clients.size()) {
    for (uint32_t i = 0; i < clients.size(); i++)
      messages_.push_back({"burst/" + std::to_string(i), options.qos, options.mqtt5, options.payload_size});
  }

  void on_connected(Client& client) override {
    mqtt::put_subscribe(client.out, "burst/" + std::to_string(client.index), options_.qos, options_.mqtt5);
    clients_.mark(client);
  }
  void on_subscribed(Client&) override { subscribed_++; }
  void on_delivery(Client& client, const uint8_t*, size_t) override {
    delivered_++;
    outstanding_--;
    if (going_) publish(client);
  }

  bool all_subscribed() const { return subscribed_ == clients_.size(); }
  uint64_t delivered() const { return delivered_; }
  uint64_t outstanding() const { return outstanding_; }
  void stop() { going_ = false; }
  void go() {
    for (uint32_t i = 0; i < clients_.size(); i++)
      for (uint32_t n = 0; n < options_.window; n++) publish(clients_[i]);
    clients_.flush();
  }

 private:
  void publish(Client& client) {
    std::string& frame = messages_[client.index].frame;
    uint16_t& id = connections_[client.index];
    if (options_.qos) {
      if (++id == 0) id = 1;
      size_t at = messages_[client.index].packet_id_at;
      frame[at] = static_cast<char>(id >> 8);
      frame[at + 1] = static_cast<char>(id);
    }
    client.out += frame;
    clients_.mark(client);
    outstanding_++;
  }

  const Options& options_;
  Clients& clients_;
  std::vector<mqtt::PublishTemplate> messages_;
  std::vector<uint16_t> connections_;  // their last packet identifier
  uint64_t subscribed_ = 0;
  uint64_t delivered_ = 0;
  uint64_t outstanding_ = 0;
  bool going_ = true;
};

constexpr uint64_t kPatience = 60'000'000'000;  // ns, for subscriptions and for the last deliveries

}  // namespace

ConnectionsReport run_burst(const Options& options) {
  Clients clients(options, options.publishers);
  Echoes echoes(options, clients);
  int calm = static_cast<int>(options.calm_seconds * 1e9 / kSettleStep);
  ProcessMeter broker(options.pid);
  ConnectionsReport report;
  uint64_t start = now_ns();
  clients.connect_all(echoes, 0, options.publishers);
  report.seconds = static_cast<double>(now_ns() - start) / 1e9;
  for (uint64_t end = now_ns() + kPatience; !echoes.all_subscribed();) {
    if (now_ns() > end) give_up("not all subscriptions in time");
    clients.poll(echoes, 50);
  }
  report.rss_kb_base = settled_rss_kb(clients, broker, calm, kCalmSteps);
  double cpu = broker.cpu_seconds();
  echoes.go();
  for (uint64_t end = now_ns() + static_cast<uint64_t>(options.seconds * 1e9); now_ns() < end;) {
    clients.poll(echoes, 50);
    report.rss_kb_peak = std::max(report.rss_kb_peak, broker.rss_kb());
  }
  echoes.stop();
  for (uint64_t end = now_ns() + kPatience; echoes.outstanding() > 0;) {
    if (now_ns() > end) give_up("%lu messages were never delivered", echoes.outstanding());
    clients.poll(echoes, 50);
  }
  report.broker_cpu = broker.cpu_seconds() - cpu;
  report.deliveries = echoes.delivered();
  report.rss_kb = settled_rss_kb(clients, broker, calm, kCalmSteps);
  report.closed = clients.closed_by_broker();
  report.connect_times = clients.connect_times();
  clients.disconnect_all();
  return report;
}

ConnectionsReport run_idle(const Options& options) {
  Quiet quiet;
  Clients clients(options, options.publishers);
  ProcessMeter broker(options.pid);
  ConnectionsReport report;
  bool watched = options.pid != 0;
  if (options.base >= options.publishers) give_up("--base must be below --pubs");

  double cpu = watched ? broker.cpu_seconds() : 0;
  uint64_t start = now_ns();
  clients.connect_all(quiet, 0, options.base);
  report.seconds = static_cast<double>(now_ns() - start) / 1e9;
  if (watched) report.rss_kb_base = settled_rss_kb(clients, broker);
  start = now_ns();
  clients.connect_all(quiet, options.base, options.publishers);
  clients.forget_transports();
  report.seconds += static_cast<double>(now_ns() - start) / 1e9;
  if (watched) {
    report.broker_cpu = broker.cpu_seconds() - cpu;
    report.rss_kb = settled_rss_kb(clients, broker);
    double grown = static_cast<double>(report.rss_kb) - static_cast<double>(report.rss_kb_base);
    report.bytes_per_connection = grown * 1024 / (options.publishers - options.base);
    cpu = broker.cpu_seconds();
    wait_ns(clients, static_cast<uint64_t>(options.seconds * 1e9));
    if (options.seconds > 0) report.idle_cpu_share = (broker.cpu_seconds() - cpu) / options.seconds;
  }
  report.closed = clients.closed_by_broker();
  report.connect_times = clients.connect_times();
  clients.disconnect_all();
  return report;
}

ConnectionsReport run_storm(const Options& options) {
  Clients clients(options, options.publishers);
  ComeAndGo come_and_go(clients);
  ProcessMeter broker(options.pid);
  ConnectionsReport report;
  double cpu = options.pid ? broker.cpu_seconds() : 0;
  uint64_t start = now_ns();
  clients.connect_all(come_and_go, 0, options.publishers);
  report.seconds = static_cast<double>(now_ns() - start) / 1e9;
  wait_ns(clients, kSettleStep);  // the broker's part of the farewell
  if (options.pid) {
    report.broker_cpu = broker.cpu_seconds() - cpu;
    report.rss_kb = broker.rss_kb();
  }
  report.closed = clients.closed_by_broker();
  report.connect_times = clients.connect_times();
  return report;
}
