#pragma once

#include <filesystem>

#include "simclr/core/check.hpp"

namespace simclr {

/// Refuses an --output (or another option that names a file to write) whose directory does not
/// exist. Call it before the work begins.
inline void require_directory_of(const std::filesystem::path& output,
                                 const char* option = "output") {
  const auto directory = std::filesystem::absolute(output).parent_path();
  if (!std::filesystem::is_directory(directory)) {
    refuse("option --{}: '{}' is not accepted; there is no directory '{}'", option, output.string(),
           directory.string());
  }
}

}  // namespace simclr
