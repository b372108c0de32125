// Whole training steps on a backend: variations that must not change their result.

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "on_backend.hpp"
#include "step.hpp"

namespace simclr {
namespace {

using test::run_step;
using test::StepResult;

class Step : public test::OnBackend {
 protected:
  StepResult run(const PretrainingSpec& spec, const ExecutorOptions& options = {}) {
    Executor executor(record_pretraining(spec), backend(), {}, options);
    return run_step(executor);
  }
  static std::vector<PretrainingSpec> networks();
};

void expect_identical(const StepResult& a, const StepResult& b) {
  EXPECT_TRUE(std::isfinite(a.loss_sums[0]));
  EXPECT_EQ(a.loss_sums, b.loss_sums);
  EXPECT_EQ(a.gradients, b.gradients);
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.running, b.running);
}

std::vector<PretrainingSpec> Step::networks() {
  PretrainingSpec basic = test::small_spec();
  PretrainingSpec bottleneck = basic;
  bottleneck.encoder = {.depth = 50, .width = 0.125, .stem = Stem::imagenet};
  bottleneck.image_size = 33;
  bottleneck.local_samples = 2;
  bottleneck.head.layers = 3;
  PretrainingSpec grouped = basic;
  grouped.batch_norm.groups_per_rank = 2;
  std::vector<PretrainingSpec> all = {basic, bottleneck, grouped};
  for (const DType narrow : {DType::bf16, DType::f16}) {
    if (!test::why_skip(narrow).empty()) continue;
    basic.activations = narrow;
    all.push_back(basic);
  }
  return all;
}

TEST_F(Step, ReadsNoUnwrittenMemory) {
  for (const PretrainingSpec& spec : networks()) {
    expect_identical(run(spec), run(spec, {.poison_arena = true}));
  }
}

/// A device records the second run and replays it from the third.
TEST_F(Step, ScratchMemoryOfSeveralRanksIsFoundWithoutThem) {
  PretrainingSpec spec = test::small_spec();
  const std::size_t alone = workspace_bytes(record_pretraining(spec), backend());
  spec.world_size = 2;
  spec.batch_norm.ranks_per_group = 2;
  EXPECT_GE(workspace_bytes(record_pretraining(spec), backend()), alone);
}

TEST_F(Step, GivesTheSameResultThreeTimes) {
  for (const PretrainingSpec& spec : networks()) {
    Executor executor(record_pretraining(spec), backend(), {});
    const StepResult first = run_step(executor);
    for (int again = 0; again < 2; ++again) {
      executor.set_flat(Storage::momentum, std::vector<float>(first.parameters.size()));
      expect_identical(first, run_step(executor));
    }
  }
}

TEST_F(Step, RecomputingBlocksIsExact) {
  for (PretrainingSpec spec : networks()) {
    const StepResult stored = run(spec);
    spec.recompute_blocks = true;
    expect_identical(stored, run(spec, {.poison_arena = true}));
  }
}

TEST_F(Step, ScalingTheLossByAPowerOfTwoIsExact) {
  for (const OptimizerKind optimizer :
       {OptimizerKind::lars, OptimizerKind::sgd, OptimizerKind::adamw}) {
    for (PretrainingSpec spec : networks()) {
      if (spec.activations != DType::f32) continue;
      spec.optimizer.kind = optimizer;
      Executor plain(record_pretraining(spec), backend(), {});
      Executor scaled(record_pretraining(spec), backend(), {});
      StepResult expected = run_step(plain);
      const StepResult result = run_step(scaled, 1024);
      for (float& gradient : expected.gradients) gradient *= 1024;
      expect_identical(result, expected);
      EXPECT_EQ(scaled.flat(Storage::momentum), plain.flat(Storage::momentum));
    }
  }
}

TEST_F(Step, ANonFiniteGradientChangesNoParameter) {
  PretrainingSpec spec = test::small_spec();
  Executor executor(record_pretraining(spec), backend(), {});
  const StepResult result = run_step(executor, INFINITY);
  EXPECT_TRUE(std::isfinite(result.loss_sums[0]));
  EXPECT_FALSE(executor.all_finite(Storage::gradients));
  std::array<std::int32_t, 2> verdict{};
  executor.download(executor.program().at("verdict"),
                    buffer_span(std::span<std::int32_t>(verdict)));
  EXPECT_EQ(verdict, (std::array<std::int32_t, 2>{0, 1}));
  EXPECT_EQ(result.parameters, test::lively_parameters(executor.program()));
  EXPECT_EQ(executor.flat(Storage::momentum), std::vector<float>(result.parameters.size()));
}

TEST_F(Step, UntrainedLossIsAboutThatOfRandomEmbeddings) {
  PretrainingSpec spec = test::small_spec();
  spec.local_samples = 32;
  spec.loss.temperature = 1;
  const StepResult result = run(spec);
  EXPECT_NEAR(result.loss_sums[0] / 64, std::log(63.0), 0.3);
}

TEST_F(Step, TraceReportsEveryWrittenFloatingPointTensor) {
  Executor executor(record_pretraining(test::small_spec()), backend(), {});
  test::set_state(executor);
  std::size_t reports = 0;
  executor.run_traced(0, executor.program().ops.size(), [&](const TensorTrace& trace) {
    ++reports;
    EXPECT_EQ(trace.not_finite, 0) << trace.op_name << " " << trace.tensor_name;
    EXPECT_LE(trace.minimum, trace.maximum) << trace.op_name;
  });
  EXPECT_GT(reports, executor.program().ops.size());
}

TEST_F(Step, TraceFindsTheFirstOpThatMakesANan) {
  Executor executor(record_pretraining(test::small_spec()), backend(), {});
  test::set_state(executor);
  std::vector<float> parameters = executor.flat(Storage::parameters);
  for (const Parameter& p : executor.program().parameters) {
    if (p.name != "layer3.0.conv2.weight") continue;
    parameters[static_cast<std::size_t>(executor.program().info(p.value).offset)] = NAN;
  }
  executor.set_flat(Storage::parameters, parameters);
  std::string first;
  executor.run_traced(0, executor.program().backward_begin, [&](const TensorTrace& trace) {
    if (first.empty() && trace.not_finite > 0) first = trace.op_name;
  });
  EXPECT_EQ(first, "conv_forward layer3.0");
}

}  // namespace
}  // namespace simclr
