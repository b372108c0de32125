#pragma once
// The options of a command: one declaration gives the command line, the configuration file, the
// check of a value, the help text, the machine-readable list, the effective configuration and
// whether a run may change the option. Names are kebab-case and the same everywhere.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/option_values.hpp"

namespace simclr {

/// The one wording for a value that an option does not accept: throws RefusedError
/// "option --NAME: 'VALUE' is not accepted; allowed: ALLOWED".
[[noreturn]] void refuse_value(std::string_view option, std::string_view value,
                               std::string_view allowed);

/// A value that an option once had, and what stands for it today.
struct RenamedValue {
  std::string option, before, now;
};

/// What is given where: the command line wins over `--config FILE`, later sections over earlier
/// ones, sections over the options above the first section. Those common options may name things
/// other commands use (data paths, device, threads, ...); everything else unknown is refused.
///
/// range(), known(), rule() and may_change_on_resume() describe the option declared just before:
///   options.add("keep", config.keep, "...").range(at_least(1)).may_change_on_resume();
class Options {
 public:
  template <class Enum>
  using Choices = std::vector<std::pair<std::string, Enum>>;

  /// `sections` of a configuration file that this command reads, e.g. {"pretrain", "preview"}.
  Options(std::string command, std::string summary, std::vector<std::string> sections);

  /// Options declared next stand under this heading in the help text.
  Options& group(std::string title);

  /// The target's present value is the default.
  template <class T>
  Options& add(const std::string& name, T& target, const std::string& help) {
    return declare({.name = name,
                    .help = help,
                    .type = type_of(target),
                    .range = natural_range<T>(),
                    .set = set_value<T>(target),
                    .get = [&target] { return value_text(target); }});
  }
  /// Unset unless given.
  template <class T>
  Options& add(const std::string& name, std::optional<T>& target, const std::string& help) {
    return declare({.name = name,
                    .help = help,
                    .type = type_of(T{}),
                    .range = natural_range<T>(),
                    .set = set_value<T>(target),
                    .get = [&target] { return target ? value_text(*target) : std::string(); }});
  }
  /// One of several names; `choices` pairs each with its value.
  template <class Enum>
  Options& choice(const std::string& name, Enum& target, Choices<Enum> choices,
                  const std::string& help) {
    return declare({.name = name,
                    .help = help,
                    .type = ValueType::choice,
                    .choices = names_of(choices),
                    .set = set_choice(target, choices),
                    .get = [&target, choices] {
                      for (const auto& c : choices) {
                        if (c.second == target) return c.first;
                      }
                      return std::string();
                    }});
  }
  /// `--name` without a value; `name = true` in a file.
  Options& flag(const std::string& name, bool& target, const std::string& help);
  /// Something to do once instead of a setting: on the command line only, and in no effective
  /// configuration. `--name` stands for the first choice, `--name=CHOICE` for another.
  template <class Enum>
  Options& action(const std::string& name, std::optional<Enum>& target, Choices<Enum> choices,
                  const std::string& help) {
    return declare({.name = name,
                    .help = help,
                    .kind = Kind::action,
                    .type = ValueType::choice,
                    .choices = names_of(choices),
                    .set = set_choice(target, choices),
                    .get = [] { return std::string(); }});
  }
  /// The argument without a name, e.g. the DIR of `inspect DIR`; also accepted as --name.
  template <class T>
  Options& positional(const std::string& name, T& target, const std::string& help) {
    positional_.push_back(name);
    return add(name, target, help);
  }
  /// Takes every argument without a name, e.g. the DIRs of `report DIR DIR`; also accepted as
  /// --name DIR --name DIR.
  Options& positional_list(const std::string& name, std::vector<std::filesystem::path>& target,
                           const std::string& help);

  /// The numbers that the option accepts.
  Options& range(const NumberRange& range);
  /// The names that the option accepts; in a list, each of its items.
  Options& known(std::vector<std::string> names);
  /// Any other condition on the option's text: `allowed` completes "allowed: ...".
  Options& rule(std::string allowed, std::function<bool(const std::string&)> accepts);
  /// A run that exists may go on with another value.
  Options& may_change_on_resume();

