#include "train/loss_scale.hpp"

#include <gtest/gtest.h>

namespace simclr {
namespace {

LossScaling after_good_steps(LossScaling scaling, std::int64_t steps) {
  for (std::int64_t i = 0; i < steps; ++i) scaling = after_step(scaling, true);
  return scaling;
}

TEST(LossScale, HalvesWhenAGradientIsNotFiniteAndCountsTheStep) {
  LossScaling scaling = after_good_steps({}, 10);
  EXPECT_EQ(scaling, (LossScaling{.scale = 65536, .good_steps = 10, .skipped_steps = 0}));
  scaling = after_step(after_step(scaling, false), false);
  EXPECT_EQ(scaling, (LossScaling{.scale = 16384, .good_steps = 0, .skipped_steps = 2}));
}

TEST(LossScale, DoublesAfterGoodStepsInARow) {
  const LossScaling almost = after_good_steps({}, kGoodStepsToGrow - 1);
  EXPECT_EQ(almost.scale, 65536);
  EXPECT_EQ(after_step(almost, true), (LossScaling{.scale = 131072, .good_steps = 0}));
  // A non-finite step restarts the count.
  const LossScaling again = after_good_steps(after_step(almost, false), kGoodStepsToGrow - 1);
  EXPECT_EQ(again.scale, 32768);
  EXPECT_EQ(after_step(again, true).scale, 65536);
}

TEST(LossScale, StaysBetweenOneAndTheLargest) {
  LossScaling scaling{.scale = kLargestLossScale};
  EXPECT_EQ(after_good_steps(scaling, 3 * kGoodStepsToGrow).scale, kLargestLossScale);
  int halvings = 0;
  for (; may_be_too_large(scaling); scaling = after_step(scaling, false)) ++halvings;
  EXPECT_EQ(halvings, 24);
  EXPECT_EQ(scaling.scale, 1);
  EXPECT_EQ(after_step(scaling, false).scale, 1);
}

}  // namespace
}  // namespace simclr
