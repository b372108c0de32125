#include "metrics_table.hpp"

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

namespace simclr {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

MetricsTable::MetricsTable(const std::filesystem::path& file) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, false);
    const auto step = row.is_object() ? row.find("step") : row.end();
    if (step == row.end() || !step->is_number()) break;
    steps_.push_back(step->get<double>());
    for (const auto& [name, value] : row.items()) {
      if (!value.is_number()) continue;
      std::vector<double>& values = columns_[name];
      values.resize(steps_.size(), kNone);
      values.back() = value.get<double>();
    }
  }
  for (auto& [name, values] : columns_) values.resize(steps_.size(), kNone);
}

std::vector<std::string> MetricsTable::names() const {
  std::vector<std::string> names;
  names.reserve(columns_.size());
  for (const auto& [name, values] : columns_) names.push_back(name);
  return names;
}

std::vector<double> MetricsTable::column(const std::string& name) const {
  const auto found = columns_.find(name);
  return found != columns_.end() ? found->second : std::vector<double>(rows(), kNone);
}

}  // namespace simclr
