// The gradients of the networks that pretraining records, by the complex step.

#include <gtest/gtest.h>

#include "complex_step.hpp"

namespace simclr {
namespace {

void expect_gradients_of(const PretrainingSpec& spec) {
  test::expect_gradients_along_every_parameter(record_pretraining(spec));
}

PretrainingSpec tiny(int depth, Stem stem, std::int64_t image_size) {
  PretrainingSpec spec;
  spec.encoder = {.depth = depth, .width = 1.0 / 32, .stem = stem};
  spec.head = {.layers = 2, .hidden = 6, .embedding = 5};
  spec.local_samples = 4;
  spec.image_size = image_size;
  spec.temperature = 0.5F;
  return spec;
}

TEST(Gradient, BasicBlocksWithCifarStem) { expect_gradients_of(tiny(18, Stem::cifar, 8)); }

TEST(Gradient, BottlenecksWithImagenetStemAndGroupedStatistics) {
  PretrainingSpec spec = tiny(50, Stem::imagenet, 32);
  spec.head.layers = 3;
  spec.batch_norm.groups_per_rank = 2;
  expect_gradients_of(spec);
}

TEST(Gradient, RecomputedBlocks) {
  PretrainingSpec spec = tiny(18, Stem::cifar, 8);
  spec.recompute_blocks = true;
  expect_gradients_of(spec);
}

TEST(Gradient, NoHead) {
  PretrainingSpec spec = tiny(18, Stem::cifar, 8);
  spec.head.kind = HeadKind::none;
  expect_gradients_of(spec);
}

}  // namespace
}  // namespace simclr
