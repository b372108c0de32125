#include "simclr/data/sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

std::vector<std::int64_t> epoch_order(Sampler& sampler, std::int64_t epoch) {
  std::vector<std::int64_t> order;
  for (std::int64_t s = 0; s < sampler.steps_per_epoch(); ++s) {
    const auto batch = sampler.batch(epoch * sampler.steps_per_epoch() + s);
    order.insert(order.end(), batch.begin(), batch.end());
  }
  return order;
}

std::vector<std::int64_t> identity(std::int64_t samples) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(samples));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  return order;
}

class EveryShuffle : public testing::TestWithParam<Shuffle> {};

TEST_P(EveryShuffle, VisitsEverySampleOnceAnEpoch) {
  for (const std::int64_t samples : {1, 2, 255, 256, 257, 1000, 40'000}) {
    Sampler sampler(samples, GetParam(), 7, 1);
    for (const std::int64_t epoch : {0, 1, 5}) {
      auto order = epoch_order(sampler, epoch);
      std::sort(order.begin(), order.end());
      ASSERT_EQ(order, identity(samples)) << samples << " samples, epoch " << epoch;
    }
  }
}

TEST_P(EveryShuffle, OrderDoesNotDependOnTheBatchSizeOrTheStartingStep) {
  Sampler ones(1000, GetParam(), 3, 1);
  Sampler hundreds(1000, GetParam(), 3, 100);
  EXPECT_EQ(epoch_order(ones, 2), epoch_order(hundreds, 2));
  Sampler resumed(1000, GetParam(), 3, 100);
  EXPECT_EQ(resumed.batch(25), hundreds.batch(25));
  EXPECT_EQ(resumed.batch(4), hundreds.batch(4))
      << "an earlier step must give the same batch again";
}

TEST_P(EveryShuffle, DropsTheIncompleteLastBatch) {
  Sampler sampler(10, GetParam(), 1, 4);
  EXPECT_EQ(sampler.steps_per_epoch(), 2);
  EXPECT_EQ(sampler.epoch_of(1), 0);
  EXPECT_EQ(sampler.epoch_of(2), 1);
  EXPECT_EQ(sampler.batch(2).size(), 4u);
}

INSTANTIATE_TEST_SUITE_P(Modes, EveryShuffle,
                         testing::Values(Shuffle::full, Shuffle::block, Shuffle::off));

TEST(Sampler, EpochsAndSeedsDiffer) {
  for (const Shuffle mode : {Shuffle::full, Shuffle::block}) {
    Sampler sampler(1000, mode, 3, 10);
    Sampler other_seed(1000, mode, 4, 10);
    EXPECT_NE(epoch_order(sampler, 0), epoch_order(sampler, 1));
    EXPECT_NE(epoch_order(sampler, 0), epoch_order(other_seed, 0));
  }
}

TEST(Sampler, OffKeepsTheStoredOrder) {
  Sampler sampler(100, Shuffle::off, 3, 10);
  EXPECT_EQ(epoch_order(sampler, 3), identity(100));
}

// After a uniform shuffle the mean of |position - index| is (N^2-1)/(3N), about N/3.
TEST(Sampler, FullShuffleMovesSamplesFarAndEvenly) {
  constexpr std::int64_t kSamples = 20'000;
  Sampler sampler(kSamples, Shuffle::full, 11, 1);
  const auto order = epoch_order(sampler, 0);
  double moved = 0;
  for (std::int64_t i = 0; i < kSamples; ++i) {
    moved += std::abs(static_cast<double>(order[static_cast<std::size_t>(i)] - i));
  }
  EXPECT_NEAR(moved / kSamples / kSamples, 1.0 / 3.0, 0.01);
  // Each tenth of the epoch has 200 of 2000 samples from each tenth of the set, with a standard
  // deviation of 13.4.
  for (std::int64_t tenth = 0; tenth < 10; ++tenth) {
    std::array<int, 10> from{};
    for (std::int64_t i = 0; i < kSamples / 10; ++i) {
      ++from[static_cast<std::size_t>(order[static_cast<std::size_t>(tenth * kSamples / 10 + i)] *
                                      10 / kSamples)];
    }
    for (const int count : from) EXPECT_NEAR(count, 200, 5 * 13.4);
  }
}

// Consecutive samples of a block-shuffled epoch come from few blocks, so that reads are sequential.
TEST(Sampler, BlockShuffleReadsFewBlocksAtATime) {
  constexpr std::int64_t kSamples = 200'000;
  Sampler sampler(kSamples, Shuffle::block, 11, 1);
  const auto order = epoch_order(sampler, 0);
  constexpr std::size_t kWindowSamples = std::size_t{256} * 64;
  std::vector<std::int64_t> blocks(order.begin(), order.begin() + kWindowSamples);
  for (auto& block : blocks) block /= 256;
  std::sort(blocks.begin(), blocks.end());
  const auto distinct = std::unique(blocks.begin(), blocks.end()) - blocks.begin();
  EXPECT_LE(distinct, 65);
  EXPECT_GE(distinct, 64);
}

TEST(Sampler, RefusesImpossibleBatches) {
  EXPECT_THROW(Sampler(10, Shuffle::full, 0, 11), RefusedError);
  EXPECT_THROW(Sampler(10, Shuffle::full, 0, 0), Error);
  EXPECT_THROW(Sampler(10, Shuffle::full, 0, -5), Error);
}

}  // namespace
}  // namespace simclr
