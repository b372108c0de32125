#include "simclr/eval/metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace simclr {
namespace {

using Marks = std::vector<std::uint8_t>;
using Scores = std::vector<double>;

double precision_11(const Scores& scores, const Marks& marks) {
  return average_precision_11(scores, marks).value_or(-1);
}

TEST(AveragePrecision, IsTheMeanOfElevenPrecisions) {
  // Ranked: present, absent, present, absent, absent, present; recall 1/3, 2/3 and 1 are reached
  // with precision 1, 2/3 and 1/2. Recall 0 to 0.3 takes 4 of the 11 points, 0.4 to 0.6 takes 3.
  const double expected = (4 * 1.0 + 3 * (2.0 / 3) + 4 * 0.5) / 11;
  EXPECT_NEAR(precision_11({6, 5, 4, 3, 2, 1}, {1, 0, 1, 0, 0, 1}), expected, 1e-15);
  EXPECT_NEAR(precision_11({3, 1, 5, 2, 6, 4}, {0, 1, 0, 0, 1, 1}), expected, 1e-15);
}

TEST(AveragePrecision, TakesTheLargestPrecisionAtARecallOrMore) {
  // Precision 1/2 at recall 1/2, then 2/3 at recall 1: all points have 2/3.
  EXPECT_NEAR(precision_11({3, 2, 1}, {0, 1, 1}), 2.0 / 3, 1e-15);
}

TEST(AveragePrecision, CountsRecallInWholeNumbers) {
  // After the third of ten present samples, recall is 0.3 exactly, with precision 1.
  Scores scores;
  Marks marks;
  for (int i = 0; i < 13; ++i) {
    scores.push_back(-i);
    marks.push_back(i < 3 || i >= 6 ? kPresent : kAbsent);
  }
  EXPECT_NEAR(precision_11(scores, marks), (4 * 1.0 + 7 * (10.0 / 13)) / 11, 1e-15);
}

TEST(AveragePrecision, LeavesIgnoredSamplesOut) {
  EXPECT_EQ(precision_11({9, 6, 8, 5}, {kIgnored, 1, kIgnored, 0}), 1);
}

TEST(AveragePrecision, DoesNotDependOnTheOrderOfEqualScores) {
  // One threshold accepts the three samples of score 2: precision 2/4 at recall 1.
  const Scores scores{3, 2, 2, 2};
  Marks marks{0, 0, 1, 1};
  do EXPECT_NEAR(precision_11(scores, marks), 0.5, 1e-15);
  while (std::next_permutation(marks.begin() + 1, marks.end()));
}

TEST(AveragePrecision, AveragesClassesThatHaveAPresentSample) {
  // Class 0: 1; class 1: none present; class 2: ignored where it was present; class 3: 1/2.
  const Scores scores{2, 0, 0, 2, 1, 1, 1, 1};
  const Marks marks{1, 0, kIgnored, 0, 0, 0, 0, 1};
  EXPECT_FALSE(average_precision_11(Scores{1, 2}, Marks{0, kIgnored}).has_value());
  EXPECT_NEAR(mean_average_precision_11(scores, marks, 4).value_or(-1), (1 + 0.5) / 2, 1e-15);
  EXPECT_FALSE(mean_average_precision_11(scores, Marks(8, kAbsent), 4).has_value());
}

}  // namespace
}  // namespace simclr
