// Describes the options for people (--help) and for programs (--list-options).

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "simclr/core/options.hpp"

namespace simclr {
namespace {

/// The value of an option for a file, such as --plan-cache, that turns the file off.
constexpr const char* kNoFile = "none";

using Json = nlohmann::ordered_json;

const char* name_of(ValueType type) {
  constexpr std::array kTypeNames{"text",   "path",     "flag",    "choice", "integer",
                                  "number", "integers", "numbers", "names"};
  return kTypeNames.at(static_cast<std::size_t>(type));
}

Json bound_json(const std::optional<NumberRange::Bound>& bound, bool whole) {
  if (!bound) return nullptr;
  const Json value = whole ? Json(static_cast<std::int64_t>(bound->value)) : Json(bound->value);
  return Json{{"value", value}, {"inclusive", bound->inclusive}};
}

std::string join(const std::vector<std::string>& names, const char* separator) {
  return fmt::format("{}", fmt::join(names, separator));
}

/// Wraps `text` to the width of a terminal and indents all lines but the first, which begins at
/// `column`.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t column) {
  constexpr std::size_t kColumns = 80;
  std::string lines;
  bool at_start = true;
  std::istringstream words(text);
  for (std::string word; words >> word; at_start = false) {
    if (!at_start && column + 1 + word.size() > kColumns) {
      lines += '\n';
      lines.append(indent, ' ');
      column = indent;
    } else if (!at_start) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
  }
  return lines;
}

const char* argument_of_type(ValueType type) {
  constexpr std::array kArguments{"TEXT", "FILE", "true|false", "NAME",   "N",
                                  "X",    "N,..", "X,..",       "NAME,.."};
  return kArguments.at(static_cast<std::size_t>(type));
}

}  // namespace

/// The text that completes "allowed: ...".
std::string Options::allowed(const Option& option) {
  if (option.rule) return option.rule->allowed;
  if (!option.choices.empty()) return join(option.choices, "|");
  return range_text(option.type, option.range);
}

/// The word for the option's value in the help text.
std::string Options::argument_of(const Option& option) {
  if (!option.argument.empty()) return option.argument;
  for (const std::string_view unit : {"seconds", "minutes", "bytes", "gb"}) {
    if (!option.name.ends_with(unit)) continue;
    std::string word(unit);
    std::ranges::transform(word, word.begin(), [](char c) { return static_cast<char>(c - 32); });
    return word;
  }
  return argument_of_type(option.type);
}

std::string Options::usage() const {
  std::string text = "usage: simclr " + command_;
  for (const std::string& name : positional_) {
    const Option& option = *find(name);
    const std::string word =
        (option.argument.empty() ? name : option.argument) + (is_list(name) ? " ..." : "");
    text += fmt::format(fmt::runtime(option.required ? " {}" : " [{}]"), word);
  }
  for (const Option& o : options_) {
    if (!o.required || std::ranges::find(positional_, o.name) != positional_.end()) continue;
    text += fmt::format(" --{} {}", o.name, argument_of(o));
  }
  return wrapped(text + " [--config FILE] [OPTION...]", 4, 0) + "\n";
}

std::string Options::help() const {
  constexpr std::size_t kIndent = 26;
  std::string text = usage() + wrapped(summary_, 0, 0) + "\n";
  std::string title;
  for (const Option& o : options_) {
    if (o.group != title) text += "\n" + (title = o.group) + ":\n";
    std::string head = "  --" + o.name;
    if (o.kind == Kind::action) head += fmt::format("[={}]", argument_of(o));
    if (o.kind == Kind::value || o.kind == Kind::list) head += fmt::format(" {}", argument_of(o));
    // The description starts in a line of its own where the option leaves no room beside it.
    const bool alone = head.size() + 2 > kIndent;
    if (alone) head += '\n';
    head.append(alone ? kIndent : kIndent - head.size(), ' ');
    const std::string limits = o.choices.empty() ? bounds_text(o.range) : join(o.choices, ", ");
    const std::string value = o.get();
    std::string words = o.help;
    if (!limits.empty()) words += " (" + limits + ")";
    if (o.kind == Kind::value && !value.empty()) words += " [" + value + "]";
    if (o.required) words += " [required]";
    text += head + wrapped(words, kIndent, kIndent) + "\n";
  }
  if (!example_.empty()) text += "\nexample:\n  " + example_ + "\n";
  return text;
}

std::string Options::list() const {
  Json all = Json::array();
  for (const Option& o : options_) {
    const bool whole = o.type == ValueType::integer || o.type == ValueType::integers;
    const bool numeric = whole || o.type == ValueType::number || o.type == ValueType::numbers;
    all.push_back({{"name", o.name},
                   {"group", o.group},
                   {"sections", o.kind == Kind::action ? std::vector<std::string>() : sections_},
                   {"type", name_of(o.type)},
                   {"choices", o.choices.empty() ? Json(nullptr) : Json(o.choices)},
                   {"default", o.get()},
                   {"range", allowed(o)},
                   {"min", numeric ? bound_json(o.range.low, whole) : Json(nullptr)},
                   {"max", numeric ? bound_json(o.range.high, whole) : Json(nullptr)},
                   {"may_change_on_resume", o.may_change},
                   {"help", o.help}});
  }
  return all.dump(1) + "\n";
}

std::vector<std::pair<std::string, std::string>> Options::values() const {
  std::vector<std::pair<std::string, std::string>> all;
  all.reserve(options_.size());
  for (const Option& o : options_) {
    if (o.kind != Kind::action) all.emplace_back(o.name, o.get());
  }
  return all;
}

std::vector<std::pair<std::string, std::string>> Options::defaults() const {
  auto all = values();
  for (auto& [name, value] : all) value = find(name)->initial;
  return all;
}

std::vector<std::pair<std::string, std::string>> Options::values_of_all_ranks() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Option& o : options_) {
    const std::string given = o.given ? "given" : "";
    if (!o.may_differ)
      all.emplace_back("option --" + o.name, o.kind == Kind::action ? given : o.get());
  }
  return all;
}

std::vector<std::pair<std::string, std::string>> Options::stored_values() const {
  auto all = values();
  for (auto& [name, value] : all) {
    const bool is_path = find(name)->type == ValueType::path;
    if (!is_path || value.empty() || value == kNoFile) continue;
    value = std::filesystem::absolute(value).lexically_normal().string();
  }
  return all;
}

std::string Options::text(const std::string& section,
                          const std::vector<std::string>& omitted) const {
  std::string text = "[" + section + "]\n";
  for (const auto& [name, value] : stored_values()) {
    if (std::ranges::find(omitted, name) != omitted.end()) continue;
    if (value.find_first_of("#\n") != std::string::npos) {
      refuse(
          "option --{}: '{}' has a '#' or a line break, which configuration files do not support",
          name, value);
    }
    // Leaves out unset options, because an empty text does not read back as a number.
    if (!value.empty()) text += fmt::format("{} = {}\n", name, value);
  }
  return text;
}

}  // namespace simclr
