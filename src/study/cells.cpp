// The cells of a study and the works that they share.

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "files.hpp"
#include "simclr/core/check.hpp"
#include "simclr/study/study.hpp"
#include "sources.hpp"
#include "text.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// The name of a work whose command has no axis.
constexpr const char* kNoAxis = "base";
constexpr std::size_t kMostCells = 10'000;

bool is_evaluation(const std::string& command) {
  return command == "quality" || command == "knn" || command == "linear-eval";
}

bool has_option(const Options& options, const std::string& name) {
  const auto values = options.values();
  return std::ranges::find(values, name, &std::pair<std::string, std::string>::first) !=
         values.end();
}

std::string value_of(const Options& options, const std::string& name) {
  for (const auto& [known, value] : options.stored_values()) {
    if (known == name) return value;
  }
  return "";
}

/// Nothing if the command does not have the option, or it is not set.
std::optional<std::int64_t> number_of(const Options& options, const std::string& name) {
  const std::string value = value_of(options, name);
  if (value.empty()) return {};
  return std::stoll(value);
}

}  // namespace

bool Study::has_axis_of(const std::string& command) const {
  return std::ranges::any_of(axes_, [&](const StudyAxis& axis) {
    return std::ranges::find(axis.options, command, &StudyAxis::Option::command) !=
           axis.options.end();
  });
}

/// "option-value_option-value" for the command's options of axes; empty if it has none.
std::string Study::axis_name(const std::string& command,
                             const std::vector<std::size_t>& picks) const {
  std::vector<std::string> parts;
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    for (std::size_t o = 0; o < axes_[a].options.size(); ++o) {
      const StudyAxis::Option& option = axes_[a].options[o];
      if (option.command != command) continue;
      parts.push_back(option.name + "-" + axes_[a].values[picks[a]][o]);
    }
  }
  return fmt::format("{}", fmt::join(parts, "_"));
}

void Study::make_cells(const StudySources& sources, const StudyCommands& commands) {
  const std::size_t count = std::accumulate(
      axes_.begin(), axes_.end(), std::size_t{1}, [](std::size_t n, const StudyAxis& axis) {
        return std::min(n * axis.values.size(), kMostCells + 1);
      });
  if (count > kMostCells) refuse("{}: a study has at most {} cells", sources.origin, kMostCells);
  std::map<std::vector<std::string>, std::size_t> rows;
  for (std::size_t c = 0; c < count; ++c) {
    StudyCell cell;
    std::vector<std::size_t> picks(axes_.size());
    for (std::size_t a = axes_.size(), rest = c; a-- > 0; rest /= axes_[a].values.size()) {
      picks[a] = rest % axes_[a].values.size();
    }
    std::vector<std::string> shown, parts;
    for (std::size_t a = 0; a < axes_.size(); ++a) {
      const auto& value = axes_[a].values[picks[a]];
      for (std::size_t o = 0; o < value.size(); ++o) {
        cell.values.push_back(value[o]);
        parts.push_back(axes_[a].options[o].written + "-" + value[o]);
        if (!axes_[a].is_seed()) shown.push_back(value[o]);
      }
    }
    cell.name = file_name(fmt::format("{}", fmt::join(parts, "_")));
    cell.row = rows.emplace(std::move(shown), rows.size()).first->second;
    std::optional<std::size_t> pretraining;
    for (const std::string& command : commands_) {
      const bool follows = command != "pretrain" && command != "supervised";
      const std::size_t work =
          make_work(command, sources, commands, picks, follows ? pretraining : std::nullopt);
      if (command == "pretrain") pretraining = work;
      cell.works.push_back(work);
    }
    cells_.push_back(std::move(cell));
  }
  rows_ = rows.size();
}

