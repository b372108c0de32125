#include "plan_parts.hpp"

#include <algorithm>

#include "simclr/core/check.hpp"

namespace simclr::plan {

std::vector<std::pair<std::int64_t, double>> learning_rate_points(const RunPlan& run) {
  const std::int64_t total = run.schedule.total_steps;
  const std::int64_t warmup = std::min(run.schedule.warmup_steps, total - 1);
  const std::int64_t left = total - 1 - warmup;
  std::vector<std::pair<std::int64_t, double>> points;
  for (const std::int64_t step : {std::int64_t{0}, warmup, warmup + left / 2, total - 1}) {
    if (!points.empty() && step <= points.back().first) continue;
    points.emplace_back(step, run.schedule.learning_rate(step));
  }
  return points;
}

const char* precision_text(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      return "fp16";
    case Precision::automatic:
      break;
  }
  fail("internal error: the precision of a plan was not resolved");
}

}  // namespace simclr::plan
