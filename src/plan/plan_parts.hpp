#pragma once
// What both forms of a plan say.

#include <string>
#include <utility>
#include <vector>

#include "simclr/plan/plan.hpp"

namespace simclr::plan {

/// (step, learning rate) at the first step, the end of the warm-up, and three more up to the last.
std::vector<std::pair<std::int64_t, double>> learning_rate_points(const RunPlan& run);

const char* precision_text(Precision precision);

}  // namespace simclr::plan
