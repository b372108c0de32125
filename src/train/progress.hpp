#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "metrics.hpp"

namespace simclr {

/// Shows progress on rank 0: one live line on a terminal, or a line for each logged step in a job's
/// log.
class Progress {
 public:
  Progress(const std::vector<Metric>& metrics, std::int64_t first_step, std::int64_t end_step,
           std::int64_t steps_per_epoch);
  /// Call it after every step; `logged`: a row of metrics.jsonl was written for it.
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
