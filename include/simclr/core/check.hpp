#pragma once
// The exceptions that the program throws, and functions that throw them.

#include <fmt/format.h>

#include <filesystem>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "simclr/core/cause.hpp"

namespace simclr {

/// The text with NUL, at which what() would end, as \x00.
[[nodiscard]] inline std::string without_nul(std::string text) {
  for (std::size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at)) {
    text.replace(at, 1, "\\x00");
  }
  return text;
}

/// A failure while running: the process ends with exit code 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, Cause cause = Cause::error)
      : std::runtime_error(without_nul(message)), cause_(cause) {}
  [[nodiscard]] Cause cause() const { return cause_; }

 private:
  Cause cause_;
};

/// Usage, configuration or input data are refused before any work: exit code 2. The message begins
/// with the place, then says what is wrong and what to do:
///   option --NAME: WHAT IS WRONG; WHAT TO DO
///   PATH: WHAT IS WRONG; WHAT TO DO
///   cannot read PATH: WHAT THE SYSTEM SAYS
class RefusedError : public Error {
 public:
  using Error::Error;
};

/// Reading or writing a file failed; carries the system's errno, 0 when unknown.
class IoError : public Error {
 public:
  explicit IoError(const std::string& message, int error_number = 0)
      : Error(message, Cause::io), error_number_(error_number) {}
  [[nodiscard]] int error_number() const { return error_number_; }

 private:
  int error_number_;
};

/// A file that could be opened holds data that cannot be read or decoded. At the start, where
/// nothing has been written yet, this refuses the file.
class DamagedError : public Error {
 public:
  using Error::Error;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Fails with a cause that a job script may act on.
template <class... Args>
[[noreturn]] void fail_for(Cause cause, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), cause);
}

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw RefusedError(fmt::format(format, std::forward<Args>(args)...));
}

/// Refuses a path that the system does not let be read, such as a missing one.
[[noreturn]] inline void refuse_unreadable(const std::filesystem::path& path, int error_number) {
  refuse("cannot read {}: {}", path.string(), std::generic_category().message(error_number));
}

/// Checks an invariant of the program, stated as a rule ("rows must lie inside the dataset"). A
/// violation is a bug; the error names the rule and the line.
inline void require(bool ok, std::string_view rule,
                    std::source_location where = std::source_location::current()) {
  if (!ok) {
    throw Error(fmt::format("internal error: violated rule: {} ({}:{})", rule, where.file_name(),
                            where.line()));
  }
}

}  // namespace simclr
