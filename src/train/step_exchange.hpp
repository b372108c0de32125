#pragma once
// What the host tells a training step and what it hears of it.

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "simclr/backend/executor.hpp"

namespace simclr {

/// The host waits only in take(): a GPU fetches `control` from page-locked memory and leaves the
/// results there, while the host goes on to the next step.
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
  /// Has the results of the step that was run last sent to the host.
  void ask();

  struct Results {
    std::span<const double> sums;  ///< valid until send() has been called kSteps times
    std::array<std::int32_t, 2> verdict{};
  };
  /// Waits for the results of the oldest step that ask() was called for.
  Results take();

 private:
  struct Words {
    std::array<float, 4> control{};
    std::array<std::int32_t, 2> verdict{};
  };
  struct Slot {
    Buffer memory;  ///< of the two below
    Words* words = nullptr;
    std::span<double> sums;
    std::unique_ptr<Milestone> answered;
  };
  [[nodiscard]] Slot& slot(std::int64_t step) {
    return slots_[static_cast<std::size_t>(step % kSteps)];
  }

  Executor& executor_;
  TensorId control_, sums_, verdict_;
  std::array<Slot, kSteps> slots_;
  std::int64_t asked_ = 0, taken_ = 0;  ///< steps
};

}  // namespace simclr
