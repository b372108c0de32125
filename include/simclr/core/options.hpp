#pragma once
// The options of a command. One declaration per option defines the command line, the configuration
// file, the check of its value, the help text, the machine-readable list, the effective
// configuration and whether a resumed run may change it. Names are kebab-case and the same
// everywhere.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/option_values.hpp"

namespace simclr {

/// Refuses a value in the wording used for all options: throws RefusedError
/// "option --NAME: 'VALUE' is not accepted; allowed: ALLOWED".
[[noreturn]] void refuse_value(std::string_view option, std::string_view value,
                               std::string_view allowed);

/// A value of an option in earlier versions (`before`) and its present name (`now`).
struct RenamedValue {
  std::string option, before, now;
};

/// A configuration that was stored earlier; `origin` is its place in messages.
struct StoredText {
  std::string text, origin;
  std::vector<RenamedValue> renamed;
};

/// The declared options and their values. The command line takes precedence over `--config FILE`,
/// later sections over earlier ones, and sections over the common options above the first section.
/// Common options that only other commands use (data paths, device, threads, ...) are ignored; any
/// other unknown option is refused.
///
/// range(), known(), rule(), checked(), argument(), may_change_on_resume() and
/// may_differ_between_ranks() describe the option declared just before:
///   options.add("keep", config.keep, "...").range(at_least(1)).may_change_on_resume();
class Options {
 public:
  template <class Enum>
  using Choices = std::vector<std::pair<std::string, Enum>>;

  /// `sections` of a configuration file that this command reads, e.g. {"pretrain", "preview"}.
  Options(std::string command, std::string summary, std::vector<std::string> sections);

  /// Sets the heading of the following options in the help text.
  Options& group(std::string title);

