#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace simclr {

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

}  // namespace simclr
