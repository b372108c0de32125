// A study's directory: what is written into it, and what may already be there.

#include "files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "simclr/core/check.hpp"
#include "simclr/core/config_file.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/directory.hpp"
#include "simclr/io/file.hpp"
#include "simclr/study/study.hpp"
#include "text.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Settings = std::map<std::string, std::string>;  // of one section

/// Creates a directory and its parents. Refuses a path where there can be none.
void make_directory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) refuse("option --output: cannot make {}: {}", directory.string(), error.message());
}

/// Writes the file unless it has this text.
void write_if_changed(const fs::path& file, const std::string& text) {
  if (!fs::exists(file) || read_text_file(file) != text) write_file(file, text);
}

/// Section -> its settings, but for those that may differ between two calls for the same cell.
std::map<std::string, Settings> comparable(const std::string& text, const std::string& origin,
                                           const std::map<std::string, DeclaredCommand>& declared,
                                           const std::vector<std::string>& own) {
  std::map<std::string, Settings> sections;
  for (const ConfigEntry& e : parse_config(text, origin)) {
    Settings& settings = sections[e.section];
    const auto command = declared.find(e.section);
    const bool may_change =
        command != declared.end() && command->second.options->may_change_on_resume(e.name);
    const bool is_own = std::ranges::find(own, e.name) != own.end();
    if (!e.name.empty() && !may_change && !is_own) settings[e.name] = e.value;
  }
  return sections;
}

/// "option --X of 'COMMAND' was 'A' and is 'B'" for the first difference; empty without one.
std::string difference(const std::map<std::string, Settings>& before,
                       const std::map<std::string, Settings>& now) {
  std::set<std::string> commands;
  for (const auto* sections : {&before, &now}) {
    for (const auto& [command, settings] : *sections) commands.insert(command);
  }
  const auto value = [](const Settings& settings, const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string("unset") : "'" + found->second + "'";
  };
  for (const std::string& command : commands) {
    if (!before.contains(command)) return fmt::format("it now has section [{}]", command);
    if (!now.contains(command)) return fmt::format("it has lost section [{}]", command);
    std::set<std::string> names;
    for (const auto* settings : {&before.at(command), &now.at(command)}) {
      for (const auto& [name, text] : *settings) names.insert(name);
    }
    for (const std::string& name : names) {
      const std::string was = value(before.at(command), name), is = value(now.at(command), name);
      if (was != is) {
        return fmt::format("option --{} of '{}' was {} and is {}", name, command, was, is);
      }
    }
  }
  return "";
}

}  // namespace

fs::path Study::cell_file(std::size_t cell) const {
  return directory() / "cells" / (cells_[cell].name + ".cfg");
}

fs::path Study::log_file(const StudyWork& work) const {
  return directory() / "logs" / (file_name(work.command + "_" + work.name) + ".log");
}

std::string Study::cell_text(std::size_t cell) const {
  std::string text = fmt::format("# Cell {}; simclr study writes this file.\n", cells_[cell].name);
  for (const std::size_t work : cells_[cell].works) text += works_[work].section;
  return text;
}

void Study::check(const StudyCommands& commands, std::optional<int> ranks) const {
  if (fs::exists(directory())) {
    if (!fs::is_directory(directory())) {
      refuse("option --output: {} is no directory", directory().string());
    }
    if (fs::exists(directory() / kStudyFile)) {
      require_same_cells(commands);
    } else if (!fs::is_empty(directory())) {
      refuse("option --output: {} holds other files and no study; name another directory",
             directory().string());
    }
  }
  for (std::size_t w = 0; w < works_.size(); ++w) {
    const StudyWork& work = works_[w];
    if (study_outcome(*this, w).done) continue;
    const bool follows = work.parent && !study_outcome(*this, *work.parent).done;
    try {
      commands.check(work.command, work.arguments, ranks && !follows);
      if (ranks && work.batch_size.value_or(0) % *ranks != 0) {
        refuse("options --batch-size and --ranks: {} images cannot be divided among {} ranks",
               *work.batch_size, *ranks);
      }
    } catch (const RefusedError& error) {
      refuse("{}: cell {}, {}: {}", study_file(config_.file).string(), cells_[work.cell].name,
             work.command, error.what());
    }
  }
}

void Study::require_same_cells(const StudyCommands& commands) const {
  std::map<std::string, DeclaredCommand> declared;
  for (const std::string& command : study_commands()) {
    declared.emplace(command, commands.declare(command));
  }
  const bool pretrains = std::ranges::find(commands_, "pretrain") != commands_.end();
  const auto own = options_of_study(pretrains);
  const fs::path folder = directory() / "cells";
  if (!fs::exists(folder)) return;
  for (const DirectoryEntry& entry : list_directory(folder).entries) {
    if (entry.path.extension() != ".cfg") continue;
    const std::string name = entry.path.stem().string();
    const auto now = std::ranges::find(cells_, name, &StudyCell::name);
    const std::string what =
        fmt::format("{}: the study in {} has the cell {}", study_file(config_.file).string(),
                    directory().string(), name);
    if (now == cells_.end()) {
      refuse("{}, which the file has no longer; a study may only gain cells: name another --output",
             what);
    }
    const auto place = static_cast<std::size_t>(now - cells_.begin());
    const std::string changed =
        difference(comparable(read_text_file(entry.path), entry.path.string(), declared, own),
                   comparable(cell_text(place), "the study file", declared, own));
    if (changed.empty()) continue;
    refuse("{}, which the file changes: {}; a study may only gain cells: name another --output",
           what, changed);
  }
}

void Study::write() const {
  make_directory(directory());
  write_if_changed(directory() / kStudyFile, stored_);
  make_directory(directory() / "cells");
  for (std::size_t cell = 0; cell < cells_.size(); ++cell) {
    write_if_changed(cell_file(cell), cell_text(cell));
  }
  make_directory(directory() / "logs");
  for (const StudyWork& work : works_) make_directory(work.directory);
}

}  // namespace simclr
