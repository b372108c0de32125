#include <cmath>
#include <numbers>

#include "simclr/optim/optimizer.hpp"

namespace simclr {

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
