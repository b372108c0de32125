#pragma once

#include <cstdint>
#include <string>

namespace simclr {

/// Notices that a run has diverged although its loss stays finite: NT-Xent is bounded, and batch
/// normalisation keeps activations in range, so weights that have blown up or collapsed show as a
/// loss that is no better than guessing the partner among 2N - 1 views, ln(2N - 1), for good.
///
/// Measured by the skill u = (ln(2N - 1) - loss) / (ln(2N - 1) - lowest possible loss): 1 where
/// every pair is found, 0 for guessing, below it for embeddings that are spread but mean nothing;
/// its running mean over about 20 steps smooths small batches' noise. The rule: once the mean has
/// reached 0.05, it has since then been at most 0.005 for `steps` steps in a row. A run that has
/// not learned anything yet is never stopped, however long its warm-up and however bad its
/// untrained loss (at low temperatures it is far above ln(2N - 1)); nor is one with some bad steps.
class DivergenceWatch {
 public:
  /// `steps` 0: never.
  DivergenceWatch(std::int64_t batch_size, double temperature, std::int64_t steps);

  /// After every step, from 1; steps that are left out count as the next that is not.
  void add(std::int64_t step, double loss);
  /// The run goes on after this step; what came before is unknown but for what has been added.
  void go_on_after(std::int64_t step) { step_ = step; }
  [[nodiscard]] bool diverged() const;
  /// A step before anything was amiss, whatever comes to light later: about 74 steps ago, or
  /// earlier.
  [[nodiscard]] std::int64_t healthy_until() const;
  /// Why it has diverged.
  [[nodiscard]] std::string reason() const;

 private:
  double guessing_, lowest_;
  std::int64_t steps_;
  double skill_ = 0;  // running mean
  bool learned_ = false;
  std::int64_t step_ = 0;        // the last one seen
  std::int64_t good_at_ = 0;     // the last one at which nothing was amiss
  std::int64_t skilled_at_ = 0;  // the last one at which the mean was better than guessing
};

}  // namespace simclr
