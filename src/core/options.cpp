#include "simclr/core/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <map>
#include <set>

#include "simclr/core/config_file.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/names.hpp"

namespace simclr {
namespace po = boost::program_options;
namespace {

const std::vector<std::string>& known_sections() {
  static const std::vector<std::string> names{
      "pack",     "inspect",  "preview",    "pretrain", "linear-eval", "knn",
      "evaluate", "finetune", "supervised", "embed",    "export",      "plan",
      "bench",    "report",   "quality",    "study",    "axes"};
  return names;
}

/// The most bytes of a value that a message repeats.
constexpr std::size_t kShownBytes = 200;

/// Options that are allowed above the first section even if this command does not use them.
const std::vector<std::string>& common_options() {
  static const std::vector<std::string> names{
      "data",       "eval-data",   "train-data",      "test-data",
      "run-dir",    "checkpoint",  "cache",           "device",
      "threads",    "precision",   "allow-slow-bf16", "allow-tf32",
      "plan-cache", "collectives", "share-device",    "timeout-seconds"};
  return names;
}

std::string present_value(const ConfigEntry& entry, const std::vector<RenamedValue>& renamed) {
  const auto found = std::ranges::find_if(renamed, [&](const RenamedValue& r) {
    return r.option == entry.name && r.before == entry.value;
  });
  return found == renamed.end() ? entry.value : found->now;
}

}  // namespace

void refuse_value(std::string_view option, std::string_view value, std::string_view allowed) {
  refuse("option --{}: '{}' is not accepted; allowed: {}", option, excerpt(value, kShownBytes),
         allowed);
}

Options::Options(std::string command, std::string summary, std::vector<std::string> sections)
    : command_(std::move(command)), summary_(std::move(summary)), sections_(std::move(sections)) {}

Options& Options::group(std::string title) {
  group_ = std::move(title);
  return *this;
}

Options& Options::flag(const std::string& name, bool& target, const std::string& help) {
  add(name, target, help);
  options_.back().kind = Kind::flag;
  return *this;
}

Options& Options::positional_list(const std::string& name,
                                  std::vector<std::filesystem::path>& target,
                                  const std::string& help) {
  positional_.push_back(name);
  return declare({.name = name,
                  .help = help,
                  .kind = Kind::list,
                  .type = ValueType::path,
                  .set =
                      [&target](const std::string& text, const NumberRange& range) {
                        return read_value(text, target.emplace_back(), range);
                      },
                  .get = [] { return std::string(); },
                  .clear = [&target] { target.clear(); }});
}

Options& Options::declare(Option option) {
  require(find(option.name) == nullptr, "an option must be declared once: " + option.name);
  option.group = group_;
  option.initial = option.get();
  options_.push_back(std::move(option));
  return *this;
}

Options& Options::range(const NumberRange& range) {
  options_.back().range = range;
  return *this;
}

Options& Options::known(std::vector<std::string> names) {
  Option& option = options_.back();
  option.choices = std::move(names);
  if (option.type == ValueType::text) option.type = ValueType::choice;
  return *this;
}

Options& Options::rule(std::string allowed, std::function<bool(const std::string&)> accepts) {
  options_.back().rule = Rule{std::move(allowed), std::move(accepts), {}};
  return *this;
}

Options& Options::checked(std::string allowed,
                          std::function<std::string(const std::string&)> problem) {
  rule(std::move(allowed), [problem](const std::string& text) { return problem(text).empty(); });
  options_.back().rule->problem = std::move(problem);
  return *this;
}

Options& Options::argument(std::string word) {
  options_.back().argument = std::move(word);
  return *this;
}

Options& Options::require_given(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) find(std::string(name))->required = true;
  return *this;
}

Options& Options::otherwise_from(std::function<std::optional<StoredText>()> find) {
  find_stored_ = std::move(find);
  return *this;
}

Options& Options::example(std::string command_line) {
  example_ = std::move(command_line);
  return *this;
}

Options& Options::may_change_on_resume() {
  options_.back().may_change = true;
  return *this;
}

Options& Options::may_differ_between_ranks() {
  options_.back().may_differ = true;
  return *this;
}

Options::Option* Options::find(const std::string& name) {
  const auto found = std::ranges::find(options_, name, &Option::name);
  return found == options_.end() ? nullptr : &*found;
}

