// What the works of a study have come to, read from the files that their commands have written.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "simclr/core/cause.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/file.hpp"
#include "simclr/study/study.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

/// The numbers of results that are measures of a model.
constexpr std::array kMeasures{"top1",       "top5",        "mean_per_class", "test",
                               "validation", "recall_at_1", "recall_at_5",    "recall_at_10",
                               "map_at_r",   "feature_std", "uniformity",     "alignment",
                               "rankme_h",   "rankme_z"};

/// The object in the file; null if there is none.
Json read_object(const fs::path& file) {
  try {
    if (!fs::exists(file)) return {};
    Json json = Json::parse(read_text_file(file), nullptr, false);
    return json.is_object() ? json : Json();
  } catch (const Error&) {
    return {};
  }
}

/// The last error that a command has written to its log; empty without one.
std::string last_error(const fs::path& log) {
  constexpr std::string_view kMark = "simclr: error: ";
  std::string found;
  if (!fs::exists(log)) return found;
  std::istringstream in(read_text_file(log));
  for (std::string line; std::getline(in, line);) {
    const std::size_t at = line.find(kMark);
    if (at != std::string::npos) found = line.substr(at + kMark.size());
  }
  return found;
}

/// Where to look for the reason of a work that has no result, if its command has written anything.
std::string see(const fs::path& log) {
  return fs::exists(log) ? "; see logs/" + log.filename().string() : "";
}

void add_measures(const Json& result, StudyOutcome& outcome) {
  for (const char* name : kMeasures) {
    const auto value = result.find(name);
    if (value == result.end() || !value->is_number()) continue;
    outcome.metrics.emplace_back(name, value->get<double>());
  }
}

/// The last logged values of what the run's task measures.
void add_last_row(const fs::path& run, StudyOutcome& outcome) {
  const std::string config = read_text_file(run / "config.cfg");
  const Objective objective = read_training(config, (run / "config.cfg").string())->objective();
  std::vector<std::pair<std::string, std::optional<double>>> last;
  for (const auto* metrics : {&objective.metrics, &objective.measured}) {
    for (const Metric& metric : *metrics) last.emplace_back(metric.name, std::nullopt);
  }
  std::istringstream in(read_text_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line, nullptr, false);
    if (!row.is_object()) break;
    for (auto& [name, value] : last) {
      const auto found = row.find(name);
      if (found != row.end() && found->is_number()) value = found->get<double>();
    }
  }
  for (const auto& [name, value] : last) {
    if (value) outcome.metrics.emplace_back(name, *value);
  }
}

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t step_of(const Json& json) {
  const auto found = json.find("step");
  return found != json.end() && found->is_number_integer() ? found->get<std::int64_t>() : -1;
}

StudyOutcome trained(const StudyWork& work, const fs::path& log) {
  StudyOutcome outcome;
  const Json state = read_object(work.directory / "state.json");
  const std::string status = text_of(state, "status"), error = last_error(log);
  const std::int64_t step = step_of(state);
  const bool ended_early = text_of(state, "cause") == name_of(Cause::max_steps);
  if (status == "finished" && work.max_steps && step > *work.max_steps) {
    outcome.problem =
        fmt::format("has trained {} steps, more than --max-steps {}", step, *work.max_steps);
  } else if (status == "finished" && ended_early && work.max_steps != step) {
    outcome.problem = fmt::format("ended at step {}, where --max-steps was before", step);
  } else if (status == "finished") {
    outcome.done = true;
    if (work.command == "pretrain") {
      add_last_row(work.directory, outcome);
    } else {
      add_measures(read_object(work.directory / "eval" /
                               fmt::format("{}-step-{:010}.json", work.command, step)),
                   outcome);
    }
  } else if (status == "failed" || status == "stopped-early") {
    outcome.problem = fmt::format("{} at step {}: {}", status == "failed" ? "failed" : "stopped",
                                  step, text_of(state, "reason"));
  } else if (!error.empty()) {
    outcome.problem = "failed: " + error;
  } else if (status == "running") {
    outcome.problem = "running, or ended without a word" + see(log);
  } else {
    outcome.problem = "not started" + see(log);
  }
  return outcome;
}

/// `step`: the last step of the run, if the study has trained it.
StudyOutcome evaluated(const StudyWork& work, const fs::path& log,
                       std::optional<std::int64_t> step) {
  StudyOutcome outcome;
  const Json result = read_object(work.result);
  if (!result.is_null() && (!step || step_of(result) == *step)) {
    outcome.done = true;
    add_measures(result, outcome);
    return outcome;
  }
  const std::string error = last_error(log);
  outcome.problem = error.empty() ? "not evaluated" + see(log) : "failed: " + error;
  return outcome;
}

}  // namespace

bool is_measure(const std::string& name) {
  return std::ranges::find(kMeasures, name) != kMeasures.end();
}

StudyOutcome study_outcome(const Study& study, std::size_t work) {
  const StudyWork& one = study.works()[work];
  std::optional<std::int64_t> step;
  if (one.parent) {
    const StudyOutcome before = study_outcome(study, *one.parent);
    if (!before.done) {
      return {.done = false, .problem = "pretraining: " + before.problem, .metrics = {}};
    }
    step = step_of(read_object(study.works()[*one.parent].directory / "state.json"));
  }
  const fs::path log = study.log_file(one);
  return one.trains() ? trained(one, log) : evaluated(one, log, step);
}

void print_missing_works(const Study& study, std::ostream& out) {
  for (std::size_t w = 0; w < study.works().size(); ++w) {
    const StudyWork& work = study.works()[w];
    if (study_outcome(study, w).done) continue;
    const bool waits = work.parent && !study_outcome(study, *work.parent).done;
    out << fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", work.trains() ? "train" : "evaluate",
                       work.command, study.cell_file(work.cell).string(), work.directory.string(),
                       study.log_file(work).string(),
                       waits ? study.works()[*work.parent].directory.string() : "-");
  }
}

}  // namespace simclr
