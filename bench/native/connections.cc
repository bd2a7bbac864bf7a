// Runs idle and storm.
#include "connections.h"

#include "clients.h"
#include "options.h"
#include "system.h"

namespace {

constexpr uint64_t kSettleStep = 500'000'000;  // ns
constexpr int kSettleSteps = 8;                // at most

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
uint64_t settled_rss_kb(Clients& clients, const ProcessMeter& broker) {
  uint64_t rss = broker.rss_kb();
  for (int i = 0; i < kSettleSteps; i++) {
    wait_ns(clients, kSettleStep);
    uint64_t before = rss;
    rss = broker.rss_kb();
    if (rss == before) break;
  }
  return rss;
}

}  // namespace

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
