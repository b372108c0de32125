#pragma once
// Reads the files of a run directory without changing them.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simclr/train/encoder_training.hpp"

namespace simclr {

using Json = nlohmann::ordered_json;

using Facts = std::vector<std::pair<std::string, std::string>>;

/// The rows of a metrics.jsonl, up to the first incomplete one (after a crash, or while a run is
/// writing it).
class MetricsTable {
 public:
  MetricsTable() = default;
  /// A missing file has no rows.
  explicit MetricsTable(const std::filesystem::path& file);

  [[nodiscard]] std::size_t rows() const { return steps_.size(); }
  [[nodiscard]] const std::vector<double>& steps() const { return steps_; }
  /// Names of the columns that have a number in any row, in alphabetical order.
  [[nodiscard]] std::vector<std::string> names() const;
  /// One value per row, NaN when the row has none; all NaN for an unknown name.
  [[nodiscard]] std::vector<double> column(const std::string& name) const;

 private:
  std::vector<double> steps_;
  std::map<std::string, std::vector<double>> columns_;
};

/// The contents of state.json; `status` is empty when it is missing or unreadable.
struct RunStateText {
  std::string status, reason;
  std::int64_t step = 0;
  std::int64_t restarts = 0;
};

/// The contents of one eval/NAME.json.
struct Evaluation {
  std::string name, protocol, test_data, checkpoint;
  std::int64_t step = 0, samples = 0;
  double top1 = 0, top5 = 0;  ///< fractions
  /// Accuracy of each class, nothing for a class without samples; empty in earlier results.
  std::vector<std::optional<double>> per_class;
  std::vector<std::string> class_names;  ///< empty if the classes have no names
};

/// The contents of one eval/quality-*.json: feature_std, uniformity, alignment, rankme_h, rankme_z.
struct QualityResult {
  std::string name, data, checkpoint;
  std::int64_t step = 0, samples = 0;
  /// By the result's keys; NaN if it was not measured.
  std::vector<std::pair<std::string, double>> measures;
};

struct RunData {
  std::string name;  ///< name of the directory
  AnyTraining config;
  Facts options;  ///< all of config.cfg
  RunStateText state;
  MetricsTable metrics;
  std::vector<Evaluation> evaluations;   ///< newest checkpoint first
  std::vector<QualityResult> qualities;  ///< newest checkpoint first
  Facts environment;                     ///< environment.json as titles and values
  std::vector<std::string> unreadable;   ///< files that exist but cannot be read
};

/// True when the directory holds a run's configuration.
bool is_run_directory(const std::filesystem::path& directory);

/// Reads a run. Throws RefusedError when the directory holds no run or its configuration cannot be
/// read.
RunData read_run(const std::filesystem::path& directory);

}  // namespace simclr