  /// Declares an option; the target's present value is the default.
  template <class T>
  Options& add(const std::string& name, T& target, const std::string& help) {
    return declare({.name = name,
                    .help = help,
                    .type = type_of(target),
                    .range = natural_range<T>(),
                    .set = set_value<T>(target),
                    .get = [&target] { return value_text(target); }});
  }
  /// Declares an option without a default.
  template <class T>
  Options& add(const std::string& name, std::optional<T>& target, const std::string& help) {
    return declare({.name = name,
                    .help = help,
                    .type = type_of(T{}),
                    .range = natural_range<T>(),
                    .set = set_value<T>(target),
                    .get = [&target] { return target ? value_text(*target) : std::string(); }});
  }
  /// Declares an option that takes one of several names; `choices` pairs each with its value.
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
  /// The same of an option without a default.
  template <class Enum>
  Options& choice(const std::string& name, std::optional<Enum>& target, Choices<Enum> choices,
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
  /// Declares an option without a value: `--name`, or `name = true` in a file.
  Options& flag(const std::string& name, bool& target, const std::string& help);
  /// Declares an action that happens once and is no setting: it is accepted only on the command
  /// line and is not part of the effective configuration. `--name` selects the first choice,
  /// `--name=CHOICE` another.
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
  /// Declares an argument without a name, e.g. the DIR of `inspect DIR`; also accepted as --name.
  template <class T>
  Options& positional(const std::string& name, T& target, const std::string& help) {
    positional_.push_back(name);
    return add(name, target, help);
  }
  /// Declares a list of all arguments without a name, e.g. the DIRs of `report DIR DIR`; also
  /// accepted as --name DIR --name DIR.
  Options& positional_list(const std::string& name, std::vector<std::filesystem::path>& target,
                           const std::string& help);

  /// Limits the numbers that the option accepts.
  Options& range(const NumberRange& range);
  /// Limits the names that the option, or each item of a list, accepts.
  Options& known(std::vector<std::string> names);
  /// Adds any other condition on the option's text; `allowed` completes "allowed: ...".
  Options& rule(std::string allowed, std::function<bool(const std::string&)> accepts);
  /// The same for a text of which `problem` says what is wrong with it, naming the part; "" if
  /// nothing is.
  Options& checked(std::string allowed, std::function<std::string(const std::string&)> problem);
  /// Names the option's value in the help text, such as DIR; by default a word for its type, or the
  /// unit in which its name ends.
  Options& argument(std::string word);
  /// Lets a resumed run have another value of the option.
  Options& may_change_on_resume();
  /// Lets ranks have different values of the option: a path on each node (what is stored there is
  /// compared elsewhere), its number of cores.
  Options& may_differ_between_ranks();

  /// Makes options that have been declared required: parse() refuses when their value is empty.
  Options& require_given(std::initializer_list<std::string_view> names);
  /// Sets where parse() looks for the rest when required options are missing, or when the command
  /// line gives nothing but options that may change on resume. `find` is called after all others
  /// are set. What the arguments and --config give takes precedence.
  Options& otherwise_from(std::function<std::optional<StoredText>()> find);
  /// Sets the command line that the help text ends with.
  Options& example(std::string command_line);

  /// Reads arguments and configuration file. Returns false after printing --help or
  /// --list-options. Throws RefusedError naming the option, the value and what is allowed.
  [[nodiscard]] bool parse(const std::vector<std::string>& arguments);

  /// True when the command line or a file sets the option.
  [[nodiscard]] bool given(const std::string& name) const;
  /// Arguments that give the same values to another command with these options, but for `omitted`:
  /// --config, then every given setting that has a value.
  [[nodiscard]] std::vector<std::string> given_arguments(
      const std::vector<std::string>& omitted) const;
  /// True when a resumed run may have another value of the option.
  [[nodiscard]] bool may_change_on_resume(const std::string& name) const;
  /// All settings but the `omitted` ones, as "name = value" lines under "[section]". Paths are
  /// absolute, so that the text is loadable with --config from any directory.
  [[nodiscard]] std::string text(const std::string& section,
                                 const std::vector<std::string>& omitted = {}) const;
  /// Name and value of all settings, in declaration order.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> values() const;
  /// The same with the values that they had when they were declared.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> defaults() const;
  /// What must be the same on all ranks: "option --NAME" and its value, for settings that may not
  /// differ and for actions.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> values_of_all_ranks() const;
  /// values() with absolute paths, as text() writes them.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> stored_values() const;
  /// Reads a configuration text, such as that of a checkpoint, in the way of a file. The text may
  /// have the old values in `renamed`.
  void parse_text(const std::string& text, const std::string& origin,
                  const std::vector<RenamedValue>& renamed = {});
  /// Sets an option as a line of a file does. `where`, such as "FILE:12: ", begins the message of a
  /// refusal.
  void set_in_file(const std::string& name, const std::string& value, const std::string& where);
  [[nodiscard]] std::string help() const;
  /// A JSON array with an object per option: name, group, sections (of a configuration file), type,
  /// choices, default, range (as text), min and max ({value, inclusive} or null),
  /// may_change_on_resume, help.
  [[nodiscard]] std::string list() const;

 private:
  enum class Kind : std::uint8_t { value, flag, list, action };
  struct Rule {
    std::string allowed;
    std::function<bool(const std::string&)> accepts;
    /// What is wrong with a text that is not accepted, for the message; may be empty.
    std::function<std::string(const std::string&)> problem;
  };
  using Set = std::function<bool(const std::string&, const NumberRange&)>;
  struct Option {
    std::string name, help;
    Kind kind = Kind::value;
    ValueType type = ValueType::text;
    NumberRange range = {};
    std::vector<std::string> choices = {};  ///< for the value, or for each item of a list
    Set set;                                ///< returns false for a value that is not accepted
    std::function<std::string()> get;
    std::function<void()> clear = {};  ///< empties a list
    std::optional<Rule> rule = {};
    std::string group = {};
    std::string argument = {};
    std::string initial = {};  ///< the value when it was declared
    bool may_change = false;
    bool required = false;
    bool may_differ = false;
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
  /// `target` is a T or a std::optional<T>.
  template <class T, class Target>
  static Set set_value(Target& target) {
    return [&target](const std::string& text, const NumberRange& range) {
      T value{};
      if (!read_value(text, value, range)) return false;
      target = std::move(value);
      return true;
    };
  }
  /// `target` is an Enum or a std::optional<Enum>.
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
  static std::string argument_of(const Option& option);
  [[nodiscard]] std::string usage() const;
  static std::string unknown_name(const Option& option, const std::string& value);
  Options& declare(Option option);
  Option* find(const std::string& name);
  [[nodiscard]] bool is_list(const std::string& name) const;
  [[nodiscard]] const Option* find(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::string implied(const std::string& name) const;
  void set(const std::string& name, const std::string& value, const std::string& origin);
  [[nodiscard]] std::vector<Setting> parse_command_line(
      const std::vector<std::string>& arguments) const;
  void apply(const std::vector<Setting>& settings);
  [[nodiscard]] const Option* first_missing() const;
  [[nodiscard]] bool all_may_change(const std::vector<Setting>& settings) const;

  std::string command_, summary_, example_;
  std::vector<std::string> sections_, positional_;
  std::string config_file_;
  std::vector<Option> options_;
  std::function<std::optional<StoredText>()> find_stored_;
  std::string group_ = "options";
};

}  // namespace simclr
