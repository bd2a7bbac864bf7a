// The shapes about connections: idle (what one costs in memory), burst (what is left of that when traffic is over) and storm
// (what coming and going costs).
#pragma once

#include <cstdint>

#include "histogram.h"

struct Options;

/** Figures of a run. Memory in bytes or KiB as named, CPU in seconds. */
struct ConnectionsReport {
  double seconds = 0;  // to connect them all
  double broker_cpu = 0;
  uint64_t closed = 0;
  uint64_t rss_kb_base = 0;  // idle: with `base` connections; burst: before it
  uint64_t rss_kb = 0;       // idle: with all of them; burst: after it
  uint64_t rss_kb_peak = 0;  // burst: while it lasted
  uint64_t deliveries = 0;   // burst
  double bytes_per_connection = 0;
  double idle_cpu_share = 0;  // idle: of one core, while nothing happens
  Histogram connect_times;    // CONNECT to CONNACK, TCP handshake included, in microseconds
};

/** Opens `base` connections, lets memory settle, opens the rest, lets it settle: the slope is the price of one. */
ConnectionsReport run_idle(const Options& options);

/**
 * Opens all connections, each with a subscription of its own, and lets memory settle; then each publishes to itself, a window
 * of messages at a time, for the given seconds. What memory is like afterwards says what was given back.
 */
ConnectionsReport run_burst(const Options& options);

/** Every connection: CONNECT, CONNACK, DISCONNECT, close, `parallel` of them at a time. */
ConnectionsReport run_storm(const Options& options);
