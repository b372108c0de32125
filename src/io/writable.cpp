#include "simclr/io/writable.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <system_error>

#include "simclr/core/check.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse_file(const fs::path& file, const std::string& reason) {
  refuse("cannot write {}: {}; name another file with --output", file.string(), reason);
}

}  // namespace

void require_likely_writable(const fs::path& file) {
  std::error_code unknown;  // of a place that may not be looked at: access() tells
  if (fs::is_directory(file, unknown)) refuse_file(file, "it is a directory");
  if (fs::exists(file, unknown) && !fs::is_regular_file(file, unknown)) {
    refuse_file(file, "it is no plain file");
  }
  fs::path at = fs::absolute(file).parent_path();
  while (!fs::exists(at, unknown) && at != at.parent_path()) at = at.parent_path();
  if (!fs::is_directory(at)) refuse_file(file, at.string() + " is no directory");
  if (::access(at.c_str(), W_OK | X_OK) != 0) {
    const std::string reason = std::strerror(errno);
    refuse_file(file, at.string() + ": " + reason);
  }
}

void require_writable(const fs::path& file) {
  require_likely_writable(file);
  std::error_code error;
  fs::create_directories(fs::absolute(file).parent_path(), error);
  if (error) refuse_file(file, error.message());
  // More than a result has, so that a full disk or an exceeded quota shows.
  static constexpr std::array<std::byte, 65536> kProbe{};
  try {
    AtomicFile probe(file);
    probe.write(std::span<const std::byte>(kProbe));
    probe.commit([] { return false; });
  } catch (const IoError& failure) {
    refuse("{}; name another file with --output", failure.what());
  }
}

}  // namespace simclr
