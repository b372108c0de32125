#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "command.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace fs = std::filesystem;

void require_directory_of(const fs::path& output, const char* option) {
  const fs::path directory = fs::absolute(output).parent_path();
  if (!fs::is_directory(directory)) {
    refuse("option --{}: '{}' is not accepted; there is no directory '{}'", option, output.string(),
           directory.string());
  }
  // The file appears by being renamed, which would replace a device.
  if (fs::exists(output) && !fs::is_regular_file(output)) {
    refuse("option --{}: must name a file, got the {} {}", option,
           fs::is_directory(output) ? "directory" : "device or pipe", output.string());
  }
  if (::access(directory.c_str(), W_OK | X_OK) != 0) {
    refuse("option --{}: cannot write {}: {}", option, output.string(), std::strerror(errno));
  }
}

}  // namespace simclr