const Options::Option* Options::find(const std::string& name) const {
  const auto found = std::ranges::find(options_, name, &Option::name);
  return found == options_.end() ? nullptr : &*found;
}

bool Options::is_list(const std::string& name) const {
  return std::any_of(options_.begin(), options_.end(),
                     [&](const Option& o) { return o.name == name && o.kind == Kind::list; });
}

std::vector<std::string> Options::names() const {
  std::vector<std::string> all;
  all.reserve(options_.size());
  for (const Option& o : options_) all.push_back(o.name);
  return all;
}

/// The first item of the value that is not among the option's choices; empty when all are.
std::string Options::unknown_name(const Option& option, const std::string& value) {
  if (option.choices.empty()) return "";
  std::vector<std::string> items{value};
  if (option.type == ValueType::names && !read_value(value, items, option.range)) return "";
  const auto unknown = std::ranges::find_if(items, [&](const std::string& item) {
    return std::ranges::find(option.choices, item) == option.choices.end();
  });
  return unknown == items.end() ? "" : *unknown;
}

void Options::set(const std::string& name, const std::string& value, const std::string& origin) {
  Option& option = *find(name);
  const std::string unknown = unknown_name(option, value);
  const bool follows_rule = !option.rule || option.rule->accepts(value);
  if (!unknown.empty() || !follows_rule || !option.set(value, option.range)) {
    std::string meant = unknown.empty() ? "" : suggestion(unknown, option.choices);
    if (option.rule && option.rule->problem) meant += "; " + option.rule->problem(value);
    refuse("{}option --{}: '{}' is not accepted; allowed: {}{}", origin, name,
           excerpt(value, kShownBytes), allowed(option), meant);
  }
  option.given = true;
}

/// The value of an option that is given without one on the command line.
std::string Options::implied(const std::string& name) const {
  const Option* option = find(name);
  return option != nullptr && option->kind == Kind::action ? option->choices.front() : "true";
}

std::vector<Options::Setting> Options::parse_command_line(
    const std::vector<std::string>& arguments) const {
  po::options_description description;
  description.add_options()("config", po::value<std::string>());
  for (const Option& o : options_) {
    const po::value_semantic* semantic = nullptr;
    switch (o.kind) {
      case Kind::value:
      case Kind::list:
        semantic = po::value<std::string>();
        break;
      case Kind::flag:
        semantic = new po::untyped_value(true);
        break;
      case Kind::action:
        semantic = po::value<std::string>()->implicit_value(o.choices.front());
        break;
    }
    description.add_options()(o.name.c_str(), semantic);
  }
  po::positional_options_description places;
  for (const std::string& name : positional_) places.add(name.c_str(), is_list(name) ? -1 : 1);

  std::vector<Setting> settings;
  try {
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    const auto parsed = po::command_line_parser(arguments)
                            .options(description)
                            .positional(places)
                            .style(style)
                            .run();
    for (const auto& o : parsed.options) {
      settings.push_back({o.string_key, o.value.empty() ? implied(o.string_key) : o.value.front()});
    }
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    refuse("unknown option --{} of '{}'{} (see simclr {} --help)", excerpt(name), command_,
           suggestion(name, names()), command_);
  } catch (const po::too_many_positional_options_error&) {
    refuse("'{}' takes {} argument{} without a name; given: {}", command_, positional_.size(),
           positional_.size() == 1 ? "" : "s",
           excerpt(fmt::format("{}", fmt::join(arguments, " ")), kShownBytes));
  } catch (const po::invalid_command_line_syntax& error) {
    const bool too_much = error.kind() == po::invalid_syntax::extra_parameter;
    refuse("option {}: {}; see simclr {} --help", error.get_option_name(),
           too_much ? "takes no value" : "has no value", command_);
  } catch (const po::error& error) {
    refuse("{}; see simclr {} --help", error.what(), command_);
  }
  std::set<std::string> seen;
  for (const Setting& s : settings) {
    if (!seen.insert(s.name).second && !is_list(s.name)) {
      refuse("option --{}: given twice", s.name);
    }
  }
  return settings;
}

