#pragma once
// What a directory holds: images and shards are listed by the same rules.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace simclr {

enum class EntryKind : std::uint8_t {
  file,           ///< a regular file, or a link to one
  folder,         ///< a directory, or a link to one
  dangling_link,  ///< a link to something that does not exist
  other,          ///< a FIFO, a socket or a device: opening it may wait for ever
};

struct DirectoryEntry {
  std::filesystem::path path;
  EntryKind kind = EntryKind::file;
  [[nodiscard]] std::string name() const { return path.filename().string(); }
};

struct DirectoryListing {
  std::vector<DirectoryEntry> entries;  ///< the visible ones, in the order of their names
  std::int64_t hidden = 0;              ///< number of entries whose names begin with a dot
};

/// Follows links. Throws RefusedError naming the path when the system does not tell its kind. What
/// does not exist counts as a dangling link.
EntryKind entry_kind(const std::filesystem::path& path);

/// Throws RefusedError naming the directory when it does not exist or cannot be listed.
DirectoryListing list_directory(const std::filesystem::path& directory);

/// The beginning of a list and the number of the others: "a, b, c and 4 more".
std::string first_names(const std::vector<std::string>& names, std::size_t shown);

}  // namespace simclr
