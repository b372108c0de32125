#pragma once
// Transfers between the host and a training step: its "control" values up, its results down.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "simclr/backend/executor.hpp"

namespace simclr {

/// The host waits only in wait_for_results(): a GPU copies "control" from page-locked memory and
/// its results back there while the host prepares the next step.
///
/// Order of calls for step k, with at most kSteps steps between send_control and wait_for_results:
///   send_control(k) precedes the run of step k precedes request_results(k) precedes send_control(k
///   + 1); wait_for_results(k) follows request_results(k), in the order of the steps, and precedes
///   send_control(k + kSteps).
class StepExchange {
 public:
  static constexpr int kSteps = 2;

  /// `results`: named f64 tensors, see Task.
  StepExchange(Executor& executor, const std::vector<std::string>& results, Backend& backend);

  /// Sends the step's "control". Clears "verdict" only if no result is outstanding: until then a
  /// non-finite step prevents the updates of the steps after it.
  void send_control(std::span<const float> control);
  /// Starts copying the results of the last step run to the host.
  void request_results();

  struct Results {
    /// The elements of all results; valid until send_control() has been called kSteps times.
    std::span<const double> results;
    std::array<std::int32_t, 2> verdict{};
  };
  /// Waits for the results of the oldest step whose results were requested.
  Results wait_for_results();

 private:
  struct Words {
    std::array<float, std::size_t{2} * kControls> control{};  ///< of at most two optimizers
    std::array<std::int32_t, 2> verdict{};
  };
  struct Slot {
    Buffer memory;  ///< holds `words` and `results`
    Words* words = nullptr;
    std::span<double> results;
    std::unique_ptr<Milestone> arrived;
  };
  [[nodiscard]] Slot& slot(std::int64_t step) {
    return slots_[static_cast<std::size_t>(step % kSteps)];
  }

  [[nodiscard]] std::size_t elements_of(TensorId tensor) const;

  Executor& executor_;
  TensorId control_, verdict_;
  std::vector<TensorId> results_;
  std::array<Slot, kSteps> slots_;
  std::int64_t requested_ = 0, received_ = 0;  ///< steps
};

}  // namespace simclr
