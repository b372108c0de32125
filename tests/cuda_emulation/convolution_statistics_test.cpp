// Convolutions that take their output's statistics along.

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/program/recorder.hpp"
#include "told.hpp"

namespace simclr {
namespace {

/// A convolution with statistics takes so many milliseconds; apart they take 1.1.
struct TogetherTakes : Told {
  explicit TogetherTakes(const char* milliseconds)
      : Told("SIMCLR_EMULATED_WITH_STATISTICS_MS", milliseconds) {}
};

constexpr std::int64_t kChannels = 20;  // stored: 24
const std::string kShape = "forward f16 4x5x5x16 -> 5x5x24, 3x3 stride 1 padding 1";
const Plans kTogether{{kShape + ", with statistics", "loops"}};
const Plans kApart{{kShape + ", with statistics", "statistics apart are faster"},
                   {kShape, "loops"}};

struct Layer {
  DType dtype = DType::f16;
  int groups = 1;
};
struct Outcome {
  Plans plans;
  std::vector<double> stats;  ///< (groups, 2, C)
  std::vector<float> y;       ///< (4 * 25, C)
};

float shift_of(std::size_t channel) { return 0.25F * static_cast<float>(channel % 5) - 0.5F; }

void fill(Executor& executor, TensorId tensor, float (*value)(std::size_t)) {
  std::vector<float> values(
      static_cast<std::size_t>(executor.program().info(tensor).shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
  executor.upload(tensor, const_buffer_span(std::span<const float>(values)));
}

/// A 3x3 convolution and its statistics, as a process that trains does them.
Outcome run(const Layer& layer = {}, const Plans& of_the_run = {}) {
  const auto backend = make_cuda_backend({.share_device = true});
  backend->tune({}, of_the_run);
  Recorder r;
  const TensorId x = r.named("x", {4, 5, 5, 16}, layer.dtype, Storage::input);
  const TensorId w = r.parameter("w", {kChannels, 3, 3, 16}, {}, true);
  const TensorId y = r.tensor("y", {4, 5, 5, kChannels}, layer.dtype);
  const TensorId mean = r.running("mean", kChannels, 0);
  const TensorId stats =
      r.named("stats", {layer.groups, 2, kChannels}, DType::f64, Storage::output);
  r.emit(ConvForward{x, w, y, {.kernel = 3, .stride = 1, .padding = 1}});
  r.emit(BnStatistics{y, mean, stats, {.groups = layer.groups, .samples = 2}});
  Executor executor(r.finish(), *backend, Communicators{}, {.keep = {y}});
  // Means far from 0 as those behind a ReLU are.
  fill(executor, x, [](std::size_t i) { return static_cast<float>((i * 37 + i / 11) % 7) / 7; });
  fill(executor, w, [](std::size_t i) { return static_cast<float>((i * 29 + i / 5) % 9) / 9; });
  fill(executor, mean, shift_of);
  executor.run(0, 2);
  Outcome outcome{.plans = backend->info().plans, .stats = {}, .y = executor.values(y)};
  outcome.stats.resize(static_cast<std::size_t>(layer.groups) * 2 * kChannels);
  executor.download(stats, buffer_span(std::span(outcome.stats)));
  return outcome;
}

TEST(ConvolutionStatistics, AreThoseOfTheOutput) {
  const Outcome outcome = run();
  EXPECT_EQ(outcome.plans, kTogether);
  const std::size_t rows = outcome.y.size() / kChannels;
  for (std::size_t c = 0; c < kChannels; ++c) {
    double sum = 0;
    double squares = 0;
    double size = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      const double value = outcome.y[row * kChannels + c];
      sum += value - shift_of(c);
      squares += (value - shift_of(c)) * (value - shift_of(c));
      size += value * value;
    }
    // A hundred additions in f32, one after the other.
    EXPECT_NEAR(outcome.stats[c], sum, 1e-5 * std::sqrt(size * static_cast<double>(rows)));
    EXPECT_NEAR(outcome.stats[kChannels + c], squares, 1e-5 * size);
  }
}

TEST(ConvolutionStatistics, ArePassesOfTheirOwnWhereThatIsFaster) {
  const TogetherTakes longer("1.2");
  const Outcome apart = run();
  EXPECT_EQ(apart.plans, kApart);
  const LibraryHas without("no_statistics");
  EXPECT_EQ(run().plans, (Plans{{kShape + ", with statistics", "none"}, {kShape, "loops"}}));
  EXPECT_EQ(run().stats, apart.stats);
}

TEST(ConvolutionStatistics, AreMadeAsTheRunMadeThemWhateverIsFaster) {
  const Outcome together = run();
  const Outcome apart = run({}, kApart);
  EXPECT_EQ(apart.plans, kApart);
  EXPECT_NE(apart.stats, together.stats);
  const TogetherTakes longer("1.2");
  EXPECT_EQ(run({}, kTogether).plans, kTogether);
  EXPECT_EQ(run({}, kTogether).stats, together.stats);
}

TEST(ConvolutionStatistics, AreTakenAlongInF16AndOfOneGroupOnly) {
  for (const Layer& layer :
       {Layer{.dtype = DType::f32}, Layer{.dtype = DType::bf16}, Layer{.groups = 2}}) {
    for (const auto& [shape, choice] : run(layer).plans) {
      EXPECT_EQ(shape.find("statistics"), std::string::npos) << shape;
    }
  }
}

TEST(ConvolutionStatistics, OneLayerHasOnePlanAlsoWhereItIsRecomputed) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.125, .stem = Stem::cifar};
  spec.head = {.layers = 2, .hidden = 16, .embedding = 16};
  spec.local_samples = 2;
  spec.image_size = 8;
  spec.activations = DType::f16;
  spec.recompute_blocks = true;
  const auto backend = make_cuda_backend({.share_device = true});
  const Executor executor(record_pretraining(spec), *backend, Communicators{});
  int forward = 0;
  for (const auto& [shape, choice] : backend->info().plans) {
    if (!shape.starts_with("forward")) continue;
    ++forward;
    EXPECT_TRUE(shape.ends_with(", with statistics")) << shape;
  }
  EXPECT_GT(forward, 4);
}

}  // namespace
}  // namespace simclr
