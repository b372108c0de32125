#include "divergence.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace simclr {
namespace {

constexpr double kSmoothing = 1.0 / 20;
constexpr double kLearned = 0.05;
constexpr double kAmiss = kLearned / 2;
constexpr double kGuessing = 0.005;
/// Steps after which even a mean of 1 has fallen to kAmiss when the skill is gone at once:
/// ln(1 / 0.025) / (1 / 20) = 74.
constexpr std::int64_t kLag = 74;

}  // namespace

DivergenceWatch::DivergenceWatch(const std::optional<LossLevels>& levels, std::int64_t steps)
    : steps_(levels ? steps : 0) {
  if (!levels) return;
  guessing_ = levels->guessing;
  lowest_ = levels->lowest;
}

void DivergenceWatch::add(std::int64_t step, double loss) {
  if (steps_ == 0) {
    step_ = good_at_ = skilled_at_ = step;
    return;
  }
  // One step of a very low temperature can be off by hundreds: it counts as "very bad".
  const double skill = std::clamp((guessing_ - loss) / (guessing_ - lowest_), -1.0, 1.0);
  for (; step_ < step; ++step_) skill_ += kSmoothing * (skill - skill_);
  if (skill_ >= kLearned) learned_ = true;
  if (!learned_ || skill_ > kAmiss) good_at_ = step;
  if (!learned_ || skill_ > kGuessing) skilled_at_ = step;
}

bool DivergenceWatch::diverged() const { return steps_ > 0 && step_ - skilled_at_ >= steps_; }

std::int64_t DivergenceWatch::healthy_until() const {
  return std::max<std::int64_t>(0, good_at_ - kLag);
}

std::string DivergenceWatch::reason(const std::string& guessing_text) const {
  return fmt::format(
      "its loss has been no better than that of guessing, {} = {:.4f}, from step {} to {}, after "
      "it "
      "had been",
      guessing_text, guessing_, skilled_at_ + 1, step_);
}

}  // namespace simclr