/// Sets what the file of --config gives, then what the command line gives.
void Options::apply(const std::vector<Setting>& settings) {
  for (const Setting& s : settings) {
    if (s.name != "config") continue;
    config_file_ = s.value;
    parse_text(read_config(s.value), s.value);
  }
  for (const Setting& s : settings) {
    if (is_list(s.name)) find(s.name)->clear();
  }
  for (const Setting& s : settings) {
    if (s.name != "config") set(s.name, s.value, "");
  }
}

/// The first required option without a value; null when all have one.
const Options::Option* Options::first_missing() const {
  const auto missing = std::ranges::find_if(options_, [](const Option& o) {
    return o.required && (o.kind == Kind::list ? !o.given : o.get().empty());
  });
  return missing == options_.end() ? nullptr : &*missing;
}

/// Whether the command line only sets options that may change when a run resumes, so that it leaves
/// the others to the run.
bool Options::all_may_change(const std::vector<Setting>& settings) const {
  return std::ranges::all_of(settings, [this](const Setting& s) {
    const Option* option = find(s.name);  // null for --config
    return option != nullptr && (option->may_change || option->kind == Kind::action);
  });
}

bool Options::parse(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      std::cout << help();
      return false;
    }
    if (argument == "--list-options") {
      std::cout << list();
      return false;
    }
  }
  const std::vector<Setting> settings = parse_command_line(arguments);
  apply(settings);
  if (find_stored_ && (first_missing() != nullptr || all_may_change(settings))) {
    if (const auto stored = find_stored_()) {
      parse_text(stored->text, stored->origin, stored->renamed);
      apply(settings);
    }
  }
  if (const Option* missing = first_missing()) {
    refuse("option --{}: missing; give {}, {}", missing->name, argument_of(*missing),
           missing->help);
  }
  return true;
}

void Options::parse_text(const std::string& text, const std::string& origin,
                         const std::vector<RenamedValue>& renamed) {
  const std::vector<ConfigEntry> entries = parse_config(text, origin);
  std::vector<std::string> known = known_sections();
  known.insert(known.end(), sections_.begin(), sections_.end());
  for (const ConfigEntry& e : entries) {
    if (!e.section.empty() && std::ranges::find(known, e.section) == known.end()) {
      refuse("{}:{}: unknown section [{}]{}", origin, e.line, excerpt(e.section),
             suggestion(e.section, known));
    }
  }
  std::vector<std::string> order{""};
  order.insert(order.end(), sections_.begin(), sections_.end());
  for (const std::string& section : order) {
    std::map<std::string, int> first_lines;
    for (const ConfigEntry& e : entries) {
      if (e.section != section || e.name.empty()) continue;
      const std::string where = fmt::format("{}:{}: ", origin, e.line);
      const auto [first, is_first] = first_lines.emplace(e.name, e.line);
      if (!is_first) {
        refuse("{}option --{}: given twice; first in line {}", where, e.name, first->second);
      }
      const auto& common = common_options();
      const bool others_know_it = std::find(common.begin(), common.end(), e.name) != common.end();
      if (section.empty() && others_know_it && find(e.name) == nullptr) continue;
      set_in_file(e.name, present_value(e, renamed), where);
    }
  }
}

void Options::set_in_file(const std::string& name, const std::string& value,
                          const std::string& where) {
  const Option* option = find(name);
  if (option == nullptr || option->kind == Kind::action) {
    refuse("{}unknown option '{}' of '{}'{}", where, excerpt(name), command_,
           suggestion(name, names()));
  }
  set(name, value, where);
}

bool Options::given(const std::string& name) const {
  const Option* option = find(name);
  return option != nullptr && option->given;
}

std::vector<std::string> Options::given_arguments(const std::vector<std::string>& omitted) const {
  std::vector<std::string> arguments;
  if (!config_file_.empty()) arguments.push_back("--config=" + config_file_);
  for (const Option& o : options_) {
    const bool skipped = std::ranges::find(omitted, o.name) != omitted.end();
    const std::string value = o.get();
    if (!o.given || skipped || value.empty() || (o.kind == Kind::flag && value == "false"))
      continue;
    arguments.push_back("--" + o.name + (o.kind == Kind::flag ? "" : "=" + value));
  }
  return arguments;
}

bool Options::may_change_on_resume(const std::string& name) const {
  const Option* option = find(name);
  return option != nullptr && option->may_change;
}

}  // namespace simclr