  /// Reads arguments and configuration file. Returns false when --help or --list-options was asked
  /// for and printed. Throws RefusedError naming option, value and what is allowed.
  [[nodiscard]] bool parse(const std::vector<std::string>& arguments);

  /// Whether the user set this option (command line or file).
  [[nodiscard]] bool given(const std::string& name) const;
  /// Whether a run that exists may go on with another value of this option.
  [[nodiscard]] bool may_change_on_resume(const std::string& name) const;
  /// All settings but the `omitted`, as "name = value" lines under "[section]": loadable with
  /// --config from any directory, since paths are absolute.
  [[nodiscard]] std::string text(const std::string& section,
                                 const std::vector<std::string>& omitted = {}) const;
  /// (name, value) of all settings, in declaration order.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> values() const;
  /// values() with absolute paths, as text() writes them.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> stored_values() const;
  /// Reads a configuration text like a file (checkpoints carry one), without the command line. The
  /// text may have the `renamed` values.
  void parse_text(const std::string& text, const std::string& origin,
                  const std::vector<RenamedValue>& renamed = {});
  [[nodiscard]] std::string help() const;
  /// A JSON array with an object for each option: name, group, sections (of a configuration file),
  /// type, choices, default, range (as text), min and max ({value, inclusive} or null),
  /// may_change_on_resume, help.
  [[nodiscard]] std::string list() const;

 private:
  enum class Kind : std::uint8_t { value, flag, list, action };
  struct Rule {
    std::string allowed;
    std::function<bool(const std::string&)> accepts;
  };
  using Set = std::function<bool(const std::string&, const NumberRange&)>;
  struct Option {
    std::string name, help;
    Kind kind = Kind::value;
    ValueType type = ValueType::text;
    NumberRange range = {};
    std::vector<std::string> choices = {};  ///< of the value, or of each item of a list
    Set set;                                ///< false for what is not accepted
    std::function<std::string()> get;
    std::function<void()> clear = {};  ///< empties a list
    std::optional<Rule> rule = {};
    std::string group = {};
    bool may_change = false;
    bool given = false;
  };
  struct Setting {
    std::string name, value;
  };

  template <class T>
  static NumberRange natural_range() {
    return std::is_unsigned_v<T> && !std::is_same_v<T, bool> ? at_least(0) : any_number();
  }
  template <class Enum>
  static std::vector<std::string> names_of(const Choices<Enum>& choices) {
    std::vector<std::string> names;
    names.reserve(choices.size());
    for (const auto& c : choices) names.push_back(c.first);
    return names;
  }
  /// `target` is a T or an optional one.
  template <class T, class Target>
  static Set set_value(Target& target) {
    return [&target](const std::string& text, const NumberRange& range) {
      T value{};
      if (!read_value(text, value, range)) return false;
      target = std::move(value);
      return true;
    };
  }
  /// `target` is an Enum or an optional one.
  template <class Target, class Enum>
  static Set set_choice(Target& target, const Choices<Enum>& choices) {
    return [&target, choices](const std::string& text, const NumberRange&) {
      for (const auto& c : choices) {
        if (c.first != text) continue;
        target = c.second;
        return true;
      }
      return false;
    };
  }

  static std::string allowed(const Option& option);
  static std::string unknown_name(const Option& option, const std::string& value);
  Options& declare(Option option);
  Option* find(const std::string& name);
  [[nodiscard]] bool is_list(const std::string& name) const;
  [[nodiscard]] const Option* find(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::string implied(const std::string& name) const;
  void set(const std::string& name, const std::string& value, const std::string& origin);
  void set_from_file(const std::filesystem::path& file);
  [[nodiscard]] std::vector<Setting> parse_command_line(
      const std::vector<std::string>& arguments) const;

  std::string command_, summary_;
  std::vector<std::string> sections_, positional_;
  std::vector<Option> options_;
  std::string group_ = "options";
};

}  // namespace simclr
