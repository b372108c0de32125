// Tests which labeled samples a classifier learns from.

#include "simclr/data/label_selection.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// Class c has sizes[c] samples, spread over the set among samples without a label.
std::vector<std::int64_t> labels_of(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> left = sizes;
  std::vector<std::int64_t> labels;
  for (bool some = true; some;) {
    some = false;
    for (std::size_t c = 0; c < left.size(); ++c) {
      if (left[c] == 0) continue;
      --left[c];
      some = true;
      labels.push_back(static_cast<std::int64_t>(c));
      if (labels.size() % 7 == 0) labels.push_back(-1);
    }
  }
  return labels;
}

std::map<std::int64_t, std::int64_t> counts(const std::vector<std::int64_t>& labels,
                                            const std::vector<std::int64_t>& drawn) {
  std::map<std::int64_t, std::int64_t> result;
  for (const std::int64_t sample : drawn) ++result[labels.at(static_cast<std::size_t>(sample))];
  return result;
}

std::string refusal(const std::vector<std::int64_t>& labels, const LabelQuota& quota) {
  try {
    draw_labeled(labels, quota, 1);
    return "";
  } catch (const RefusedError& error) {
    return error.what();
  }
}

TEST(LabelSelection, DrawsClassesEqually) {
  const auto labels = labels_of({50, 50, 50, 50});
  const auto drawn = draw_labeled(labels, {.fraction = 0.11}, 1);  // 22 = 4 * 5 + 2
  EXPECT_EQ(drawn.size(), 22U);
  EXPECT_TRUE(std::ranges::is_sorted(drawn));
  EXPECT_EQ(std::ranges::adjacent_find(drawn), drawn.end());
  std::map<std::int64_t, int> classes_with;
  for (const auto& [label, count] : counts(labels, drawn)) {
    EXPECT_GE(label, 0);
    ++classes_with[count];
  }
  EXPECT_EQ(classes_with, (std::map<std::int64_t, int>{{5, 2}, {6, 2}}));
  EXPECT_EQ(draw_labeled(labels, {.per_class = 3}, 1).size(), 12U);
}

TEST(LabelSelection, TakesAllOfASmallClass) {
  const auto labels = labels_of({3, 40, 40});
  const auto some = counts(labels, draw_labeled(labels, {.fraction = 0.5}, 1));  // 41
  EXPECT_EQ(some.at(0), 3);
  EXPECT_EQ(some.at(1) + some.at(2), 38);
  EXPECT_EQ(some.at(1), 19);
  EXPECT_EQ(draw_labeled(labels, {.fraction = 1}, 1).size(), 83U);
}

TEST(LabelSelection, NestsDrawsOfOneSeed) {
  const auto labels = labels_of({30, 7, 61, 30});
  std::vector<std::int64_t> smaller;
  for (int total = 4; total < 128; ++total) {
    const auto drawn = draw_labeled(labels, {.fraction = (total + 0.5) / 128}, 9);
    EXPECT_EQ(std::ssize(drawn), total);
    EXPECT_TRUE(std::ranges::includes(drawn, smaller)) << total;
    smaller = drawn;
  }
  EXPECT_TRUE(std::ranges::includes(draw_labeled(labels, {.per_class = 6}, 9),
                                    draw_labeled(labels, {.per_class = 2}, 9)));
}

TEST(LabelSelection, DependsOnTheSeed) {
  const auto labels = labels_of({50, 50});
  EXPECT_EQ(draw_labeled(labels, {.per_class = 5}, 1), draw_labeled(labels, {.per_class = 5}, 1));
  EXPECT_NE(draw_labeled(labels, {.per_class = 5}, 1), draw_labeled(labels, {.per_class = 5}, 2));
}

TEST(LabelSelection, RefusesWhatLeavesAClassWithoutLabels) {
  const auto labels = labels_of({50, 50, 4});
  EXPECT_NE(refusal(labels, {.fraction = 0.02}).find("--label-fraction"), std::string::npos);
  EXPECT_NE(refusal(labels, {.per_class = 5}).find("the 4 labeled samples of class 2"),
            std::string::npos);
  EXPECT_EQ(refusal(labels, {.fraction = 0.03}), "");
}

TEST(LabelSelection, AFractionOfAWholeNumberOfSamplesTakesThem) {
  const auto labels = labels_of({100, 100});
  for (int total = 2; total <= 200; ++total) {
    EXPECT_EQ(std::ssize(draw_labeled(labels, {.fraction = total / 200.0}, 1)), total);
  }
}

TEST(LabelSelection, HoldsOutAPartOfEveryClass) {
  const auto labels = labels_of({50, 13, 2, 1});
  const auto drawn = draw_validation(labels, 0.2, 3, "validation");
  EXPECT_EQ(counts(labels, drawn), (std::map<std::int64_t, std::int64_t>{{0, 10}, {1, 3}, {2, 1}}));
  EXPECT_TRUE(std::ranges::is_sorted(drawn));
  EXPECT_EQ(drawn, draw_validation(labels, 0.2, 3, "validation"));
  EXPECT_NE(drawn, draw_validation(labels, 0.2, 4, "validation"));
  const auto most = draw_validation(labels, 0.999, 3, "validation");
  EXPECT_EQ(counts(labels, most), (std::map<std::int64_t, std::int64_t>{{0, 49}, {1, 12}, {2, 1}}));
  EXPECT_TRUE(std::ranges::includes(most, drawn));
  EXPECT_THROW(draw_validation(labels_of({1, 1}), 0.5, 3, "validation"), RefusedError);
}

}  // namespace
}  // namespace simclr
