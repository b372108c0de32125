#pragma once
// Errors: what the program throws, and how a failed check reads.

#include <fmt/format.h>

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

#include "simclr/core/cause.hpp"

namespace simclr {

/// A failure while running: the process ends with exit code 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, Cause cause = Cause::error)
      : std::runtime_error(message), cause_(cause) {}
  [[nodiscard]] Cause cause() const { return cause_; }

 private:
  Cause cause_;
};

/// Usage, configuration or input data that is refused before any work: exit code 2.
/// The message says what, where, and what to do.
class RefusedError : public Error {
 public:
  using Error::Error;
};

/// A failure of reading or writing a file, with the system's errno (0 where it is not known).
class IoError : public Error {
 public:
  explicit IoError(const std::string& message, int error_number = 0)
      : Error(message, Cause::io), error_number_(error_number) {}
  [[nodiscard]] int error_number() const { return error_number_; }

 private:
  int error_number_;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// A failure whose cause a job script may act on.
template <class... Args>
[[noreturn]] void fail_for(Cause cause, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), cause);
}

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw RefusedError(fmt::format(format, std::forward<Args>(args)...));
}

/// An invariant of the program itself; a violation is a bug and names its line.
inline void require(bool ok, std::string_view what,
                    std::source_location where = std::source_location::current()) {
  if (!ok) {
    throw Error(
        fmt::format("internal check failed: {} ({}:{})", what, where.file_name(), where.line()));
  }
}

}  // namespace simclr
