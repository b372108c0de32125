#pragma once
// Whether a result can be written to its file, asked before the work for it begins.

#include <filesystem>
#include <string_view>

namespace simclr {

/// A file that a command writes.
struct Output {
  std::filesystem::path file;
  std::string_view option = "output";  ///< the option that names the file, for the message
  /// Whether missing directories above the file are created. Otherwise they are refused, because
  /// they are most often typing errors.
  bool creates_directories = false;
};

/// Refuses a file that cannot be written. Finds out by writing another file beside it, which it
/// deletes again.
void require_writable(const Output& output);

/// The same without writing anything: does not notice full disks and exceeded quotas.
void require_likely_writable(const Output& output);

}  // namespace simclr
