// The measures of features without labels, on 1, 2 and 4 ranks with parts of different size.

#include "simclr/eval/quality.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "eval/feature_cases.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/comm/session.hpp"

namespace simclr {
namespace {

class QualityTest : public testing::Test {
 protected:
  [[nodiscard]] LabeledFeatures part(const LabeledFeatures& whole) {
    return part_of(whole, world_->rank(), world_->size());
  }
  double measured_std(const LabeledFeatures& whole) { return feature_std(part(whole), *world_); }
  double measured_uniformity(const LabeledFeatures& whole) {
    return uniformity(part(whole), *backend_, *world_);
  }
  double measured_rank(const LabeledFeatures& whole) { return rank_me(part(whole), *world_); }

 private:
  std::unique_ptr<Communicator> world_ = make_world_communicator();
  std::unique_ptr<Backend> backend_ = make_cpu_backend(1);
};

/// The features that `value` gives for each row and channel.
LabeledFeatures features_of(std::int64_t rows, std::int64_t channels,
                            const std::function<double(std::int64_t, std::int64_t)>& value) {
  LabeledFeatures features{.channels = channels};
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) {
      features.values.push_back(static_cast<float>(value(i, c)));
    }
    features.labels.push_back(0);
  }
  return features;
}

TEST_F(QualityTest, EqualRowsHaveCollapsed) {
  const auto equal = features_of(40, 6, [](std::int64_t, std::int64_t c) { return 0.3 * c - 1; });
  EXPECT_NEAR(measured_std(equal), 0, 1e-12);
  EXPECT_NEAR(measured_uniformity(equal), 0, 1e-6);
  EXPECT_NEAR(measured_rank(equal), 1, 1e-4);
}

TEST_F(QualityTest, OrthonormalRowsHaveTheRankOfTheirNumber) {
  constexpr std::int64_t kRows = 12;
  for (const std::int64_t channels : {kRows, kRows + 5}) {
    const auto rows = features_of(kRows, channels,
                                  [](std::int64_t i, std::int64_t c) { return i == c ? 2.5 : 0; });
    EXPECT_NEAR(measured_rank(rows), kRows, 1e-4 * kRows) << channels;
    EXPECT_NEAR(measured_uniformity(rows), -4, 1e-6);  // |u_i - u_j|^2 = 2
    const double std = std::sqrt(static_cast<double>(kRows - 1)) / kRows;
    EXPECT_NEAR(measured_std(rows), std * kRows / static_cast<double>(channels), 1e-9);
  }
}

TEST_F(QualityTest, FeaturesThatAreAllZeroHaveRankZero) {
  const auto zeros = features_of(10, 3, [](std::int64_t, std::int64_t) { return 0; });
  EXPECT_EQ(measured_rank(zeros), 0);
  EXPECT_EQ(measured_std(zeros), 0);
}

TEST_F(QualityTest, UniformityOfSeveralBlocksIsThatOfAllPairs) {
  for (const std::int64_t rows : {5, 61, 4500}) {
    const LabeledFeatures whole = clustered_features(rows, 5, 3, 1);
    const std::vector<float> unit = normalized_rows(whole);
    double sum = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = i + 1; j < rows; ++j) {
        double square = 0;
        for (std::int64_t c = 0; c < 5; ++c) {
          const double difference = double{unit[static_cast<std::size_t>(5 * i + c)]} -
                                    unit[static_cast<std::size_t>(5 * j + c)];
          square += difference * difference;
        }
        sum += std::exp(-2 * square);
      }
    }
    const double expected = std::log(sum / (static_cast<double>(rows) * (rows - 1) / 2));
    EXPECT_NEAR(measured_uniformity(whole), expected, 1e-6 * std::abs(expected) + 1e-6) << rows;
  }
}

}  // namespace
}  // namespace simclr
