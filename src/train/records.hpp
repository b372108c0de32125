#pragma once
// What rank 0 tells of a run while it trains: the rows of metrics.jsonl and the progress line.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run_state.hpp"
#include "simclr/io/file.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// The steps of this start: from update `first` up to `end`.
struct Span {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::int64_t steps_per_epoch = 1;
};

/// Reads (step, value) of one column from the rows up to `last_step`; empty if there is no file.
/// Throws RefusedError naming file and line for JSON that is no row, or a value that is no number.
std::vector<std::pair<std::int64_t, double>> logged_values(const std::filesystem::path& file,
                                                           const std::string& column,
                                                           std::int64_t last_step);

/// Shows progress on rank 0: one live line on a terminal, or a line for each logged step in a job's
/// log.
class Progress {
 public:
  Progress(const std::vector<Metric>& metrics, const Span& span);
  /// Call it after every step; `logged`: a row of metrics.jsonl was written for it.
  void show(const StepResult& result, double images_per_second, bool logged);

 private:
  [[nodiscard]] std::string metrics_text(const std::vector<double>& values) const;

  std::vector<Metric> metrics_;
  Span span_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_shown_{};
};

/// Writes metrics.jsonl and shows progress on rank 0; does nothing on other ranks. Numbers are
/// written with enough digits to read back exactly.
class Records {
 public:
  /// Removes rows after the first step. Each of the `metrics` is a column. Every write requires the
  /// fence of `state`.
  Records(const TrainingConfig& config, const std::vector<Metric>& metrics, const Span& span,
          const StateFile& state, bool is_root);

  /// Call it once for every step, before or after add(). `stall_seconds`: waiting for its batch;
  /// `reading`: loading later batches, with the bytes of all ranks.
  void add_data_cost(double stall_seconds, const ReadStatistics& reading);
  /// Call it once after every step. Throws IoError when its row cannot be written (full disk).
  void add(const StepResult& result);
  /// Writes a row of what was measured after a step, counted from 1, and logs it. The time since
  /// the last add() counts for no step.
  void add_measurements(std::int64_t step, const std::vector<Measurement>& measured,
                        double seconds);
  void add_checkpoint_seconds(double seconds) { since_row_.checkpoint_seconds += seconds; }
  void finish();

 private:
  [[nodiscard]] std::string row(const StepResult& result, double seconds_step) const;

  const TrainingConfig& config_;
  std::vector<Metric> metrics_;
  Span span_;
  const StateFile& state_;
  std::optional<AppendedFile> file_;
  std::optional<Progress> progress_;
  /// Sums since the last row.
  struct Sums {
    double stall_seconds = 0, checkpoint_seconds = 0;
    ReadStatistics reading{};
    PhaseSeconds phases{};
    std::int64_t steps = 0;
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  } since_row_;
};

}  // namespace simclr
