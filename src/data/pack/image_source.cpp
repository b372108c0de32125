#include "image_source.hpp"

#include <unistd.h>

#include <cerrno>

#include "simclr/core/check.hpp"
#include "simclr/io/directory.hpp"

namespace simclr {

void require_folder(const std::filesystem::path& input) {
  const EntryKind kind = entry_kind(input);
  if (kind == EntryKind::folder) return;
  if (kind == EntryKind::dangling_link) refuse_unreadable(input, ENOENT);
  refuse("{}: is not a directory", input.string());
}

void require_file(const std::filesystem::path& path) {
  switch (entry_kind(path)) {
    case EntryKind::file:
      if (::access(path.c_str(), R_OK) == 0) return;
      refuse_unreadable(path, errno);
    case EntryKind::dangling_link:
      if (!std::filesystem::is_symlink(path)) refuse_unreadable(path, ENOENT);
      refuse("{}: is a link to a file that does not exist", path.string());
    default:
      refuse("{}: is not a file", path.string());
  }
}

}  // namespace simclr
