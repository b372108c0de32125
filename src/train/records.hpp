#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "metrics.hpp"
#include "progress.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// The steps of this start: from update `first` up to `end`.
struct Span {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::int64_t steps_per_epoch = 1;
};

/// Writes metrics.jsonl and shows progress on rank 0; does nothing on other ranks.
class Records {
 public:
  Records(const TrainingConfig& config, const std::vector<Metric>& metrics, const Span& span,
          int restarts, bool is_root);

  /// Time and bytes that data cost during a step: waiting for its batch, and loading later batches.
  struct DataCost {
    double stall_seconds = 0;
    double read_seconds = 0;
    std::int64_t bytes_read = 0, bytes_fetched = 0;  ///< by all ranks
  };
  /// Call it once for every step, before or after add().
  void add_data_cost(const DataCost& data);
  /// Call it once after every step.
  void add(const StepResult& result);
  void add_checkpoint_seconds(double seconds) { sums_.seconds_checkpoint += seconds; }
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] MetricsRow mean_row(std::int64_t step, const StepResult& result) const;
  void start_interval();

  const TrainingConfig& config_;
  Span span_;
  int restarts_;
  std::optional<MetricsFile> metrics_;
  std::optional<Progress> progress_;
  // Sums since the last row.
  MetricsRow sums_;
  PhaseSeconds phases_;
  std::int64_t steps_ = 0;
  Clock::time_point interval_start_ = Clock::now();
};

}  // namespace simclr
