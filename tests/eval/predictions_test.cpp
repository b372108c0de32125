#include "simclr/eval/predictions.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/random.hpp"

namespace simclr {
namespace {

using Labels = std::vector<std::int64_t>;
using Scores = std::vector<float>;

class Evaluated : public testing::Test {
 protected:
  /// Measures samples of which each rank holds a part; with three ranks or more, rank 1 holds none.
  ClassAccuracy measure(std::int64_t classes, const Labels& labels, const Scores& scores) {
    const auto k = static_cast<std::size_t>(classes);
    Predictions part(classes);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const int owner =
          static_cast<int>(i * static_cast<std::size_t>(world->size()) / labels.size());
      if ((owner == 1 && world->size() > 2 ? 0 : owner) != world->rank()) continue;
      part.append(std::span(labels).subspan(i, 1), std::span(scores).subspan(i * k, k));
    }
    return class_accuracy(part, *world);
  }
  std::unique_ptr<Communicator> world = make_world_communicator();
};

TEST_F(Evaluated, CountsEveryClass) {
  const Labels labels{0, 0, 0, 2, 2, 3};
  const Scores scores{5, 1, 1, 1,   // right
                      1, 5, 1, 1,   // class 1
                      0, 0, 0, 0,   // equal scores: the lowest class
                      1, 2, 5, 3,   // right
                      9, 2, 5, 3,   // class 0
                      1, 1, 4, 4};  // class 2, the lower of two
  const ClassAccuracy found = measure(4, labels, scores);
  EXPECT_EQ(found.all.samples, 6);
  EXPECT_DOUBLE_EQ(found.all.top1, 3.0 / 6);
  EXPECT_EQ(found.all.top5, 1);
  ASSERT_EQ(found.per_class.size(), 4U);
  EXPECT_DOUBLE_EQ(found.per_class[0].value(), 2.0 / 3);
  EXPECT_FALSE(found.per_class[1]);
  EXPECT_DOUBLE_EQ(found.per_class[2].value(), 1.0 / 2);
  EXPECT_EQ(found.per_class[3].value(), 0);
  EXPECT_DOUBLE_EQ(found.mean_per_class, (2.0 / 3 + 1.0 / 2 + 0) / 3);
  EXPECT_EQ(found.confusion, (Labels{2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0}));
  EXPECT_EQ(to_json(found),
            "{\"top1\":0.5,\"top5\":1.0,\"samples\":6,\"mean_per_class\":0.38888888888888884,"
            "\"per_class_accuracy\":[0.6666666666666666,null,0.5,0.0],"
            "\"confusion\":[[2,1,0,0],[0,0,0,0],[1,0,1,0],[0,0,1,0]]}");
}

/// Draws scores of few values, so that many are equal.
TEST_F(Evaluated, RanksTheFirstFiveLikeASortedList) {
  constexpr std::int64_t kClasses = 150;
  constexpr std::size_t kSamples = 200;
  PhiloxStream random(3, RandomPurpose::kInitialization, 0, 0);
  Labels labels;
  Scores scores;
  Predictions predictions(kClasses, Predictions::Keep::scores);
  double top5 = 0;
  for (std::size_t i = 0; i < kSamples; ++i) {
    labels.push_back(random.below(kClasses));
    for (std::int64_t c = 0; c < kClasses; ++c) {
      scores.push_back(static_cast<float>(random.below(20)));
    }
    const std::span<const float> row = std::span(scores).last(kClasses);
    predictions.append(std::span(labels).last(1), row);
    std::vector<std::int32_t> order(kClasses);
    for (std::size_t c = 0; c < order.size(); ++c) order[c] = static_cast<std::int32_t>(c);
    std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
      return row[static_cast<std::size_t>(a)] > row[static_cast<std::size_t>(b)];
    });
    order.resize(Predictions::kBest);
    EXPECT_TRUE(std::ranges::equal(order, std::span(predictions.best()).last(order.size()))) << i;
    top5 += std::ranges::find(order, labels.back()) != order.end() ? 1 : 0;
  }
  EXPECT_EQ(predictions.scores(), scores);
  const ClassAccuracy found = measure(kClasses, labels, scores);
  EXPECT_DOUBLE_EQ(found.all.top5, top5 / kSamples);
  EXPECT_TRUE(found.confusion.empty());
}

TEST_F(Evaluated, FewerThanFiveClassesLeaveTheRestEmpty) {
  Predictions predictions(2);
  predictions.append(Labels{1}, Scores{0, 1});
  EXPECT_EQ(predictions.best(), (std::vector<std::int32_t>{1, 0, -1, -1, -1}));
  EXPECT_TRUE(predictions.scores().empty());
}

TEST_F(Evaluated, ScoresThatAreNotNumbersAreAnError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(measure(2, {0, 1, 0, 1}, {1, 0, 0, 1, nan, nan, 0, 1}), Error);
}

}  // namespace
}  // namespace simclr
