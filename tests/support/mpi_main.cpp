// Runs the tests on every rank; the exit code is the worst of all ranks'.

#include <gtest/gtest.h>

#include "simclr/comm/session.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const simclr::MpiSession session(argc, argv);
  const int result = RUN_ALL_TESTS();
  return simclr::any_rank(*simclr::make_world_communicator(), result != 0) ? 1 : 0;
}
