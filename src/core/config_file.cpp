#include "simclr/core/config_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "simclr/core/check.hpp"
#include "simclr/core/foreign_text.hpp"

namespace simclr {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\v\f";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

std::string read_config(const std::filesystem::path& file, std::string_view option) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  std::error_code unknown;
  if (std::filesystem::is_directory(file, unknown)) {
    refuse("option --{}: {} is a directory; name a file", option, file.string());
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) refuse_unreadable(file, errno);
  std::string text(kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) refuse_unreadable(file, errno);
  if (text.size() > kMostBytes) {
    refuse("option --{}: {} has more than 1 MiB; name a configuration file", option, file.string());
  }
  return text;
}

std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& origin) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<ConfigEntry> entries;
  std::string section;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view whole = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(whole.size() + 1, text.size()));
    const std::string_view line = trimmed(whole.substr(0, whole.find('#')));
    if (line.empty()) continue;
    if (line.front() == '[' && line.back() == ']') {
      section = trimmed(line.substr(1, line.size() - 2));
      if (section.empty()) refuse("{}:{}: a section must have a name", origin, number);
      entries.push_back({section, "", "", number});
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string_view name = trimmed(line.substr(0, equals));
    if (equals == std::string_view::npos || name.empty() || line.front() == '[') {
      refuse("{}:{}: a line must be 'name = value', '[section]' or '# comment', got '{}'", origin,
             number, excerpt(line));
    }
    entries.push_back(
        {section, std::string(name), std::string(trimmed(line.substr(equals + 1))), number});
  }
  return entries;
}

}  // namespace simclr
