#include "report/thinning.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace simclr {
namespace {

TEST(Thinning, KeepsAllOfFew) {
  const std::vector<double> values{3, 1, 2};
  EXPECT_EQ(thin(values, 4), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_TRUE(thin({}, 4).empty());
}

TEST(Thinning, KeepsEndsAndTheExtremesOfEveryStretch) {
  // Two stretches between the ends: {5, 1, 9, 2} and {4, 4, 0, 8}.
  const std::vector<double> values{7, 5, 1, 9, 2, 4, 4, 0, 8, 6};
  EXPECT_EQ(thin(values, 6), (std::vector<std::size_t>{0, 2, 3, 7, 8, 9}));
}

TEST(Thinning, LosesNoPeakOfALongRun) {
  constexpr std::size_t kRows = 123457, kLimit = 1000;
  std::vector<double> values(kRows);
  for (std::size_t i = 0; i < kRows; ++i) values[i] = std::sin(static_cast<double>(i) / 1000);
  values[77777] = 50;
  values[4321] = -50;
  const std::vector<std::size_t> kept = thin(values, kLimit);
  EXPECT_LE(kept.size(), kLimit);
  EXPECT_GT(kept.size(), kLimit / 2);
  EXPECT_EQ(kept.front(), 0U);
  EXPECT_EQ(kept.back(), kRows - 1);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
  EXPECT_EQ(std::adjacent_find(kept.begin(), kept.end()), kept.end());
  for (const std::size_t peak : {std::size_t{77777}, std::size_t{4321}}) {
    EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), peak)) << peak;
  }
}

}  // namespace
}  // namespace simclr
