// The smallest test framework that can name what failed: TEST registers, CHECK counts, main() in testing.cc runs all.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "net/listener.h"

/** A plain TCP listener. */
inline martlet::ListenOptions listen_options() {
  martlet::ListenOptions options;
  options.host = "127.0.0.1";
  return options;
}

namespace testing {

struct Test {
  const char* name;
  void (*run)();
};

std::vector<Test>& tests();
extern bool failed;  // the running test
extern unsigned rounds;  // of random walks

struct Register {
  Register(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

}  // namespace testing

#define TEST_JOIN_(a, b) a##b
#define TEST_JOIN(a, b) TEST_JOIN_(a, b)
#define TEST(sentence)                                                                            \
  static void TEST_JOIN(test_, __LINE__)();                                                       \
  static testing::Register TEST_JOIN(register_, __LINE__)(sentence, TEST_JOIN(test_, __LINE__)); \
  static void TEST_JOIN(test_, __LINE__)()

#define CHECK(condition)                                                \
  do {                                                                  \
    if (!(condition)) {                                                 \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
      testing::failed = true;                                           \
    }                                                                   \
  } while (0)
