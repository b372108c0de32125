#pragma once
// Log lines. Only rank 0 writes information, with date, time and zone; every rank writes warnings
// and errors with its number. On a terminal, rank 0 may show a live line below them. Control
// characters, which names in files may have, are escaped.

#include <fmt/format.h>

#include <string_view>

namespace simclr::log {

/// Sets the rank; until then the process counts as rank 0 of 1.
void set_rank(int rank, int world_size);

void write_info(std::string_view line);
void write_warning(std::string_view line);
/// Writes `simclr: error: ...` to stderr, with rank and host when there are several ranks.
void write_error(std::string_view line);

/// Whether somebody watches the output on a terminal, so that write_live() may be used. mpirun
/// gives every rank a pseudo-terminal; under it the output of mpirun itself decides.
bool output_is_watched();
/// Shows a line, cut to the terminal's present width, in place of the live line before it. Log
/// lines that follow replace it, so that neither sticks to the other.
void write_live(std::string_view line);
/// Lets the live line stand, if there is one, and goes to the next line.
void end_live();

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
