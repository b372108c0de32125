#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace simclr {

/// The rows of a metrics.jsonl. A row that is cut in the middle (a crash, or a run that writes it
/// at this moment) ends it.
class MetricsTable {
 public:
  MetricsTable() = default;
  /// An absent file has no rows.
  explicit MetricsTable(const std::filesystem::path& file);

  [[nodiscard]] std::size_t rows() const { return steps_.size(); }
  [[nodiscard]] const std::vector<double>& steps() const { return steps_; }
  /// Names of the columns that have a number in any row, in alphabetical order.
  [[nodiscard]] std::vector<std::string> names() const;
  /// One value a row, NaN where it has none; all NaN for an unknown name.
  [[nodiscard]] std::vector<double> column(const std::string& name) const;

 private:
  std::vector<double> steps_;
  std::map<std::string, std::vector<double>> columns_;
};

}  // namespace simclr
