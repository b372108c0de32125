#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "simclr/train/task.hpp"

namespace simclr {

/// Detects that a run has diverged although its loss is finite: batch normalization keeps
/// activations in range and NT-Xent is bounded, so exploded or collapsed weights only show as a
/// loss that stays no better than guessing.
///
/// It watches the skill u = (guessing - loss) / (guessing - lowest), in the task's LossLevels: 1
/// for a perfect model, 0 for guessing, negative for a model that is confidently wrong. The running
/// mean of u over about 20 steps smooths the noise of small batches. A run has diverged when this
/// mean, having reached 0.05 at some step, has been at most 0.005 for `steps` steps in a row. A run
/// that has not learned anything yet is never stopped, however long its warm-up and however bad its
/// untrained loss (NT-Xent at low temperatures starts far above guessing); nor is one with a few
/// bad steps.
class DivergenceWatch {
 public:
  /// Never reports divergence if `levels` is empty or `steps` is 0.
  DivergenceWatch(const std::optional<LossLevels>& levels, std::int64_t steps);

  /// Adds the loss of a step, counted from 1. Steps that are skipped count as having the loss of
  /// the next step added.
  void add(std::int64_t step, double loss);
  /// Call it when a run resumes after `step`: skipped steps up to it are ignored.
  void resume_after(std::int64_t step) { step_ = step; }
  [[nodiscard]] bool diverged() const;
  /// A step at which the run was healthy, whatever later losses show: about 74 steps ago or
  /// earlier.
  [[nodiscard]] std::int64_t healthy_until() const;
  /// Whether so many steps, and none of them with a mean skill of 0.05, mean that the run does not
  /// learn. False if divergence is not watched.
  [[nodiscard]] bool learned_nothing() const;
  /// Explains, for an error message, why the run counts as diverged.
  [[nodiscard]] std::string reason(const std::string& guessing_text) const;

 private:
  double guessing_ = 1, lowest_ = 0;
  std::int64_t steps_;
  double skill_ = 0;  // running mean
  bool learned_ = false;
  std::int64_t step_ = 0;               // the last step added
  std::int64_t last_healthy_step_ = 0;  // the last step with a healthy mean
  std::int64_t last_skilled_step_ = 0;  // the last step with a mean better than guessing
};

}  // namespace simclr
