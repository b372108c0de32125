#pragma once
// What rank 0 tells of a run while it trains: the rows of metrics.jsonl and the progress line.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simclr/io/text_file.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// One logged step; times are means over the steps since the row before.
struct MetricsRow {
  std::int64_t step = 0;        ///< 1 = after the first update
  int restarts = 0;             ///< of the run, before this step
  double epoch = 0;             ///< passes over the data done
  std::vector<double> metrics;  ///< of this step, in the order of the task
  double learning_rate = 0;
  double images_per_second = 0;
  double seconds_step = 0, seconds_data = 0, seconds_checkpoint = 0;
  double seconds_read = 0;                         ///< busy time of rank 0's reading thread
  std::int64_t bytes_read = 0, bytes_fetched = 0;  ///< all ranks, all steps since the row before
  std::optional<PhaseSeconds> phases;              ///< seconds_forward, ...; left out where unset
  std::optional<LossScaling> loss_scaling;  ///< loss_scale, skipped_steps; left out where unset
};

/// Reads (step, value) of one column from the rows up to `last_step`; empty if there is no file.
std::vector<std::pair<std::int64_t, double>> logged_values(const std::filesystem::path& file,
                                                           const std::string& column,
                                                           std::int64_t last_step);

/// metrics.jsonl, written by rank 0. Numbers are written with enough digits to read back exactly.
class MetricsFile {
 public:
  /// Removes rows after `last_step` and opens the file for appending. Each of the `metrics` is a
  /// column.
  MetricsFile(const std::filesystem::path& file, std::vector<Metric> metrics,
              std::int64_t last_step);
  /// Throws IoError when the row cannot be written (full disk).
  void append(const MetricsRow& row);

 private:
  std::vector<Metric> metrics_;
  std::optional<AppendedFile> file_;
};

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

  /// Call it once for every step, before or after add(). `stall_seconds`: waiting for its batch;
  /// `reading`: loading later batches, with the bytes of all ranks.
  void add_data_cost(double stall_seconds, const ReadStatistics& reading);
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
