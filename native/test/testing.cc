#include "testing.h"

namespace testing {

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

bool failed = false;
unsigned rounds = 100;

}  // namespace testing

int main(int count, char** arguments) {
  if (count > 1) testing::rounds = static_cast<unsigned>(std::atoi(arguments[1]));
  unsigned bad = 0;
  for (const testing::Test& test : testing::tests()) {
    testing::failed = false;
    test.run();
    std::printf("%s %s\n", testing::failed ? "not ok" : "ok", test.name);
    if (testing::failed) ++bad;
  }
  std::printf("%zu passed, %u failed\n", testing::tests().size() - bad, bad);
  return bad ? 1 : 0;
}
