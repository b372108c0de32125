#include <gtest/gtest.h>

#include <cmath>

#include "simclr/optim/optimizer.hpp"

namespace simclr {
namespace {

TEST(Schedule, WarmsUpFromZeroAndFallsToZero) {
  const Schedule schedule{.peak = 4.8, .warmup_steps = 10, .total_steps = 110};
  EXPECT_EQ(schedule.learning_rate(0), 0);
  EXPECT_DOUBLE_EQ(schedule.learning_rate(5), 2.4);
  EXPECT_DOUBLE_EQ(schedule.learning_rate(10), 4.8);
  EXPECT_NEAR(schedule.learning_rate(60), 2.4, 1e-12);
  EXPECT_NEAR(schedule.learning_rate(35), 4.8 * (1 + std::sqrt(0.5)) / 2, 1e-12);
  EXPECT_GT(schedule.learning_rate(109), 0);
  EXPECT_NEAR(schedule.learning_rate(110), 0, 1e-12);
}

TEST(Schedule, StartsAtThePeakWithoutWarmUp) {
  const Schedule schedule{.peak = 0.1, .warmup_steps = 0, .total_steps = 4};
  EXPECT_DOUBLE_EQ(schedule.learning_rate(0), 0.1);
  EXPECT_NEAR(schedule.learning_rate(2), 0.05, 1e-12);
}

TEST(Schedule, ScalesTheBaseRateWithTheGlobalBatch) {
  EXPECT_DOUBLE_EQ(scaled_learning_rate(0.3, LearningRateScaling::linear, 4096), 4.8);
  EXPECT_DOUBLE_EQ(scaled_learning_rate(0.075, LearningRateScaling::sqrt, 4096), 4.8);
  EXPECT_DOUBLE_EQ(scaled_learning_rate(0.3, LearningRateScaling::none, 4096), 0.3);
}

TEST(Schedule, HoldsAdamsBiasCorrections) {
  const Schedule schedule{.peak = 1, .warmup_steps = 0, .total_steps = 10};
  const auto control = schedule.control(1, {.kind = OptimizerKind::adamw, .momentum = 0.9F});
  EXPECT_NEAR(control[1], 1 / (1 - 0.81), 1e-5);
  EXPECT_NEAR(control[2], 1 / (1 - 0.999 * 0.999), 0.2);
}

}  // namespace
}  // namespace simclr