/// Completes the data of a command that takes them from the pretraining run.
void Study::set_data(const std::string& command, Options& options, const StudySources& sources,
                     std::optional<std::size_t> parent) const {
  std::vector<std::pair<std::string, std::string>> from;  // option and pretraining's option
  if (command == "finetune" || command == "supervised") {
    from = {{"data", "data"}, {"eval-data", "eval-data"}};
  } else if (command == "quality") {
    from = {{"data", "eval-data"}};
  } else if (command != "pretrain") {
    from = {{"train-data", "data"}, {"test-data", "eval-data"}};
  }
  for (const auto& [name, source] : from) {
    const bool by_axis = std::ranges::any_of(axes_, [&](const StudyAxis& axis) {
      return std::ranges::any_of(axis.options, [&](const StudyAxis::Option& o) {
        return o.command == command && o.name == name;
      });
    });
    // A common option "data" is what to train on, not what quality measures on.
    const bool given = options.given(name) && (command != "quality" || sources.sets(command, name));
    if (by_axis || given) continue;
    std::string path = (source == "data" ? config_.data : config_.eval_data).string();
    if (parent) {
      for (const auto& [known, value] : run_data_[*parent]) {
        if (known == source) path = value;
      }
    }
    if (path.empty() && is_evaluation(command)) {
      refuse("option --{}: missing; give DIR, the {} images of '{}'", source,
             source == "data" ? "training" : "test", command);
    }
    if (!path.empty()) options.set_in_file(name, path, sources.origin + ": ");
  }
}

std::size_t Study::make_work(const std::string& command, const StudySources& sources,
                             const StudyCommands& commands, const std::vector<std::size_t>& picks,
                             std::optional<std::size_t> parent) {
  const DeclaredCommand declared = commands.declare(command);
  Options& options = *declared.options;
  const std::string where = sources.origin + ": ";
  sources.apply(options);
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    for (std::size_t o = 0; o < axes_[a].options.size(); ++o) {
      const StudyAxis::Option& option = axes_[a].options[o];
      if (option.command != command) continue;
      options.set_in_file(option.name, axes_[a].values[picks[a]][o], axes_[a].where);
    }
  }
  for (const std::string& name : options_of_study(parent.has_value())) {
    if (!options.given(name)) continue;
    refuse("{}option --{}: the study sets it for each cell; leave it out of '{}'", where, name,
           command);
  }
  set_data(command, options, sources, parent);
  StudyWork work{.command = command,
                 .name = "",
                 .directory = {},
                 .result = {},
                 .parent = parent,
                 .cell = cells_.size(),
                 .arguments = options.given_arguments({}),
                 .section = "",
                 .identity = command,
                 .batch_size = {},
                 .max_steps = {}};
  for (const auto& [name, value] : options.stored_values()) {
    work.identity += fmt::format("\n{} = {}", name, value);
  }
  if (parent) work.identity += "\nof " + works_[*parent].identity;
  const auto same = std::ranges::find(works_, work.identity, &StudyWork::identity);
  if (same != works_.end()) return static_cast<std::size_t>(same - works_.begin());

  const std::string own = axis_name(command, picks);
  const std::string of_parent = parent ? works_[*parent].name : "";
  work.name =
      own.empty()
          ? (parent ? of_parent : kNoAxis)
          : file_name(of_parent.empty() || of_parent == kNoAxis ? own : of_parent + "_" + own);
  const auto set = [&](const char* name, const fs::path& value) {
    options.set_in_file(name, value.string(), where);
  };
  if (parent) set("checkpoint", works_[*parent].directory);
  if (is_evaluation(command)) {
    const std::string stem = file_name(own.empty() ? command : command + "_" + own);
    work.directory = (parent ? works_[*parent].directory : directory()) / "eval";
    work.result = work.directory / (stem + ".json");
    if (parent && has_option(options, "name")) {
      set("name", stem);
    } else {
      set("output", work.result);
    }
  } else {
    work.directory = directory() / command / work.name;
    set("run-dir", work.directory);
    work.arguments.push_back("--run-dir=" + work.directory.string());
    work.batch_size = number_of(options, "batch-size");
    work.max_steps = number_of(options, "max-steps");
  }
  if (parent) work.arguments.push_back("--checkpoint=" + works_[*parent].directory.string());
  work.section = options.text(command, not_given(options));
  run_data_.push_back({{"data", has_option(options, "data") ? value_of(options, "data") : ""},
                       {"eval-data", value_of(options, "eval-data")}});
  works_.push_back(std::move(work));
  return works_.size() - 1;
}

void Study::require_unique_cells() const {
  std::map<std::vector<std::size_t>, const StudyCell*> seen;
  for (const StudyCell& cell : cells_) {
    const auto [first, is_new] = seen.emplace(cell.works, &cell);
    if (is_new) continue;
    refuse("{}: cells {} and {} are the same: they have equal options",
           study_file(config_.file).string(), first->second->name, cell.name);
  }
}

}  // namespace simclr
