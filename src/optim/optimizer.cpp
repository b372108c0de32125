#include "simclr/optim/optimizer.hpp"

#include <cmath>
#include <numbers>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {

TensorId record_control(Recorder& recorder, int optimizers) {
  return recorder.named("control", {kControls * optimizers}, DType::f32, Storage::control);
}

namespace {

UpdateRule rule_of(const OptimizerSpec& spec) {
  switch (spec.kind) {
    case OptimizerKind::lars:
      return LarsRule{.momentum = spec.momentum, .weight_decay = spec.weight_decay};
    case OptimizerKind::sgd:
      return SgdRule{
          .momentum = spec.momentum, .weight_decay = spec.weight_decay, .nesterov = spec.nesterov};
    case OptimizerKind::adamw:
      return AdamwRule{
          .beta1 = spec.momentum, .beta2 = spec.beta2, .weight_decay = spec.weight_decay};
  }
  fail("no such optimizer");
}

}  // namespace

void record_update(Recorder& recorder, const OptimizerSpec& spec, TensorId control,
                   std::optional<TensorId> verdict) {
  Update update{.parameters = recorder.flat(Storage::parameters),
                .gradients = recorder.flat(Storage::gradients),
                .momentum = recorder.flat(Storage::momentum),
                .control = control,
                .verdict = verdict,
                .segments = recorder.segments(),
                .rule = rule_of(spec)};
  if (spec.kind == OptimizerKind::adamw) {
    update.second_moment = recorder.flat(Storage::second_moment);
  }
  recorder.emit(std::move(update));
}

void record_probe_update(Recorder& recorder, TensorId control, std::optional<TensorId> verdict,
                         TensorId samples) {
  recorder.emit(Update{.parameters = recorder.flat(Storage::parameters),
                       .gradients = recorder.flat(Storage::gradients),
                       .momentum = recorder.flat(Storage::momentum),
                       .control = control,
                       .verdict = verdict,
                       .segments = recorder.segments(Recorder::Segments::probe),
                       .rule = rule_of(kProbeOptimizer),
                       .optimizer = 1,
                       .samples = samples});
}

double Schedule::learning_rate(std::int64_t step) const {
  if (step < warmup_steps) {
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  }
  if (total_steps <= warmup_steps) return peak;
  const double progress =
      static_cast<double>(step - warmup_steps) / static_cast<double>(total_steps - warmup_steps);
  return peak * (1.0 + std::cos(std::numbers::pi * progress)) / 2.0;
}

std::array<float, 4> Schedule::control(std::int64_t step, const OptimizerSpec& spec) const {
  const auto updates = static_cast<double>(step + 1);
  const auto correction = [&](double beta) {
    return beta > 0 ? static_cast<float>(1.0 / (1.0 - std::pow(beta, updates))) : 1.0F;
  };
  return {static_cast<float>(learning_rate(step)), correction(spec.momentum),
          correction(spec.beta2), 1.0F};
}

double scaled_learning_rate(double base, LearningRateScaling scaling, std::int64_t batch_size) {
  const auto n = static_cast<double>(batch_size);
  switch (scaling) {
    case LearningRateScaling::linear:
      return base * n / 256.0;
    case LearningRateScaling::sqrt:
      return base * std::sqrt(n);
    case LearningRateScaling::none:
      return base;
  }
  return base;
}

}  // namespace simclr
