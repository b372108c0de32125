#include "simclr/io/directory.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <system_error>

#include "simclr/core/check.hpp"

namespace simclr {
namespace fs = std::filesystem;

EntryKind entry_kind(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  switch (status.type()) {
    case fs::file_type::regular:
      return EntryKind::file;
    case fs::file_type::directory:
      return EntryKind::folder;
    case fs::file_type::not_found:
      return EntryKind::dangling_link;
    case fs::file_type::none:
      // Links that lead to each other lead nowhere.
      if (error == std::errc::too_many_symbolic_link_levels) return EntryKind::dangling_link;
      refuse_unreadable(path, error.value());
    default:
      return EntryKind::other;
  }
}

DirectoryListing list_directory(const fs::path& directory) {
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  DirectoryListing listing;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.filename().string().starts_with('.')) {
      ++listing.hidden;
    } else {
      // The directory itself tells most kinds; asking the file server about each file takes long.
      std::error_code unknown;
      const fs::file_type type = entry->symlink_status(unknown).type();
      const EntryKind kind = type == fs::file_type::regular     ? EntryKind::file
                             : type == fs::file_type::directory ? EntryKind::folder
                                                                : entry_kind(path);
      listing.entries.push_back({path, kind});
    }
  }
  if (error) refuse_unreadable(directory, error.value());
  std::ranges::sort(listing.entries, {}, &DirectoryEntry::name);
  return listing;
}

std::string first_names(const std::vector<std::string>& names, std::size_t shown) {
  const std::size_t count = std::min(shown, names.size());
  std::string text = fmt::format("{}", fmt::join(std::span(names).first(count), ", "));
  if (count < names.size()) text += fmt::format(" and {} more", names.size() - count);
  return text;
}

}  // namespace simclr
