// What the command line says. One struct, filled once in options.cc, read everywhere else.
#pragma once

#include <cstdint>
#include <string>

#include "transport.h"

enum class Shape { pair, fanin, fanout, idle, burst, storm };

struct Options {
  Shape shape = Shape::pair;
  std::string host = "127.0.0.1";  // numeric IPv4
  uint16_t port = 1883;
  Protocol protocol = Protocol::tcp;
  int pid = 0;               // the broker to watch; 0: none, its CPU and memory are then reported as 0
  uint32_t publishers = 1;   // idle, burst and storm: connections
  uint32_t subscribers = 1;  // pair: always as many as publishers; idle, burst and storm: none
  uint8_t qos = 0;
  uint32_t payload_size = 64;  // at least kStampSize
  uint32_t window = 100;       // messages of one publisher whose deliveries may be outstanding
  double rate = 0;             // messages a second and publisher; 0: as fast as the window allows
  double seconds = 3;          // what is measured
  double warm_seconds = 1;     // before it
  uint64_t messages = 0;       // instead of `seconds`: measure exactly so many messages, all publishers together
  bool gate = false;           // after the warm-up print "ready" and wait for a line on stdin
  uint32_t parallel = 100;     // connections being opened at a time
  double calm_seconds = 5;     // burst: memory that has not moved for so long is what is left
  uint32_t base = 0;           // idle: memory is the slope between this many connections and all of them
  bool mqtt5 = false;
  bool persist = false;  // subscribers ask for sessions that outlive the connection
  bool away = false;     // pair, QoS 1 and 2, persist: subscribers leave before the first message and come for all at the end
  bool json = false;
};

/** Reads argv; on a mistake prints what is wrong and exits with status 2. */
Options parse_options(int count, char** arguments);

const char* shape_name(Shape shape);
