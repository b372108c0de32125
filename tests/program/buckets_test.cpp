#include <gtest/gtest.h>

#include "programs.hpp"

namespace simclr {
namespace {

TEST(Buckets, CoverEveryGradientOnceAndOnlyWhenItIsComplete) {
  const Program program = test::record({.depth = 18, .stem = Stem::imagenet, .world_size = 2});
  std::vector<int> covered(static_cast<std::size_t>(program.parameter_elements), 0);
  std::vector<bool> sent(covered.size(), false);
  std::size_t buckets = 0;
  bool waited = false;
  for (std::size_t op = 0; op < program.update_begin; ++op) {
    if (const auto* reduce = std::get_if<ReduceGradients>(&program.ops[op])) {
      ++buckets;
      for (std::int64_t i = reduce->begin; i < reduce->begin + reduce->count; ++i) {
        ++covered[static_cast<std::size_t>(i)];
        sent[static_cast<std::size_t>(i)] = true;
      }
      continue;
    }
    if (std::holds_alternative<WaitForGradients>(program.ops[op])) {
      waited = true;
      EXPECT_EQ(op, program.update_begin - 1);
      continue;
    }
    for (const TensorId id : access(program.ops[op]).writes) {
      const TensorInfo& info = program.info(id);
      if (info.storage != Storage::gradients) continue;
      EXPECT_FALSE(sent[static_cast<std::size_t>(info.offset)])
          << describe(program, op) << " writes '" << info.name << "' after its bucket was sent";
    }
  }
  EXPECT_TRUE(waited);
  EXPECT_GT(buckets, 3U);
  for (const Parameter& parameter : program.parameters) {
    const TensorInfo& info = program.info(parameter.gradient);
    for (std::int64_t i = 0; i < info.shape.elements(); ++i) {
      ASSERT_EQ(covered[static_cast<std::size_t>(info.offset + i)], 1) << parameter.name;
    }
  }
}

TEST(Buckets, OverlapWithTheBackwardPass) {
  const Program program = test::record({.world_size = 2});
  for (std::size_t op = program.backward_begin; op < program.update_begin; ++op) {
    if (!std::holds_alternative<ReduceGradients>(program.ops[op])) continue;
    // The first bucket leaves in the first half of the backward pass.
    EXPECT_LT(op - program.backward_begin, (program.update_begin - program.backward_begin) / 2);
    return;
  }
  FAIL() << "no bucket in the program";
}

TEST(Buckets, TrainOnlyWhatIsTrained) {
  ClassifierSpec spec;
  spec.encoder = {.depth = 18, .width = 0.25, .stem = Stem::cifar};
  spec.frozen_groups = kEncoderGroups;
  spec.batch = 2;
  spec.image_size = 32;
  spec.classes = 10;
  spec.global_batch = 4;
  spec.world_size = 2;
  spec.optimizer.kind = OptimizerKind::sgd;
  const Program program = record_classifier(spec);
  std::int64_t reduced = 0;
  for (const Op& op : program.ops) {
    if (const auto* reduce = std::get_if<ReduceGradients>(&op)) reduced += reduce->count;
    if (const auto* update = std::get_if<Update>(&op)) {
      ASSERT_EQ(update->segments.size(), 2U);
      EXPECT_EQ(update->segments[0].count + update->segments[1].count, 128 * 10 + 10);
    }
  }
  EXPECT_GE(reduced, 128 * 10 + 10);
  EXPECT_LE(reduced, 128 * 10 + 10 + 32);  // alignment padding between the two slices
}

}  // namespace
}  // namespace simclr
