// The gradients of the networks that pretraining records, by the complex step.

#include <gtest/gtest.h>

#include <vector>

#include "complex_step.hpp"

namespace simclr {
namespace {

void expect_gradients_of(const PretrainingSpec& spec) {
  const Program program = record_pretraining(spec);
  for (const Parameter& parameter : program.parameters) EXPECT_TRUE(parameter.trained());
  test::expect_gradients_along_every_parameter(program);
}

PretrainingSpec tiny(int depth, Stem stem, std::int64_t image_size) {
  PretrainingSpec spec;
  spec.encoder = {.depth = depth, .width = 1.0 / 32, .stem = stem};
  spec.head = {.layers = 2, .hidden = 6, .embedding = 5};
  spec.local_samples = 4;
  spec.image_size = image_size;
  spec.loss.temperature = 0.5F;
  return spec;
}

// As many as a power of two, so that the mean over them is exact in float.
const std::vector<float> kLabels{0, 1, 2, 0, 1, 2, 0, 1};

ClassifierSpec tiny_classifier(int frozen_groups) {
  const PretrainingSpec pretraining = tiny(18, Stem::cifar, 8);
  ClassifierSpec spec;
  spec.encoder = pretraining.encoder;
  spec.head = pretraining.head;
  spec.head_layers = 1;
  spec.frozen_groups = frozen_groups;
  spec.batch = spec.global_batch = std::ssize(kLabels);
  spec.image_size = pretraining.image_size;
  spec.classes = 3;
  spec.init.stddev = 0.2F;
  return spec;
}

TEST(Gradient, BasicBlocksWithCifarStem) { expect_gradients_of(tiny(18, Stem::cifar, 8)); }

TEST(Gradient, BottlenecksWithImagenetStemAndGroupedStatistics) {
  PretrainingSpec spec = tiny(50, Stem::imagenet, 32);
  spec.head.layers = 3;
  spec.batch_norm.groups_per_rank = 2;
  expect_gradients_of(spec);
}

// From 19 pixels the groups have 5, 3, 2 and 1, so that windows reach over the edges.
TEST(Gradient, RecomputedSelectiveKernels) {
  PretrainingSpec spec = tiny(50, Stem::imagenet, 19);
  spec.encoder.sk_ratio = 0.0625;
  spec.recompute_blocks = true;
  spec.batch_norm.groups_per_rank = 2;
  expect_gradients_of(spec);
}

TEST(Gradient, RecomputedBlocks) {
  PretrainingSpec spec = tiny(18, Stem::cifar, 8);
  spec.recompute_blocks = true;
  expect_gradients_of(spec);
}

TEST(Gradient, ClassifierOnALayerOfTheHead) {
  test::expect_gradients_along_every_parameter(record_classifier(tiny_classifier(kNothingFrozen)),
                                               kLabels);
}

TEST(Gradient, ClassifierBehindFrozenGroups) {
  for (int frozen = 0; frozen <= kEncoderGroups; ++frozen) {
    SCOPED_TRACE(frozen);
    const Program program = record_classifier(tiny_classifier(frozen));
    for (const Parameter& parameter : program.parameters) {
      const bool in_group = parameter.name.starts_with("layer");
      const int group = in_group ? parameter.name[5] - '0' : 0;
      const bool before = parameter.part == Part::encoder
                              ? group <= frozen
                              : parameter.part != Part::classifier && frozen == kEncoderGroups;
      EXPECT_EQ(parameter.trained(), !before) << parameter.name;
    }
    test::expect_gradients_along_every_parameter(program, kLabels);
  }
}

TEST(Gradient, DistillationFromAWiderTeacherWithAHead) {
  ClassifierSpec spec = tiny_classifier(kNothingFrozen);
  spec.head_layers = 0;
  spec.teacher = TeacherSpec{.encoder = {.depth = 18, .width = 1.0 / 16, .stem = Stem::cifar},
                             .head = {.layers = 2, .hidden = 5},
                             .head_layers = 1,
                             .temperature = 0.5F,
                             .label_weight = 0.25F};
  const Program program = record_classifier(spec);
  for (const Parameter& parameter : program.parameters) {
    EXPECT_EQ(parameter.trained(), parameter.part != Part::teacher) << parameter.name;
    EXPECT_EQ(parameter.name.starts_with(kTeacherPrefix), parameter.part == Part::teacher)
        << parameter.name;
  }
  EXPECT_LT(program.trained_elements, program.parameter_elements);
  test::expect_gradients_along_every_parameter(program, kLabels);
}

TEST(Gradient, NoHead) {
  PretrainingSpec spec = tiny(18, Stem::cifar, 8);
  spec.head.kind = HeadKind::none;
  expect_gradients_of(spec);
}

}  // namespace
}  // namespace simclr
