#include "simclr/eval/knn.hpp"
#include "simclr/backend/registry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "eval/feature_cases.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

double cosine(const LabeledFeatures& a, std::int64_t i, const LabeledFeatures& b, std::int64_t j) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::int64_t c = 0; c < a.channels; ++c) {
    const double x = a.values[static_cast<std::size_t>(i * a.channels + c)];
    const double y = b.values[static_cast<std::size_t>(j * b.channels + c)];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

/// Computes the definition in double: sorts all rows, lets the nearest vote.
Accuracy brute_force(const LabeledFeatures& bank, const LabeledFeatures& test,
                     const KnnConfig& config) {
  std::int64_t top1 = 0;
  std::int64_t top5 = 0;
  for (std::int64_t i = 0; i < test.rows(); ++i) {
    std::vector<std::pair<double, std::int32_t>> neighbors;
    for (std::int64_t j = 0; j < bank.rows(); ++j) {
      neighbors.emplace_back(-cosine(test, i, bank, j), bank.labels[static_cast<std::size_t>(j)]);
    }
    std::sort(neighbors.begin(), neighbors.end());
    std::vector<double> score(static_cast<std::size_t>(config.classes));
    for (std::int64_t j = 0; j < config.neighbors; ++j) {
      const auto& [distance, label] = neighbors[static_cast<std::size_t>(j)];
      score[static_cast<std::size_t>(label)] += std::exp(-distance / config.temperature);
    }
    std::vector<std::size_t> order(score.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return score[a] > score[b]; });
    const auto label = static_cast<std::size_t>(test.labels[static_cast<std::size_t>(i)]);
    const auto place = std::find(order.begin(), order.end(), label) - order.begin();
    top1 += place < 1 ? 1 : 0;
    top5 += place < 5 ? 1 : 0;
  }
  const auto samples = static_cast<double>(test.rows());
  return {static_cast<double>(top1) / samples, static_cast<double>(top5) / samples, test.rows()};
}

class Knn : public testing::Test {
 protected:
  Accuracy measure(const LabeledFeatures& bank, const LabeledFeatures& test,
                   const KnnConfig& config) {
    const int rank = world->rank();
    const int ranks = world->size();
    return knn_accuracy(part_of(bank, rank, ranks), part_of(test, rank, ranks), config, *backend,
                        *world);
  }
  std::unique_ptr<Communicator> world = make_world_communicator();
  std::unique_ptr<Backend> backend = make_cpu_backend(1);
};

TEST_F(Knn, AgreesWithBruteForce) {
  const auto bank = clustered_features(700, 24, 9, 1);
  const auto test = clustered_features(300, 24, 9, 2);
  for (const KnnConfig& config : {KnnConfig{200, 0.1, 9}, KnnConfig{20, 0.07, 9},
                                  KnnConfig{1, 0.1, 9}, KnnConfig{700, 0.01, 9}}) {
    const Accuracy expected = brute_force(bank, test, config);
    const Accuracy found = measure(bank, test, config);
    // One row may differ, where f32 has a tie and f64 has not.
    EXPECT_LE(std::abs(found.top1 - expected.top1), 1.5 / 300) << config.neighbors;
    EXPECT_LE(std::abs(found.top5 - expected.top5), 1.5 / 300) << config.neighbors;
    EXPECT_EQ(found.samples, 300);
    EXPECT_GT(expected.top1, 0.3);
    EXPECT_LT(expected.top1, 0.98);
  }
}

TEST_F(Knn, CoversBanksAndTestSetsOfSeveralBlocks) {
  const auto bank = clustered_features(16500, 8, 3, 1);
  const auto test = clustered_features(520, 8, 3, 2);
  const KnnConfig config{50, 0.1, 3};
  EXPECT_LE(std::abs(measure(bank, test, config).top1 - brute_force(bank, test, config).top1),
            1.5 / 520);
}

LabeledFeatures equal_features(std::size_t rows, std::int64_t label) {
  LabeledFeatures features{8, std::vector<float>(rows * 8), std::vector<std::int64_t>(rows, label)};
  for (std::size_t i = 0; i < features.values.size(); i += 8) features.values[i] = 2;
  return features;
}

// All rows are equally near, but only the first ten are of the right class.
TEST_F(Knn, PrefersTheEarlierOfEquallyNearRows) {
  for (const std::size_t rows : {40, 16500}) {
    LabeledFeatures bank = equal_features(rows, 0);
    std::fill_n(bank.labels.begin(), 10, 1);
    const LabeledFeatures test = equal_features(5, 1);
    EXPECT_EQ(measure(bank, test, {19, 0.1, 2}).top1, 1) << rows;
    EXPECT_EQ(measure(bank, test, {20, 0.1, 2}).top1, 0)
        << rows;  // ten votes each: the lower class wins
  }
}

TEST_F(Knn, FindsTheIdenticalSample) {
  const auto bank = clustered_features(400, 16, 20, 1);
  const Accuracy accuracy = measure(bank, bank, {1, 0.1, 20});
  EXPECT_EQ(accuracy.top1, 1);
  EXPECT_EQ(accuracy.top5, 1);
}

TEST_F(Knn, TopFiveOfFewClassesIsAlwaysRight) {
  const auto bank = clustered_features(60, 16, 4, 1);
  EXPECT_EQ(measure(bank, clustered_features(40, 16, 4, 2), {10, 0.1, 4}).top5, 1);
}

TEST_F(Knn, RefusesMoreNeighborsThanThereAre) {
  const auto bank = clustered_features(60, 16, 4, 1);
  EXPECT_THROW(measure(bank, bank, {61, 0.1, 4}), RefusedError);
}

TEST_F(Knn, AcceptsAsManyNeighborsAsAGpuCanSort) {
  const auto bank = clustered_features(1100, 8, 4, 1);
  const auto test = clustered_features(20, 8, 4, 2);
  EXPECT_EQ(measure(bank, test, {1024, 0.1, 4}).samples, 20);
}

}  // namespace
}  // namespace simclr
