#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "simclr/train/task.hpp"

namespace simclr {

/// Notices that a run has diverged although its loss stays finite: batch normalization keeps
/// activations in range, and NT-Xent is bounded, so weights that have blown up or collapsed show as
/// a loss that stays no better than guessing.
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
  /// Without levels, or with 0 `steps`, no run has diverged.
  DivergenceWatch(const std::optional<LossLevels>& levels, std::int64_t steps);

  /// After every step, from 1; steps that are left out count as the next that is not.
  void add(std::int64_t step, double loss);
  /// The run goes on after this step; what came before is unknown but for what has been added.
  void go_on_after(std::int64_t step) { step_ = step; }
  [[nodiscard]] bool diverged() const;
  /// A step before anything was amiss, whatever comes to light later: about 74 steps ago, or
  /// earlier.
  [[nodiscard]] std::int64_t healthy_until() const;
  /// Why it has diverged.
  [[nodiscard]] std::string reason(const std::string& guessing_text) const;

 private:
  double guessing_ = 1, lowest_ = 0;
  std::int64_t steps_;
  double skill_ = 0;  // running mean
  bool learned_ = false;
  std::int64_t step_ = 0;        // the last one seen
  std::int64_t good_at_ = 0;     // the last one at which nothing was amiss
  std::int64_t skilled_at_ = 0;  // the last one at which the mean was better than guessing
};

}  // namespace simclr
