#pragma once
// The options of a command: one declaration gives the command line, the configuration file, the
// help text and the effective configuration. Names are kebab-case and the same everywhere.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/names.hpp"

namespace simclr {

// Text <-> value. parse_value throws RefusedError saying what was expected ("a whole number").
void parse_value(const std::string& text, std::string& value);
void parse_value(const std::string& text, std::filesystem::path& value);
void parse_value(const std::string& text, bool& value);
void parse_value(const std::string& text, int& value);
void parse_value(const std::string& text, std::int64_t& value);
void parse_value(const std::string& text, std::uint64_t& value);
void parse_value(const std::string& text, float& value);
void parse_value(const std::string& text, double& value);
void parse_value(const std::string& text, std::vector<std::int64_t>& value);  ///< "0,5,10"
void parse_value(const std::string& text, std::vector<double>& value);
void parse_value(const std::string& text, std::vector<std::string>& value);  ///< "crop,flip"
std::string value_text(const std::string& value);
std::string value_text(const std::filesystem::path& value);
std::string value_text(bool value);
std::string value_text(int value);
std::string value_text(std::int64_t value);
std::string value_text(std::uint64_t value);
std::string value_text(float value);  ///< shortest text that reads back exactly
std::string value_text(double value);
std::string value_text(const std::vector<std::int64_t>& value);
std::string value_text(const std::vector<double>& value);
std::string value_text(const std::vector<std::string>& value);

/// A value that an option once had, and what stands for it today.
struct RenamedValue {
  std::string option, before, now;
};

/// What is given where: the command line wins over `--config FILE`, later sections over earlier
/// ones, sections over the options above the first section. Those common options may name things
/// other commands use (data paths, device, threads, ...); everything else unknown is refused.
class Options {
 public:
  /// `sections` of a configuration file that this command reads, e.g. {"pretrain", "preview"}.
  Options(std::string command, std::string summary, std::vector<std::string> sections);

  /// Options declared next stand under this heading in the help text.
  Options& group(std::string title);

  /// The target's present value is the default.
  template <class T>
  Options& add(const std::string& name, T& target, const std::string& help) {
    declare({name, help, Kind::value,
             [&target](const std::string& text) { parse_value(text, target); },
             [&target] { return value_text(target); }});
    return *this;
  }
  /// Unset unless given.
  template <class T>
  Options& add(const std::string& name, std::optional<T>& target, const std::string& help) {
    declare({name, help, Kind::value,
             [&target](const std::string& text) { parse_value(text, target.emplace()); },
             [&target] { return target ? value_text(*target) : std::string(); }});
    return *this;
  }
  /// One of several names; `choices` pairs each with its value.
  template <class Enum>
  Options& choice(const std::string& name, Enum& target,
                  std::vector<std::pair<std::string, Enum>> choices, const std::string& help) {
    std::vector<std::string> names;
    names.reserve(choices.size());
    for (const auto& c : choices) names.push_back(c.first);
    declare({name, help + " (" + join(names) + ")", Kind::value,
             [&target, choices, names](const std::string& text) {
               for (const auto& c : choices) {
                 if (c.first == text) return void(target = c.second);
               }
               refuse("allowed: {}{}", join(names), suggestion(text, names));
             },
             [&target, choices] {
               for (const auto& c : choices) {
                 if (c.second == target) return c.first;
               }
               return std::string();
             }});
    return *this;
  }
  /// `--name` without a value; `name = true` in a file.
  Options& flag(const std::string& name, bool& target, const std::string& help);
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

  /// Reads arguments and configuration file. Returns false when --help was asked for and printed.
  /// Throws RefusedError naming option, value and what is allowed.
  [[nodiscard]] bool parse(const std::vector<std::string>& arguments);

  /// Whether the user set this option (command line or file).
  [[nodiscard]] bool given(const std::string& name) const;
  /// All values, as "name = value" lines under "[section]": loadable with --config.
  [[nodiscard]] std::string text(const std::string& section) const;
  /// (name, value) of all options, in declaration order.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> values() const;
  /// Reads a configuration text like a file (checkpoints carry one), without the command line. The
  /// text may have the `renamed` values.
  void parse_text(const std::string& text, const std::string& origin,
                  const std::vector<RenamedValue>& renamed = {});
  [[nodiscard]] std::string help() const;

 private:
  enum class Kind : std::uint8_t { value, flag, list };
  struct Option {
    std::string name, help;
    Kind kind = Kind::value;
    std::function<void(const std::string&)> set;
    std::function<std::string()> get;
    std::function<void()> clear = {};  ///< empties a list
    std::string group = {};
    bool given = false;
  };
  struct Setting {
    std::string name, value;
  };

  static std::string join(const std::vector<std::string>& names);
  void declare(Option option);
  Option* find(const std::string& name);
  [[nodiscard]] bool is_list(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  void set(const std::string& name, const std::string& value, const std::string& origin);
  void set_from_file(const std::filesystem::path& file);
  std::vector<Setting> parse_command_line(const std::vector<std::string>& arguments) const;

  std::string command_, summary_;
  std::vector<std::string> sections_, positional_;
  std::vector<Option> options_;
  std::string group_ = "options";
};

}  // namespace simclr
