#include "loss_scale.hpp"

#include <algorithm>

namespace simclr {

bool may_be_too_large(const LossScaling& scaling) { return scaling.scale > 1; }

LossScaling after_step(LossScaling scaling, bool gradient_is_finite) {
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
