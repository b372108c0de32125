#include "image_source.hpp"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "simclr/core/check.hpp"
#include "simclr/io/directory.hpp"

namespace simclr {

void require_folder(const std::filesystem::path& input) {
  if (entry_kind(input) == EntryKind::folder) return;
  refuse("--input {}: no such directory", input.string());
}

void require_file(const std::filesystem::path& path) {
  switch (entry_kind(path)) {
    case EntryKind::file:
      if (::access(path.c_str(), R_OK) == 0) return;
      refuse("{}: cannot be read: {}", path.string(), std::generic_category().message(errno));
    case EntryKind::dangling_link:
      refuse("{}: no such file{}", path.string(),
             std::filesystem::is_symlink(path) ? ": the link to it leads nowhere" : "");
    default:
      refuse("{}: not a file", path.string());
  }
}

}  // namespace simclr
