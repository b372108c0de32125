#pragma once

#include <string>

namespace simclr {

/// "0.1.0".
std::string program_version();
/// The commit this binary was built from, with "-dirty" appended if the tree was changed; "unknown"
/// without git.
std::string git_commit();
/// "GNU 12.2.0, Release".
std::string compiler_description();

}  // namespace simclr
