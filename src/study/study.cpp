// Reads a study's file.

#include "simclr/study/study.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "files.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/config_file.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/names.hpp"
#include "sources.hpp"
#include "text.hpp"

namespace simclr {
namespace fs = std::filesystem;

void declare_study(Options& options, StudyConfig& config) {
  options.group("study")
      .positional("file", config.file,
                  "study file to make the cells of, or the directory of a study to go on with")
      .argument("FILE|DIR")
      .add("output", config.output, "directory of the study: its runs, configurations and tables")
      .argument("DIR")
      .add("name", config.name, "title of the tables; unset: the name of the file")
      .add("recipe", config.recipe,
           "configuration file whose options the cells begin with; seen from the study file");
  options.group("data")
      .add("data", config.data, "images to train on: a directory of shards")
      .argument("DIR")
      .add("eval-data", config.eval_data, "labeled images to test on: a directory of shards")
      .argument("DIR");
  options.group("published figures")
      .add(
          "paper", config.paper,
          "published figures to show beside the cells: one for each line of the table, with commas "
          "between them; - where there is none")
      .add("paper-title", config.paper_title, "where the figures are published, and of what")
      .add("paper-metric", config.paper_metric,
           "metric that the figures stand beside, such as linear-eval.top1; unset: the first "
           "accuracy");
}

std::vector<std::string> options_of_study(bool has_pretraining) {
  std::vector<std::string> names{"run-dir", "output", "name", "predictions", "resume"};
  if (has_pretraining) names.insert(names.end(), {"checkpoint", "weights"});
  return names;
}

fs::path study_file(const fs::path& file) {
  if (!fs::is_directory(file)) return file;
  if (!fs::exists(file / kStudyFile)) {
    refuse("option --file: {} holds no study (it has no {}); name a study file", file.string(),
           kStudyFile);
  }
  return file / kStudyFile;
}

namespace {

/// The text without the lines of common options of these names, in whose place empty lines stay.
std::string without_common(const std::string& text, const std::vector<ConfigEntry>& entries,
                           const std::vector<std::string>& names) {
  std::set<int> lines;
  for (const ConfigEntry& e : entries) {
    if (e.section.empty() && std::ranges::find(names, e.name) != names.end()) lines.insert(e.line);
  }
  std::string kept;
  int line = 1;
  bool skip = lines.contains(line);
  for (const char c : text) {
    if (c == '\n') skip = lines.contains(++line);
    if (c == '\n' || !skip) kept += c;
  }
  return kept;
}

void require_sections(const std::vector<ConfigEntry>& entries, const std::string& origin) {
  std::vector<std::string> known{"study", "axes"};
  known.insert(known.end(), study_commands().begin(), study_commands().end());
  for (const ConfigEntry& e : entries) {
    if (e.section.empty() || std::ranges::find(known, e.section) != known.end()) continue;
    refuse("{}:{}: section [{}]: a study has {}{}", origin, e.line, excerpt(e.section),
           fmt::format("{}", fmt::join(known, ", ")), suggestion(e.section, known));
  }
}

std::string data_lines(const StudyConfig& config) {
  std::string lines;
  const auto add = [&](const char* name, const fs::path& path) {
    if (!path.empty()) lines += fmt::format("{} = {}\n", name, fs::absolute(path).string());
  };
  add("data", config.data);
  add("eval-data", config.eval_data);
  return lines;
}

/// The lines of section [study].
std::string study_text(const StudyConfig& config) {
  std::string text = "[study]\n";
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"name", config.name},
           {"paper", config.paper},
           {"paper-title", config.paper_title},
           {"paper-metric", config.paper_metric}}) {
    if (!value.empty()) text += fmt::format("{} = {}\n", name, value);
  }
  return text;
}

/// The lines of section [axes], with the options and values as written.
std::string axes_text(const std::vector<ConfigEntry>& entries) {
  std::string text = "[axes]\n";
  for (const ConfigEntry& e : entries) {
    if (e.section == "axes" && !e.name.empty()) text += e.name + " = " + e.value + "\n";
  }
  return text;
}

}  // namespace

Study::Study(StudyConfig config, const StudyCommands& commands) : config_(std::move(config)) {
  StudySources sources{.recipe = "",
                       .recipe_origin = "",
                       .data = data_lines(config_),
                       .file = "",
                       .origin = study_file(config_.file).string(),
                       .sections = {},
                       .settings = {}};
  const std::string text = read_config(sources.origin, "file");
  const auto entries = parse_config(text, sources.origin);
  require_sections(entries, sources.origin);
  sources.file = without_common(text, entries, {"data", "eval-data"});
  for (const ConfigEntry& e : entries) {
    sources.sections.insert(e.section);
    if (!e.name.empty()) sources.settings.push_back(e.section + "." + e.name);
  }
  if (config_.recipe) {
    const fs::path recipe = fs::path(sources.origin).parent_path() / *config_.recipe;
    sources.recipe_origin = recipe.string();
    sources.recipe = read_config(recipe, "recipe");
    for (const ConfigEntry& e : parse_config(sources.recipe, sources.recipe_origin)) {
      sources.sections.insert(e.section);
    }
  }
  if (config_.name.empty()) config_.name = fs::path(sources.origin).stem().string();
  axes_ = parse_axes(text, sources.origin);
  for (const std::string& command : study_commands()) {
    if (sources.sections.contains(command) || has_axis_of(command)) commands_.push_back(command);
  }
  make_cells(sources, commands);
  require_unique_cells();
  require_paper_metric();
  read_paper();
  stored_ = data_lines(config_) + study_text(config_) + axes_text(entries);
  for (const std::string& command : commands_) {
    const DeclaredCommand declared = commands.declare(command);
    sources.apply(*declared.options);
    std::vector<std::string> left_out = not_given(*declared.options);
    for (const char* name : {"data", "eval-data"}) {
      if (!sources.sets(command, name)) left_out.emplace_back(name);
    }
    stored_ += declared.options->text(command, left_out);
  }
}

void Study::require_paper_metric() const {
  const std::string& metric = config_.paper_metric;
  if (metric.empty()) return;
  const std::size_t dot = metric.find('.');
  const std::string command = metric.substr(0, dot);
  if (dot == std::string::npos || std::ranges::find(commands_, command) == commands_.end()) {
    refuse_value(
        "paper-metric", metric,
        fmt::format("COMMAND.METRIC, with a command of the study: {}", fmt::join(commands_, ", ")));
  }
  const std::string name = metric.substr(dot + 1);
  if (command == "pretrain" || is_measure(name)) return;
  refuse("option --paper-metric: {} has no metric '{}'; an accuracy is {}.top1", command, name,
         command);
}

void Study::read_paper() {
  paper_.resize(rows_);
  if (config_.paper.empty()) return;
  std::vector<std::string> texts(1);
  for (const char c : config_.paper) {
    if (c == ',') {
      texts.emplace_back();
    } else {
      texts.back() += c;
    }
  }
  if (texts.size() != rows_) {
    refuse("option --paper: {} figures for {} lines of the table; give one for each, - for none",
           texts.size(), rows_);
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string text = trimmed(texts[i]);
    double value = 0;
    if (text == "-") continue;
    if (!read_value(text, value, any_number())) refuse_value("paper", text, "a number, or -");
    paper_[i] = value;
  }
}

}  // namespace simclr
