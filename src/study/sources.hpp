#pragma once
// Where the options of a study's works come from.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "simclr/core/options.hpp"

namespace simclr {

/// The texts that a work's options come from; later ones take precedence.
struct StudySources {
  std::string recipe, recipe_origin;
  std::string data;  ///< as common options of a configuration file
  std::string file, origin;
  std::set<std::string> sections;     ///< of recipe and file
  std::vector<std::string> settings;  ///< "section.name" of the file

  [[nodiscard]] bool sets(const std::string& section, const std::string& name) const {
    return std::ranges::find(settings, section + "." + name) != settings.end();
  }
  void apply(Options& options) const {
    if (!recipe.empty()) options.parse_text(recipe, recipe_origin);
    options.parse_text(data, origin);
    options.parse_text(file, origin);
  }
};

/// The names of the settings that nothing has set.
inline std::vector<std::string> not_given(const Options& options) {
  std::vector<std::string> names;
  for (const auto& [name, value] : options.values()) {
    if (!options.given(name)) names.push_back(name);
  }
  return names;
}

}  // namespace simclr
