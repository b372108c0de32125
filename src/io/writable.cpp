#include "simclr/io/writable.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <system_error>

#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/checkpoint.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse_output(const Output& output, const std::string& reason) {
  refuse("option --{}: cannot write {}: {}; name another file", output.option, output.file.string(),
         reason);
}

/// Whether the file begins with what this command writes.
bool begins_alike(const Output& output) {
  const Descriptor file(::open(output.file.c_str(), O_RDONLY | O_CLOEXEC));
  std::string beginning(output.begins.size(), '\0');
  return file &&
         ::read(file.get(), beginning.data(), beginning.size()) ==
             static_cast<ssize_t>(beginning.size()) &&
         beginning == output.begins;
}

/// Whether the file is HDF5 with this text attribute.
bool has_attribute(const Output& output, const char* name, const std::string& value) {
  try {
    return hdf5_file_attribute(output.file, name) == value;
  } catch (const RefusedError&) {  // no HDF5 file
    return false;
  }
}

/// Refuses an existing file that this command has not written.
void require_same_kind(const Output& output) {
  std::error_code unknown;
  if (!fs::exists(output.file, unknown) || fs::file_size(output.file, unknown) == 0) return;
  const bool same = (output.begins.empty() || begins_alike(output)) &&
                    (output.dataset.empty() || hdf5_file_holds(output.file, output.dataset)) &&
                    (output.format.empty() || has_attribute(output, "format", output.format));
  if (!same) refuse_output(output, "it exists and is something else than this command writes");
  if (!output.origin.empty() && !has_attribute(output, "origin", output.origin)) {
    refuse_output(output, "it exists and is of another evaluation");
  }
}

}  // namespace

void require_likely_writable(const Output& output) {
  const fs::path& file = output.file;
  if (!file.has_filename()) refuse("option --{}: '{}' names no file", output.option, file.string());
  std::error_code unknown;  // of a place that may not be looked at: access() tells
  if (fs::is_directory(file, unknown)) refuse_output(output, "it is a directory");
  // The file appears by being renamed, which would replace a device.
  if (fs::exists(file, unknown) && !fs::is_regular_file(file, unknown)) {
    refuse_output(output, "it is a device or pipe");
  }
  require_same_kind(output);
  fs::path at = fs::absolute(file).parent_path();
  for (std::error_code error; !fs::exists(at, error); at = at.parent_path()) {
    if (error) refuse_output(output, at.string() + ": " + error.message());
    if (!output.creates_directories) refuse_output(output, "there is no directory " + at.string());
  }
  if (!fs::is_directory(at, unknown)) refuse_output(output, at.string() + " is not a directory");
  if (::access(at.c_str(), W_OK | X_OK) != 0) {
    const std::string reason = std::strerror(errno);
    refuse_output(output, at.string() + ": " + reason);
  }
}

void require_writable(const Output& output) {
  require_likely_writable(output);
  std::error_code error;
  fs::create_directories(fs::absolute(output.file).parent_path(), error);
  if (error) refuse_output(output, reason_of(error.value(), output.file));
  // More than a result has, so that a full disk or an exceeded quota shows.
  static constexpr std::array<std::byte, 65536> kProbe{};
  try {
    AtomicFile probe(output.file);
    probe.write(std::span<const std::byte>(kProbe));
    probe.commit([] { return false; });
  } catch (const IoError& failure) {
    if (failure.error_number() == 0) throw;
    refuse_output(output, reason_of(failure.error_number(), output.file));
  }
}

}  // namespace simclr
