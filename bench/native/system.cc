// The system calls behind system.h.
#include "system.h"

#include <sys/resource.h>
#include <time.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

uint64_t nanoseconds(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) give_up("clock_gettime: has the broker died?");
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000ull + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

uint64_t now_ns() { return nanoseconds(CLOCK_MONOTONIC); }

uint64_t raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_max;
}

void give_up(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

double ProcessMeter::cpu_seconds() const {
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  if (pid_ != 0 && clock_getcpuclockid(pid_, &clock) != 0) give_up("no process %d to measure", pid_);
  return static_cast<double>(nanoseconds(clock)) / 1e9;
}

uint64_t ProcessMeter::rss_kb() const {
  std::string path = pid_ == 0 ? "/proc/self/status" : "/proc/" + std::to_string(pid_) + "/status";
  FILE* file = fopen(path.c_str(), "r");
  if (!file) give_up("cannot read %s: %s", path.c_str(), strerror(errno));
  char line[256];
  unsigned long kb = 0;
  while (fgets(line, sizeof line, file) && sscanf(line, "VmRSS: %lu", &kb) != 1) continue;
  fclose(file);
  return kb;
}
