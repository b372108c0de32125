// Counted costs against published figures.

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "simclr/nn/model.hpp"
#include "simclr/program/op_cost.hpp"

namespace simclr {
namespace {

Program training_step(std::int64_t views) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 50};
  spec.head.kind = HeadKind::none;
  spec.local_samples = views / 2;
  return record_pretraining(spec);
}

/// Convolution flops of a view in the forward pass and in the whole step.
TEST(OpCost, ResNet50TakesTheKnownArithmetic) {
  const Program program = training_step(4);
  double forward = 0;
  double all = 0;
  for (const Op& op : program.ops) {
    if (!verb(op).starts_with("conv")) continue;
    all += cost_of(program, op).flops / 4;
    if (verb(op) == "conv_forward") forward += cost_of(program, op).flops / 4;
  }
  EXPECT_NEAR(forward, 2 * 4.087e9, 0.01e9);  // torchvision: 4.09 GMAC with the classifier
  EXPECT_NEAR(all, 3 * forward - 2 * 0.118e9, 0.01e9);  // no gradient of the images
}

TEST(OpCost, CountsEveryTensorReadAndWrittenOnce) {
  Program program;
  program.tensors = {{.name = "y", .shape = {2, 3, 3, 8}, .dtype = DType::bf16},
                     {.name = "affine", .shape = {1, 2, 8}, .dtype = DType::f32},
                     {.name = "z", .shape = {2, 3, 3, 8}, .dtype = DType::bf16}};
  const Op apply = BnApply{.y = {0}, .affine = {1}, .relu = true, .z = {2}};
  EXPECT_EQ(cost_of(program, apply).bytes, 2 * (2 * 3 * 3 * 8) * 2 + 2 * 8 * 4);
  EXPECT_EQ(cost_of(program, apply).flops, 0);
}

TEST(OpCost, EqualShapesHaveEqualTexts) {
  const Program program = training_step(4);
  std::map<std::string, double> flops;
  for (const Op& op : program.ops) {
    const double cost = cost_of(program, op).flops;
    const auto [known, fresh] = flops.emplace(shape_text(program, op), cost);
    if (!fresh) {
      EXPECT_EQ(known->second, cost) << known->first;
    }
  }
  EXPECT_GT(flops.size(), 60U);
}

}  // namespace
}  // namespace simclr
