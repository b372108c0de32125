#pragma once
// Input and output over file systems that fail now and then.

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <span>
#include <string_view>

#include "simclr/core/check.hpp"

namespace simclr {

/// Between the tries: five of them within some 6 s, as long as a server takes to change over.
inline constexpr std::array<std::chrono::milliseconds, 4> kRetryPauses{
    std::chrono::milliseconds{400}, std::chrono::milliseconds{800}, std::chrono::milliseconds{1600},
    std::chrono::milliseconds{3200}};
using RetryPauses = std::span<const std::chrono::milliseconds>;

/// Whether an error (an errno) may be gone a moment later: EIO, ESTALE, ETIMEDOUT, ..., unlike a
/// full disk, an exceeded quota or a missing permission.
bool is_transient(int error_number);

/// Throws IoError: WHAT: what the system calls `error_number`.
[[noreturn]] void fail_io(std::string_view what, int error_number);

/// After try number `attempt` (from 1): warns and waits, or throws the error when it does not pass
/// or was the last, naming `path` and the number of tries. What is thrown is not tried again by
/// others on its way.
void wait_to_retry(const IoError& error, int attempt, const std::filesystem::path& path,
                   RetryPauses pauses);

/// Returns what `work` returns. When it throws an IoError that may pass, it is done again: it is to
/// be something that may be done twice.
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
