#pragma once
// Whether a result can be written to its file, asked before the work for it begins.

#include <filesystem>
#include <string>
#include <string_view>

namespace simclr {

/// A file that a command writes.
struct Output {
  std::filesystem::path file;
  std::string_view option = "output";  ///< the option that names the file, for the message
  /// Whether missing directories above the file are created. Otherwise they are refused, because
  /// they are most often typing errors.
  bool creates_directories = false;
  /// What an existing file that may be replaced begins with; empty: anything. Protects the inputs
  /// of a command and other people's files from a wrong name.
  std::string_view begins{};
  /// The dataset that an existing HDF5 file that may be replaced has; empty: anything.
  std::string dataset{};
  /// The `format` attribute that an existing HDF5 file that may be replaced has; empty: anything.
  std::string format{};
  /// Its `origin` attribute, which tells results of one kind from each other; empty: anything.
  std::string origin{};
};

/// Refuses a file that cannot be written, or exists and is of another kind. Finds out by writing
/// another file beside it, which it deletes again.
void require_writable(const Output& output);

/// The same without writing anything: does not notice full disks and exceeded quotas.
void require_likely_writable(const Output& output);

}  // namespace simclr
