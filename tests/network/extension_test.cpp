// A loss and a block of the encoder that the library does not have, put together from its verbs and
// layers and trained on its engine: what is to be written to add one.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "complex_step.hpp"
#include "nn/layers.hpp"
#include "on_backend.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/train/trainer.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kSamples = 4;
constexpr std::int64_t kViews = 2 * kSamples;
constexpr std::int64_t kSide = 8;

/// A loss: cross-entropy of logits u u^T (V,V), where the other view of the same image is the right
/// class. Unlike NT-Xent it has no temperature and counts a view's similarity with itself, too.
void self_contrast(Recorder& recorder, TensorId z) {
  const Shape shape = recorder.info(z).shape;
  const TensorId u = recorder.tensor("u", shape, DType::f32);
  const TensorId inverse_norm = recorder.tensor("inverse_norm", {kViews}, DType::f32);
  const TensorId logits = recorder.tensor("logits", {kViews, kViews}, DType::f32);
  const TensorId dlogits = recorder.tensor("d.logits", {kViews, kViews}, DType::f32);
  const TensorId labels = recorder.named("labels", {kViews}, DType::i32, Storage::input);
  const TensorId sums = recorder.named("sums", {4}, DType::f64, Storage::output);
  recorder.emit(L2Normalize{z, u, inverse_norm});
  recorder.emit(MatMul{.x = u, .w = u, .bias = {}, .y = logits});
  recorder.emit(SoftmaxCrossEntropy{.logits = logits,
                                    .labels = labels,
                                    .sums = sums,
                                    .dlogits = dlogits,
                                    .gradient_scale = 1.0F / static_cast<float>(kViews)});
  recorder.on_backward([=](Recorder& r) {
    r.emit(MatMulBackwardData{.dy = dlogits, .w = u, .dx = r.contribute(u)});
    r.emit(MatMulBackwardWeights{.x = u, .dy = dlogits, .dw = r.contribute(u), .dbias = {}});
    r.emit(L2NormalizeBackward{u, inverse_norm, r.gradient(u), r.contribute(z)});
  });
}

Objective self_contrast_objective() {
  return {.metrics = {{"loss", "Loss", "loss", "", 0, kViews}},
          .levels = LossLevels{.guessing = std::log(double{kViews}), .guessing_text = "ln 2N"}};
}

/// A block: ReLU(BN(3x3 convolution) + BN(1x1 convolution)), as RepVGG (Ding et al. 2021) trains
/// it.
TensorId two_branches(Recorder& recorder, const nn::BatchNormContext& context,
                      const std::string& name, TensorId x, std::int64_t channels, int stride) {
  const auto branch = [&](int kernel) {
    const std::string suffix = std::to_string(kernel);
    const TensorId y =
        nn::conv(recorder, name + ".conv" + suffix, x, {channels, {kernel, stride, kernel / 2}});
    return nn::batch_norm(recorder, context, name + ".bn" + suffix, y);
  };
  const nn::Normalized narrow = branch(1);
  return nn::join(recorder, branch(3), narrow);
}

OptimizerSpec optimizer() { return {.kind = OptimizerKind::sgd, .momentum = 0.9F}; }

Program record_step() {
  Recorder recorder;
  recorder.set_views_per_sample(2);
  const nn::BatchNormContext context{.spec = {}, .local_samples = kSamples};
  const TensorId views =
      recorder.named("views", {kViews, kSide, kSide, 3}, DType::f32, Storage::input);
  const TensorId image = nn::pack_input(recorder, views);
  TensorId x = nn::conv(recorder, "stem", image, {8, {3, 1, 1}});
  x = nn::apply_relu(recorder, nn::batch_norm(recorder, context, "bn", x));
  x = two_branches(recorder, context, "block1", x, 8, 2);
  x = two_branches(recorder, context, "block2", x, 16, 2);
  const TensorId h = nn::global_avg_pool(recorder, x, Storage::arena);
  const HeadSpec head{.layers = 2, .hidden = 12, .embedding = 16};
  const TensorId z = nn::projection_head(recorder, head, context, h);
  record_control(recorder);
  self_contrast(recorder, z);
  return finish_training(recorder, {.optimizer = optimizer()});
}

/// The row of the other view of the same image.
template <class T>
std::vector<T> other_views() {
  std::vector<T> rows;
  for (std::int64_t row = 0; row < kViews; ++row) {
    rows.push_back(static_cast<T>((row + kSamples) % kViews));
  }
  return rows;
}

class Extension : public test::OnBackend {};

TEST_F(Extension, GradientsAreThoseOfTheLoss) {
  test::expect_gradients_along_every_parameter(record_step(), other_views<float>());
}

TEST_F(Extension, TheEngineTrainsIt) {
  constexpr int kSteps = 30;
  const auto world = make_self_communicator();
  Trainer trainer({.program = record_step(),
                   .objective = self_contrast_objective(),
                   .inputs = {views_input(), labels_input()},
                   .optimizer = optimizer(),
                   .advice = "lower the learning rate"},
                  {.schedule = {.peak = 0.1, .warmup_steps = 0, .total_steps = kSteps}}, backend(),
                  *world);
  HostMemory memory(backend());
  // The second view of an image is its first one, brightened.
  const std::vector<float> first = test::fixed_views(kSamples * kSide * kSide * 3);
  ViewBatch batch{.labels = std::pmr::vector<std::int32_t>(&memory),
                  .views = HostBuffer(DType::f32, 2 * first.size(), &memory)};
  const auto rows = other_views<std::int32_t>();
  batch.labels.assign(rows.begin(), rows.end());
  const auto views = batch.views.values<float>();
  for (std::size_t i = 0; i < first.size(); ++i) {
    views[i] = first[i];
    views[first.size() + i] = 0.2F + 0.8F * first[i];
  }
  std::vector<double> losses;
  trainer.stage(batch);
  for (std::int64_t step = 0; step < kSteps; ++step) {
    trainer.start_step(step);
    if (step + 1 < kSteps) trainer.stage(batch);
    const StepResult result = trainer.finish_step();
    ASSERT_FALSE(result.not_finite) << step;
    losses.push_back(result.metrics.at(0));
  }
  // All similarities lie in [-1, 1].
  const double others = kViews - 1;
  EXPECT_LE(losses.front(), std::log(1 + others * std::exp(2.0)));
  // The least loss: both views of an image are equal, and unlike all others.
  const double least = std::log(2 + (kViews - 2) * std::exp(-2.0));
  EXPECT_GE(losses.back(), least - 1e-5);
  EXPECT_LE(losses.back(), losses.front() - 0.25 * (losses.front() - least)) << losses.front();
}

}  // namespace
}  // namespace simclr
