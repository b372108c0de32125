#pragma once
// The syntax of configuration files: `name = value` lines, [section] lines, # comments.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace simclr {

/// One setting of a configuration file, or without a name the beginning of a section. The section
/// is empty above the first one.
struct ConfigEntry {
  std::string section, name, value;
  int line = 0;  ///< counted from 1
};

/// The text of the file that an option names. Throws RefusedError when it cannot be read or is too
/// long for a configuration.
std::string read_config(const std::filesystem::path& file, std::string_view option = "config");

/// The entries in the order of the text. Throws RefusedError "ORIGIN:LINE: ..." for a line that is
/// neither a setting nor a section.
std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& origin);

}  // namespace simclr
