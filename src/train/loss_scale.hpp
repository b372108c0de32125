#pragma once
// Dynamic loss scaling for fp16 (Micikevicius et al. 2018, section 3.2): the loss is multiplied by
// a power of two, so that small gradients do not vanish in 16 bits, and the update divides by it.

#include "simclr/io/checkpoint.hpp"

namespace simclr {

/// Steps without an infinite or NaN gradient after which a greater scale is tried.
inline constexpr std::int64_t kGoodStepsToGrow = 2000;
/// Exact in f32, and far beyond what a gradient in f16 can follow.
inline constexpr std::int64_t kLargestLossScale = std::int64_t{1} << 24;

/// Whether a gradient that is not finite may be the scale's doing; at a scale of 1 it is not.
[[nodiscard]] bool may_be_too_large(const LossScaling& scaling);

/// What follows from a step: one with a gradient that is not finite was skipped, and halves the
/// scale; after kGoodStepsToGrow good ones in a row it is doubled.
[[nodiscard]] LossScaling after_step(LossScaling scaling, bool gradient_is_finite);

}  // namespace simclr
