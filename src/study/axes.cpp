// Section [axes] of a study file.

#include <algorithm>
#include <set>

#include "simclr/core/check.hpp"
#include "simclr/core/config_file.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/names.hpp"
#include "simclr/study/study.hpp"
#include "text.hpp"

namespace simclr {
namespace {

StudyAxis::Option parse_option(const std::string& written, const std::string& where) {
  const std::size_t dot = written.find('.');
  StudyAxis::Option option{
      .command = dot == std::string::npos ? "pretrain" : written.substr(0, dot),
      .name = dot == std::string::npos ? written : written.substr(dot + 1),
      .written = written};
  const auto& known = study_commands();
  if (std::ranges::find(known, option.command) == known.end()) {
    refuse("{}axis '{}': a study cannot run '{}'{}", where, excerpt(written),
           excerpt(option.command), suggestion(option.command, known));
  }
  return option;
}

/// The texts between unquoted separators, without quotes and the blanks around them.
std::vector<std::string> split(const std::string& text, char separator, const std::string& where) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (c == separator && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (quoted) refuse("{}'{}' has a quote without its partner", where, excerpt(text));
  for (std::string& part : parts) part = trimmed(part);
  return parts;
}

std::string unquoted(const std::string& text, const std::string& where) {
  const std::size_t quotes = static_cast<std::size_t>(std::ranges::count(text, '"'));
  if (quotes == 0) return text;
  if (quotes != 2 || text.front() != '"' || text.back() != '"') {
    refuse("{}'{}': quotes must stand around the whole value", where, excerpt(text));
  }
  return text.substr(1, text.size() - 2);
}

StudyAxis parse_axis(const ConfigEntry& entry, const std::string& where) {
  StudyAxis axis{.options = {}, .values = {}, .where = where};
  for (const std::string& written : split(entry.name, '&', where)) {
    axis.options.push_back(parse_option(written, where));
  }
  if (entry.value.empty()) refuse("{}axis '{}' has no values; give one or more", where, entry.name);
  for (const std::string& text : split(entry.value, ',', where)) {
    std::vector<std::string> value = split(text, '&', where);
    if (value.size() != axis.options.size()) {
      refuse("{}axis '{}': '{}' has {} part{}; give {}, one for each option, with & between them",
             where, entry.name, excerpt(text), value.size(), value.size() == 1 ? "" : "s",
             axis.options.size());
    }
    for (std::string& part : value) {
      if (part.empty()) refuse("{}axis '{}' has an empty value; write \"\"", where, entry.name);
      part = unquoted(part, where);
    }
    if (std::ranges::find(axis.values, value) != axis.values.end()) {
      refuse("{}axis '{}' has the value {} twice: the same cells", where, entry.name,
             excerpt(text));
    }
    axis.values.push_back(std::move(value));
  }
  return axis;
}

}  // namespace

const std::vector<std::string>& study_commands() {
  static const std::vector<std::string> names{"pretrain",    "quality",  "knn",
                                              "linear-eval", "finetune", "supervised"};
  return names;
}

bool StudyAxis::is_seed() const {
  return std::ranges::all_of(
      options, [](const Option& o) { return o.name == "seed" || o.name == "label-seed"; });
}

std::vector<StudyAxis> parse_axes(const std::string& text, const std::string& origin) {
  std::vector<StudyAxis> axes;
  std::set<std::pair<std::string, std::string>> seen;
  for (const ConfigEntry& entry : parse_config(text, origin)) {
    if (entry.section != "axes" || entry.name.empty()) continue;
    const std::string where = fmt::format("{}:{}: ", origin, entry.line);
    axes.push_back(parse_axis(entry, where));
    for (const StudyAxis::Option& o : axes.back().options) {
      if (seen.emplace(o.command, o.name).second) continue;
      refuse("{}option --{}: in two axes of '{}'; give it once", where, o.name, o.command);
    }
  }
  if (axes.empty()) {
    refuse("{}: section [axes] has no axis; give one or more, such as temperature = 0.1, 0.5",
           origin);
  }
  return axes;
}

}  // namespace simclr
