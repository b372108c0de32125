// The predicted time of a step.

#include "plan/step_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan_cases.hpp"

namespace simclr::plan {
namespace {

TEST(OpModel, InterpolatesTheSharesOfMeasuredOps) {
  const std::vector<Efficiency> measured{
      {.shape = {"conv_forward", false, 64, 64, 1000, 3, 1}, .share = 0.9},
      {.shape = {"conv_forward", false, 16, 16, 1000, 3, 1}, .share = 0.3},
      {.shape = {"conv", false}, .share = 0.1},
      {.shape = {}, .share = 0.01}};
  EXPECT_NEAR(share_of(measured[0].shape, measured), 0.9, 0.02);
  EXPECT_NEAR(share_of(measured[1].shape, measured), 0.3, 0.02);
  // A shape between two measured ones gets a share between theirs; an op that was not measured gets
  // that of the longest matching name.
  const double between = share_of({"conv_forward", false, 32, 32, 1000, 3, 1}, measured);
  EXPECT_GT(between, 0.35);
  EXPECT_LT(between, 0.85);
  EXPECT_NEAR(share_of({"conv_backward_data", false, 64, 64, 1000, 3, 1}, measured), 0.1, 1e-9);
  EXPECT_NEAR(share_of({"bn_apply", false, 64, 64, 1000}, measured), 0.01, 1e-9);
}

TEST(OpModel, KeepsTheShareBeyondTheMeasuredPixels) {
  const std::vector<Efficiency> measured{
      {.shape = {"bn_apply", false, 64, 64, 1000}, .share = 0.5},
      {.shape = {"bn_apply", false, 64, 64, 4000}, .share = 0.9},
      {.shape = {"bn_apply", false, 16, 16, 4000}, .share = 0.3}};
  const auto share = [&](double rows) {
    return share_of({"bn_apply", false, 64, 64, rows}, measured);
  };
  EXPECT_NEAR(share(1000), 0.5, 0.01);
  EXPECT_EQ(share(1), share(1000));
  EXPECT_EQ(share(1e9), share(4000));
}

TEST(OpModel, FollowsTheRoofline) {
  Program program;
  program.tensors = {{.name = "x", .shape = {8, 16, 16, 64}, .dtype = DType::f32},
                     {.name = "w", .shape = {64, 3, 3, 64}, .dtype = DType::f32},
                     {.name = "y", .shape = {8, 16, 16, 64}, .dtype = DType::f32}};
  const Op convolution = ConvForward{.x = {0}, .w = {1}, .y = {2}, .geometry = {3, 1, 1}};
  const Op relu = Relu{.y = {0}, .z = {2}};
  const Machine machine = test::round_machine();
  const double flops = 2.0 * 8 * 16 * 16 * 64 * 64 * 9;
  EXPECT_NEAR(op_seconds(program, convolution, machine), 2 * flops / 1000e9, 1e-12);
  const double bytes = 2.0 * 8 * 16 * 16 * 64 * 4;
  EXPECT_NEAR(op_seconds(program, relu, machine), 2 * bytes / 100e9, 1e-12);
}

TEST(OpModel, PadsChannelsToBlocksOnACpu) {
  Program program;
  program.tensors = {{.name = "x", .shape = {64, 16, 16, 8}, .dtype = DType::f32},
                     {.name = "w", .shape = {8, 3, 3, 8}, .dtype = DType::f32},
                     {.name = "y", .shape = {64, 16, 16, 8}, .dtype = DType::f32}};
  const Op op = ConvForward{.x = {0}, .w = {1}, .y = {2}, .geometry = {3, 1, 1}};
  Machine machine = test::round_machine();
  machine.memory_gbytes_per_second = 1e6;
  const double unpadded = roofline_seconds(demand_of(program, op, machine.kind), machine);
  machine.kind = DeviceKind::cpu;
  EXPECT_NEAR(roofline_seconds(demand_of(program, op, machine.kind), machine), 4 * unpadded,
              1e-9 * unpadded);
}

// A GPU multiplies the embeddings of plain nt-xent in 16 bits, those of other losses in f32.
TEST(OpModel, KnowsWhichLossesMultiplyIn16Bits) {
  Program program;
  program.tensors = {{.name = "u", .shape = {1024, 128}, .dtype = DType::f32},
                     {.name = "sums", .shape = {3}, .dtype = DType::f64}};
  const auto in_16_bits = [&](LossKind kind, Negatives negatives, DeviceKind device) {
    const ContrastiveLoss loss{.kind = kind, .negatives = negatives};
    const Op forward = ContrastiveForward{
        .u = {0}, .u_all = {0}, .sums = {1}, .loss = loss, .similarity = DType::bf16};
    const Op backward = ContrastiveBackward{
        .u = {0}, .u_all = {0}, .du = {0}, .loss = loss, .similarity = DType::bf16};
    const bool half = demand_of(program, forward, device).half;
    EXPECT_EQ(demand_of(program, backward, device).half, half);
    return half;
  };
  EXPECT_TRUE(in_16_bits(LossKind::nt_xent, Negatives::both, DeviceKind::cuda));
  EXPECT_FALSE(in_16_bits(LossKind::nt_xent, Negatives::one, DeviceKind::cuda));
  EXPECT_FALSE(in_16_bits(LossKind::dcl, Negatives::both, DeviceKind::cuda));
  EXPECT_FALSE(in_16_bits(LossKind::nt_xent, Negatives::both, DeviceKind::cpu));
}

constexpr Cores kOneCore{.available = 1, .compute = 1, .loader = 1};

TEST(StepModel, OneRankDoesNotCommunicate) {
  const Program program = test::small_step(1);
  const Machine machine = test::round_machine();
  double sum = 0;
  for (const Op& op : program.ops) {
    if (!is_communication(op)) sum += op_seconds(program, op, machine);
  }
  const StepTime time = predict_step(program, machine, {}, kOneCore, 0);
  EXPECT_NEAR(time.total, sum, 1e-9 * sum);
  EXPECT_EQ(time.exposed_communication, 0);
}

TEST(StepModel, GradientSumsOverlapTheBackwardPass) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 1, .stem = Stem::cifar};
  spec.image_size = 32;
  spec.local_samples = 64;
  spec.world_size = 2;
  spec.batch_norm.ranks_per_group = 2;
  const Program program = record_pretraining(spec);
  const Placement placement{.ranks = 2, .ranks_per_node = 2, .bn_ranks = 2};
  Machine machine = test::round_machine();
  const auto critical = [](const StepTime& t) {
    return t.by_traffic.at(Traffic::bn_statistics) + t.by_traffic.at(Traffic::embeddings) +
           t.by_traffic.at(Traffic::loss_sums);
  };
  // All but the last bucket end long before the update.
  const StepTime fast = predict_step(program, machine, placement, kOneCore, 0);
  const double gradients = fast.by_traffic.at(Traffic::gradients);
  EXPECT_LT(fast.exposed_communication - critical(fast), 0.2 * gradients);
  EXPECT_GE(fast.exposed_communication, critical(fast));
  // A slow network needs longer than the step.
  machine.inside.gbytes_per_second = 1e-3;
  const StepTime slow = predict_step(program, machine, placement, kOneCore, 0);
  EXPECT_GT(slow.exposed_communication, 0.5 * slow.by_traffic.at(Traffic::gradients));
  // Without overlap all communication is exposed.
  machine.overlaps_gradients = false;
  const StepTime serial = predict_step(program, machine, placement, kOneCore, 0);
  EXPECT_NEAR(serial.exposed_communication,
              critical(serial) + serial.by_traffic.at(Traffic::gradients),
              1e-9 * serial.exposed_communication);
}

TEST(StepModel, RenderingSharesTheCores) {
  const Program program = test::small_step(1);
  const Machine machine = test::round_machine();
  const double compute = predict_step(program, machine, {}, kOneCore, 0).total;
  // One core for both; two cores, one of which is mostly idle; a loader slower than the step.
  const auto total = [&](const Cores& cores, double rendering) {
    return predict_step(program, machine, {}, cores, rendering).total;
  };
  EXPECT_NEAR(total(kOneCore, compute / 4), 1.25 * compute, 1e-9 * compute);
  EXPECT_NEAR(total({.available = 2, .compute = 1, .loader = 1}, compute / 4), compute,
              1e-9 * compute);
  EXPECT_NEAR(total({.available = 4, .compute = 1, .loader = 1}, 3 * compute), 3 * compute,
              1e-9 * compute);
}

TEST(StepModel, CountsAreTheSumsOfTheOps) {
  const Program program = test::small_step(4);
  const OpCost step = count_step(program);
  double flops = 0;
  for (const Op& op : program.ops) flops += cost_of(program, op).flops;
  EXPECT_EQ(step.flops, flops);
  EXPECT_GT(step.bytes, 0);
}

}  // namespace
}  // namespace simclr::plan
