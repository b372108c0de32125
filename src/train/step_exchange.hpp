#pragma once
// What the host tells a training step and what it hears of it.

#include <array>
#include <cstdint>
#include <memory>

#include "simclr/backend/executor.hpp"

namespace simclr {

/// Nobody waits before a result is taken: a GPU fetches `control` from page-locked memory and
/// leaves the results there, while the host goes on to the next step.
///
/// Order of events for step k, with at most kSteps steps between send and take:
///   send(k) precedes the run of step k precedes ask(k) precedes send(k + 1); take(k) follows
///   ask(k), in the order of the steps, and precedes send(k + kSteps).
class StepExchange {
 public:
  static constexpr int kSteps = 2;

  StepExchange(Executor& executor, Backend& backend);

  /// Sets the step's "control". Where no result is outstanding the "verdict" is cleared: until then
  /// a step that was not finite keeps its successors from updating.
  void send(const std::array<float, 4>& control);
  /// Wants the results of the step that was run last.
  void ask();

  struct Results {
    std::array<double, 3> loss_sums{};
    std::array<std::int32_t, 2> verdict{};
  };
  /// Waits for those of the oldest step that was asked about.
  Results take();

 private:
  struct Words {
    std::array<float, 4> control{};
    Results results;
  };
  struct Slot {
    Buffer memory;
    Words* words = nullptr;  ///< there
    std::unique_ptr<Milestone> answered;
  };
  [[nodiscard]] Slot& slot(std::int64_t step) {
    return slots_[static_cast<std::size_t>(step % kSteps)];
  }

  Executor& executor_;
  TensorId control_, loss_sums_, verdict_;
  std::array<Slot, kSteps> slots_;
  std::int64_t asked_ = 0, taken_ = 0;  ///< steps
};

}  // namespace simclr
