// Runs the tests on every rank. The exit code is 1 if a test failed on any rank, and 77 if all
// tests were skipped.

#include <gtest/gtest.h>

#include "simclr/comm/session.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const simclr::MpiSession session(argc, argv);
  const int result = RUN_ALL_TESTS();
  const auto world = simclr::make_world_communicator();
  if (simclr::any_rank(*world, result != 0)) return 1;
  const auto& tests = *testing::UnitTest::GetInstance();
  constexpr int kSkipped = 77;
  const bool any_ran = tests.successful_test_count() > tests.skipped_test_count();
  return simclr::any_rank(*world, any_ran) ? 0 : kSkipped;
}
