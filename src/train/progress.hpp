#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "metrics.hpp"

namespace simclr {

/// Rank 0's view of a run: one live line on a terminal, a line an interval in a job's log.
class Progress {
 public:
  Progress(const std::vector<Metric>& metrics, std::int64_t first_step, std::int64_t end_step,
           std::int64_t steps_per_epoch);
  /// After every step; `logged` when a metrics row was written.
  void show(const MetricsRow& row, bool logged);
  /// Ends the live line.
  void finish();

 private:
  [[nodiscard]] std::string metrics_text(const std::vector<double>& values) const;

  std::vector<Metric> metrics_;
  std::int64_t first_step_, end_step_, steps_per_epoch_;
  bool terminal_;
  bool line_open_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_shown_{};
};

}  // namespace simclr
