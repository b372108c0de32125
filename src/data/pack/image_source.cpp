#include "image_source.hpp"

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
      return;
    case EntryKind::dangling_link:
      refuse("{}: no such file{}", path.string(),
             std::filesystem::is_symlink(path) ? ": the link to it leads nowhere" : "");
    default:
      refuse("{}: not a file", path.string());
  }
}

}  // namespace simclr
