#pragma once
// Retries reads and writes after transient errors, as network file systems produce them.

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <span>
#include <string_view>

#include "simclr/core/check.hpp"

namespace simclr {

/// Pauses between five tries within about 6 s, the time in which a file server fails over.
inline constexpr std::array<std::chrono::milliseconds, 4> kRetryPauses{
    std::chrono::milliseconds{400}, std::chrono::milliseconds{800}, std::chrono::milliseconds{1600},
    std::chrono::milliseconds{3200}};
using RetryPauses = std::span<const std::chrono::milliseconds>;

/// True for errno values that a retry may cure (EIO, ESTALE, ETIMEDOUT, ...), unlike a full disk,
/// an exceeded quota or a missing permission.
bool is_transient(int error_number);

/// Throws IoError "WHAT: <the system's text for error_number>".
[[noreturn]] void fail_io(std::string_view what, int error_number);
/// Throws IoError "cannot ACTION FILE: <the reason>".
[[noreturn]] void fail_io(std::string_view action, const std::filesystem::path& file,
                          int error_number);

/// Called after try number `attempt` (from 1) failed. Logs a warning and sleeps; or throws an error
/// that names `path`, when the error is permanent or this was the last try. An enclosing
/// with_retries() does not retry that error.
void wait_to_retry(const IoError& error, int attempt, const std::filesystem::path& path,
                   RetryPauses pauses);

/// Returns work(attempt). Calls `work` again after a transient IoError, so that it must be safe to
/// repeat.
template <class Work>
auto with_retries(const std::filesystem::path& path, const Work& work,
                  RetryPauses pauses = kRetryPauses) {
  for (int attempt = 1;; ++attempt) {
    try {
      return work(attempt);
    } catch (const IoError& error) {
      wait_to_retry(error, attempt, path, pauses);
    }
  }
}

}  // namespace simclr
