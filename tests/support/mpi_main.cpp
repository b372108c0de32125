// Runs the tests on every rank; the exit code is the worst of all ranks', and 77 where all of them
// were skipped.

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
