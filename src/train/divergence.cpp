#include "divergence.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace simclr {
namespace {

constexpr double kSmoothing = 1.0 / 20;
constexpr double kLearnedSkill = 0.05;
constexpr std::int64_t kStepsToLearn = 100;
constexpr double kHealthySkill = kLearnedSkill / 2;
constexpr double kGuessingSkill = 0.005;
/// Steps in which a running mean of 1 falls to kHealthySkill after the skill has dropped to 0: ln(1
/// / 0.025) / (1 / 20) = 74.
constexpr std::int64_t kHealthyLagSteps = 74;

}  // namespace

DivergenceWatch::DivergenceWatch(const std::optional<LossLevels>& levels, std::int64_t steps)
    : steps_(levels ? steps : 0) {
  if (!levels) return;
  guessing_ = levels->guessing;
  lowest_ = levels->lowest;
}

void DivergenceWatch::add(std::int64_t step, double loss) {
  if (steps_ == 0) {
    step_ = last_healthy_step_ = last_skilled_step_ = step;
    return;
  }
  // At very low temperatures a single loss can be hundreds too high: clamp it, so that one step
  // does not dominate the mean.
  const double skill = std::clamp((guessing_ - loss) / (guessing_ - lowest_), -1.0, 1.0);
  for (; step_ < step; ++step_) skill_ += kSmoothing * (skill - skill_);
  if (skill_ >= kLearnedSkill) learned_ = true;
  if (!learned_ || skill_ > kHealthySkill) last_healthy_step_ = step;
  if (!learned_ || skill_ > kGuessingSkill) last_skilled_step_ = step;
}

bool DivergenceWatch::diverged() const {
  return steps_ > 0 && step_ - last_skilled_step_ >= steps_;
}

bool DivergenceWatch::learned_nothing() const {
  return steps_ > 0 && !learned_ && step_ >= kStepsToLearn;
}

std::int64_t DivergenceWatch::healthy_until() const {
  return std::max<std::int64_t>(0, last_healthy_step_ - kHealthyLagSteps);
}

std::string DivergenceWatch::reason(const std::string& guessing_text) const {
  return fmt::format(
      "its loss has been no better than guessing, {} = {:.4f}, from step {} to {}, after it had "
      "been",
      guessing_text, guessing_, last_skilled_step_ + 1, step_);
}

}  // namespace simclr
