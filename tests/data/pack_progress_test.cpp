// Progress of long packing in a log.

#include "data/pack/progress.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace simclr {
namespace {

using std::chrono::milliseconds;

std::string shown_by(bool is_root, milliseconds interval) {
  testing::internal::CaptureStdout();
  {
    PackProgress progress("packing", 8, is_root, interval);
    for (int i = 0; i < 8; ++i) {
      if (i % 4 == 3) std::this_thread::sleep_for(milliseconds(60));
      progress.advance();
    }
  }
  return testing::internal::GetCapturedStdout();
}

TEST(PackProgress, IsALineForEachIntervalInALog) {
  const std::string log = shown_by(true, milliseconds(50));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
  EXPECT_NE(log.find("packing: 4 of 8 images, 50 %, "), std::string::npos) << log;
  EXPECT_NE(log.find("packing: 8 of 8 images, 100 %, "), std::string::npos) << log;
}

TEST(PackProgress, IsSilentInShortWorkAndOnOtherRanks) {
  EXPECT_EQ(shown_by(true, PackProgress::kLogInterval), "");
  EXPECT_EQ(shown_by(false, milliseconds(0)), "");
}

}  // namespace
}  // namespace simclr
