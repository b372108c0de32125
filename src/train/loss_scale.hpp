#pragma once
// Dynamic loss scaling for fp16 (Micikevicius et al. 2018, section 3.2): the loss is multiplied by
// a power of two, so that small gradients do not vanish in 16 bits, and the update divides by it.

#include <algorithm>

#include "simclr/io/checkpoint.hpp"

namespace simclr {

/// Consecutive steps with finite gradients after which the scale is doubled.
inline constexpr std::int64_t kGoodStepsToGrow = 2000;
/// Exact in f32 and far larger than f16 gradients allow.
inline constexpr std::int64_t kLargestLossScale = std::int64_t{1} << 24;

/// Whether a smaller scale may make a non-finite gradient finite. At a scale of 1 it cannot.
[[nodiscard]] inline bool may_be_too_large(const LossScaling& scaling) { return scaling.scale > 1; }

/// The loss scaling after a step. A step with a non-finite gradient was skipped and halves the
/// scale; kGoodStepsToGrow finite ones in a row double it.
[[nodiscard]] inline LossScaling after_step(LossScaling scaling, bool gradient_is_finite) {
  if (!gradient_is_finite) {
    ++scaling.skipped_steps;
    scaling.good_steps = 0;
    scaling.scale = std::max<std::int64_t>(1, scaling.scale / 2);
  } else if (++scaling.good_steps == kGoodStepsToGrow) {
    scaling.good_steps = 0;
    scaling.scale = std::min(kLargestLossScale, scaling.scale * 2);
  }
  return scaling;
}

}  // namespace simclr
