#include "run_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "simclr/core/check.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// Limit of hosts that are named individually.
constexpr std::size_t kMaxHosts = 16;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Calls `use` with the file's JSON; adds a malformed file to `unreadable`, ignores a missing one.
void read_json(const fs::path& file, std::vector<std::string>& unreadable,
               const std::function<void(const Json&)>& use) {
  if (!fs::exists(file)) return;
  try {
    use(Json::parse(read_text_file(file)));
  } catch (const nlohmann::json::exception&) {
    unreadable.push_back(file.filename().string());
  } catch (const Error&) {
    unreadable.push_back(file.filename().string());
  }
}

RunStateText parse_state(const Json& json) {
  return {.status = json.at("status"),
          .reason = json.value("reason", ""),
          .step = json.at("step"),
          .restarts = json.value("restarts", std::int64_t{0})};
}

std::vector<std::optional<double>> parse_class_accuracies(const Json& json) {
  std::vector<std::optional<double>> accuracies;
  for (const Json& value : json.value("per_class_accuracy", Json::array())) {
    accuracies.emplace_back();
    if (!value.is_null()) accuracies.back() = value.get<double>();
  }
  return accuracies;
}

Evaluation parse_evaluation(const std::string& name, const Json& json) {
  return {.name = name,
          .protocol = json.at("protocol"),
          .test_data = json.value("test_data", ""),
          .checkpoint = json.value("checkpoint", ""),
          .step = json.value("step", std::int64_t{0}),
          .samples = json.at("samples"),
          .top1 = json.at("top1"),
          .top5 = json.at("top5"),
          .per_class = parse_class_accuracies(json),
          .class_names = json.value("class_names", std::vector<std::string>())};
}

QualityResult parse_quality(const std::string& name, const Json& json) {
  QualityResult quality{.name = name,
                        .data = json.value("data", ""),
                        .checkpoint = json.value("checkpoint", ""),
                        .step = json.value("step", std::int64_t{0}),
                        .samples = json.at("samples"),
                        .measures = {}};
  for (const char* key : {"feature_std", "uniformity", "alignment", "rankme_h", "rankme_z"}) {
    const Json& value = json.at(key);
    quality.measures.emplace_back(key, value.is_null() ? kNone : value.get<double>());
  }
  return quality;
}

/// "8 x NVIDIA H100, 8 x AMD EPYC", in the order of the ranks.
std::string count_names(const Json& ranks, const char* key) {
  std::vector<std::pair<std::string, int>> counts;
  for (const Json& rank : ranks) {
    const std::string name = rank.at(key);
    const auto found = std::ranges::find(counts, name, &std::pair<std::string, int>::first);
    if (found == counts.end()) {
      counts.emplace_back(name, 1);
    } else {
      ++found->second;
    }
  }
  std::vector<std::string> texts;
  for (const auto& [name, count] : counts) {
    if (texts.size() == kMaxHosts) {
      texts.push_back(fmt::format("and {} more", counts.size() - kMaxHosts));
      break;
    }
    texts.push_back(count == 1 ? name : fmt::format("{} x {}", count, name));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

Facts parse_environment(const Json& json) {
  const Json& ranks = json.at("ranks");
  const Json& libraries = json.at("libraries");
  return {{"Version", json.at("version")},
          {"Commit", json.at("git_commit")},
          {"Compiler", json.at("compiler")},
          {"Ranks", std::to_string(ranks.size())},
          {"Threads per rank", std::to_string(ranks.at(0).at("threads").get<int>())},
          {"Hosts", count_names(ranks, "host")},
          {"Devices", count_names(ranks, "description")},
          {"Job", json.value("job", "")},
          {"MPI", libraries.at("mpi")},
          {"HDF5", libraries.at("hdf5")},
          {"Compute libraries", libraries.at("compute")}};
}

void read_evaluations(const fs::path& directory, RunData& run) {
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(directory, absent)) {
    if (entry.path().extension() != ".json") continue;
    const std::string name = entry.path().stem().string();
    read_json(entry.path(), run.unreadable, [&](const Json& json) {
      if (json.value("protocol", "") == "quality") {
        run.qualities.push_back(parse_quality(name, json));
      } else if (!json.contains("protocol") || json.contains("top1")) {  // others have no accuracy
        run.evaluations.push_back(parse_evaluation(name, json));
      }
    });
  }
  const auto is_before = [](const auto& a, const auto& b) {
    return a.step != b.step ? a.step > b.step : a.name < b.name;
  };
  std::ranges::sort(run.evaluations, is_before);
  std::ranges::sort(run.qualities, is_before);
}

}  // namespace

MetricsTable::MetricsTable(const std::filesystem::path& file) {
  if (!fs::exists(file)) return;
  std::istringstream in(read_text_file(file));
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

bool is_run_directory(const fs::path& directory) { return fs::exists(directory / "config.cfg"); }

RunData read_run(const fs::path& directory) {
  const fs::path stored = directory / "config.cfg";
  if (!is_run_directory(directory)) {
    refuse("{}: holds no run (it has no config.cfg)", directory.string());
  }
  RunData run;
  run.name = fs::canonical(directory).filename().string();
  run.config = read_training(read_text_file(stored), stored.string());
  run.options = declared_options(*run.config).values();
  try {
    run.metrics = MetricsTable(directory / "metrics.jsonl");
  } catch (const Error&) {
    run.unreadable.emplace_back("metrics.jsonl");
  }
  read_json(directory / "state.json", run.unreadable,
            [&](const Json& json) { run.state = parse_state(json); });
  read_json(directory / "environment.json", run.unreadable,
            [&](const Json& json) { run.environment = parse_environment(json); });
  read_evaluations(directory / "eval", run);
  return run;
}

}  // namespace simclr
