// Describes the options for people (--help) and for programs (--list-options).

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "simclr/core/options.hpp"

namespace simclr {
namespace {

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

std::string join(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, "|"));
}

/// Wraps `text` to lines of at most 100 columns and indents all but the first.
std::string wrapped(const std::string& text, std::size_t indent) {
  constexpr std::size_t kColumns = 100;
  std::string lines;
  std::size_t column = indent;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > indent && column + 1 + word.size() > kColumns) {
      lines += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
  }
  return lines;
}

}  // namespace

/// The text that completes "allowed: ...".
std::string Options::allowed(const Option& option) {
  if (option.rule) return option.rule->allowed;
  if (!option.choices.empty()) return join(option.choices);
  return range_text(option.type, option.range);
}

std::string Options::help() const {
  constexpr std::size_t kIndent = 37;
  std::string usage = "usage: simclr " + command_;
  for (const std::string& name : positional_) {
    usage += " [" + name + (is_list(name) ? " ...]" : "]");
  }
  std::string text = usage + " [--config FILE] [--option value ...]\n" + summary_ + "\n";
  std::string title;
  for (const Option& o : options_) {
    if (o.group != title) text += "\n" + (title = o.group) + ":\n";
    const char* argument = o.kind == Kind::flag     ? ""
                           : o.kind == Kind::action ? "[=VALUE]"
                                                    : " VALUE";
    const std::string limits = o.choices.empty() ? bounds_text(o.range) : join(o.choices);
    const std::string value = o.get();
    std::string words = o.help;
    if (!limits.empty()) words += " (" + limits + ")";
    if (o.kind == Kind::value && !value.empty()) words += " [" + value + "]";
    text += fmt::format("  {:<34} {}\n", "--" + o.name + argument, wrapped(words, kIndent));
  }
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

}  // namespace simclr
