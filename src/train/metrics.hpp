#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simclr/io/file.hpp"
#include "simclr/train/trainer.hpp"

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

}  // namespace simclr
