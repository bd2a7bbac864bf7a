// What the load generator asks of the system: the time, another process's CPU and memory, and a way to give up.
// CPU time is read from the process's CPU clock: the same sum as utime + stime in /proc/PID/stat, but in nanoseconds
// where that file counts ticks of 10 ms, which is far too coarse for a broker that is nearly idle.
#pragma once

#include <cstdint>
#include <string>

/** Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now_ns();

/** Raises the soft descriptor limit to the hard one, which it returns. */
uint64_t raise_descriptor_limit();

/** Prints one line to stderr and exits with status 1: a run that went wrong has no figures. */
[[noreturn]] void give_up(const char* format, ...) __attribute__((format(printf, 1, 2)));

/** Watches one process: the broker, or (pid 0) this one. */
class ProcessMeter {
 public:
  explicit ProcessMeter(int pid) : pid_(pid) {}

  /** User and system time of all its threads, in seconds, since it started. */
  double cpu_seconds() const;

  /** VmRSS in KiB. */
  uint64_t rss_kb() const;

 private:
  int pid_;
};
