#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace simclr {

/// A file that appears whole or not at all. Data go to a temporary name in the same directory;
/// commit() syncs and renames it. The destructor deletes an uncommitted file. Errors (full disk, no
/// permission) throw IoError naming the file.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Calls `still_wanted` after the sync and just before the rename; when it returns false, the
  /// target stays as it is.
  void commit(const std::function<bool()>& still_wanted = {});

 private:
  [[noreturn]] void fail_with(std::string_view action) const;

  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
};

/// Lets `write` fill a new AtomicFile and commits it. After a transient error (io/retry.hpp) it
/// starts over with a new file, because a failed sync leaves unknown which bytes reached the disk.
void write_file(const std::filesystem::path& target,
                const std::function<void(AtomicFile& file)>& write);
void write_file(const std::filesystem::path& target, std::string_view text);

}  // namespace simclr
