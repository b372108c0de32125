#pragma once
// Optimizers and the learning-rate schedule.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "simclr/program/recorder.hpp"

namespace simclr {

enum class OptimizerKind : std::uint8_t { lars, sgd, adamw };

struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::lars;
  float momentum = 0.9F;
  float weight_decay = 1e-6F;
  bool nesterov = false;  ///< sgd only
  float beta2 = 0.999F;   ///< adamw only; beta1 is `momentum`
};

/// Records the named tensor "control" f32 (4 for each optimizer). The host writes Schedule::control
/// to it before every step.
TensorId record_control(Recorder& recorder, int optimizers = 1);

/// Emits the update of all trained parameters. The update is skipped when `verdict` (CheckFinite)
/// reports non-finite gradients.
void record_update(Recorder& recorder, const OptimizerSpec& spec, TensorId control,
                   std::optional<TensorId> verdict = {});

/// The optimizer of a probe: SGD with Nesterov's momentum, without weight decay.
inline constexpr OptimizerSpec kProbeOptimizer{
    .kind = OptimizerKind::sgd, .momentum = 0.9F, .weight_decay = 0, .nesterov = true};
/// Emits the update of the probe, the second optimizer of "control". Its gradients are sums over
/// the samples that `samples` counts; see Update.
void record_probe_update(Recorder& recorder, TensorId control, std::optional<TensorId> verdict,
                         TensorId samples);

enum class LearningRateScaling : std::uint8_t { linear, sqrt, none };

/// Learning rate of step s = 0, 1, ...: peak*s/W for s < W, then peak*(1 + cos(pi*(s-W)/(S-W)))/2.
struct Schedule {
  double peak = 0;                ///< learning rate after scaling
  std::int64_t warmup_steps = 0;  ///< W = round(warm-up epochs * steps per epoch)
  std::int64_t total_steps = 1;   ///< S

  [[nodiscard]] double learning_rate(std::int64_t step) const;
  /// The values of the "control" tensor for this step (0-based), with a loss scale of 1.
  [[nodiscard]] std::array<float, 4> control(std::int64_t step, const OptimizerSpec& spec) const;
};

/// Returns base*N/256 for `linear`, base*sqrt(N) for `sqrt` and base for `none`; N = batch_size.
double scaled_learning_rate(double base, LearningRateScaling scaling, std::int64_t batch_size);

}  // namespace simclr
