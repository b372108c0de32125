#pragma once
// Log lines. Only rank 0 writes information; every rank writes warnings and errors with its number.
// Control characters, which names in files may have, are escaped.

#include <fmt/format.h>

#include <string_view>

namespace simclr::log {

/// Sets the rank; until then the process counts as rank 0 of 1.
void set_rank(int rank, int world_size);

void write_info(std::string_view line);
void write_warning(std::string_view line);
/// Writes `simclr: error: ...` to stderr, with rank and host when there are several ranks.
void write_error(std::string_view line);

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write_info(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace simclr::log
