#pragma once
// Parts common to the text and the JSON form of a plan.

#include <string>
#include <utility>
#include <vector>

#include "simclr/plan/plan.hpp"

namespace simclr::plan {

/// (step, learning rate) at the first step, the end of the warm-up, halfway from there, and the
/// last step.
std::vector<std::pair<std::int64_t, double>> learning_rate_points(const RunPlan& run);

const char* precision_text(Precision precision);

}  // namespace simclr::plan
