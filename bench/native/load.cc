// load: a closed-loop MQTT load generator for any broker. It knows nothing of the broker but its address and, if given,
// its process id, from which it reads CPU time and memory.
//
// CPU per delivered message is the figure to compare: it moves far less than throughput on a busy machine. One thread:
// where `load_cpu_pct` is near 100, this program and not the broker was the limit of the goodput.
#include <cstdio>

#include "connections.h"
#include "options.h"
#include "system.h"
#include "traffic.h"

namespace {

void print_traffic(const Options& o, const TrafficReport& r, const Histogram& latency) {
  double per_delivery = r.delivered ? r.broker_cpu * 1e6 / static_cast<double>(r.delivered) : 0;
  const char* format =
      o.json ? "{\"deliveries\":%lu,\"sentPerS\":%.0f,\"deliveredPerS\":%.0f,\"p50Us\":%lu,\"p99Us\":%lu,"
               "\"p999Us\":%lu,\"cpuUs\":%.4f,\"cpuPct\":%.1f,\"loadCpuPct\":%.1f,"
               "\"lost\":%lu,\"repeated\":%lu,\"reordered\":%lu,\"closed\":%lu,\"rssKb\":%lu}\n"
             : "delivered %lu; %.0f sent/s, %.0f delivered/s; p50 %lu µs, p99 %lu µs, p99.9 %lu µs; "
               "broker CPU %.3f µs a delivery (%.0f %%), load CPU %.0f %%; "
               "lost %lu, repeated %lu, reordered %lu, closed %lu; RSS %lu KiB\n";
  printf(format, r.delivered, static_cast<double>(r.sent) / r.seconds, static_cast<double>(r.delivered) / r.seconds,
         latency.quantile(0.5), latency.quantile(0.99), latency.quantile(0.999), per_delivery,
         r.broker_cpu / r.seconds * 100, r.load_cpu / r.seconds * 100, r.lost, r.repeated, r.reordered, r.closed,
         r.rss_kb);
}

void print_connections(const Options& o, const ConnectionsReport& r) {
  const char* format =
      o.json ? "{\"connections\":%u,\"connectPerS\":%.0f,\"p50Us\":%lu,\"p99Us\":%lu,\"cpuUs\":%.2f,\"rssKbBase\":%lu,"
               "\"rssKb\":%lu,\"bytesPerConnection\":%.0f,\"idleCpuPct\":%.2f,\"closed\":%lu}\n"
             : "%u connections, %.0f a second; p50 %lu µs, p99 %lu µs; broker CPU %.1f µs a connection; "
               "RSS %lu -> %lu KiB, %.0f bytes a connection; idle CPU %.2f %%; closed %lu\n";
  printf(format, o.publishers, o.publishers / r.seconds, r.connect_times.quantile(0.5),
         r.connect_times.quantile(0.99), r.broker_cpu * 1e6 / o.publishers, r.rss_kb_base, r.rss_kb,
         r.bytes_per_connection, r.idle_cpu_share * 100, r.closed);
}

void print_burst(const Options& o, const ConnectionsReport& r) {
  double kept = r.rss_kb_base ? static_cast<double>(r.rss_kb) / static_cast<double>(r.rss_kb_base) : 0;
  const char* format = o.json ? "{\"connections\":%u,\"connectPerS\":%.0f,\"p50Us\":%lu,\"p99Us\":%lu,\"cpuUs\":%.2f,"
                                "\"deliveries\":%lu,\"rssKbBase\":%lu,\"rssKbPeak\":%lu,\"rssKb\":%lu,"
                                "\"rssAfterPct\":%.1f,\"closed\":%lu}\n"
                              : "%u connections, %.0f a second; p50 %lu µs, p99 %lu µs; broker CPU %.2f µs a delivery, "
                                "%lu deliveries; RSS %lu KiB before, %lu at most, %lu after: %.1f %%; closed %lu\n";
  printf(format, o.publishers, o.publishers / r.seconds, r.connect_times.quantile(0.5), r.connect_times.quantile(0.99),
         r.deliveries ? r.broker_cpu * 1e6 / static_cast<double>(r.deliveries) : 0, r.deliveries, r.rss_kb_base,
         r.rss_kb_peak, r.rss_kb, kept * 100, r.closed);
}

}  // namespace

int main(int count, char** arguments) {
  Options options = parse_options(count, arguments);
  raise_descriptor_limit();
  switch (options.shape) {
    case Shape::idle: print_connections(options, run_idle(options)); break;
    case Shape::burst: print_burst(options, run_burst(options)); break;
    case Shape::storm: print_connections(options, run_storm(options)); break;
    case Shape::pair:
    case Shape::fanin:
    case Shape::fanout: {
      Traffic traffic(options);
      TrafficReport report = traffic.run();
      print_traffic(options, report, traffic.latencies());
    }
  }
  return 0;
}
