#pragma once
// Files that appear whole or not at all.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include "simclr/core/system.hpp"

namespace simclr {

/// A new, empty file beside the target, for someone else to write. Its name ends in a random number
/// and it did not exist before, so that nobody can plant a link there. publish() renames the file;
/// the destructor deletes an unpublished one. Errors throw IoError naming the target.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  [[nodiscard]] const std::filesystem::path& target() const { return target_; }
  /// TARGET.tmp-RANDOM
  [[nodiscard]] const std::filesystem::path& path() const { return temporary_; }
  [[nodiscard]] const Descriptor& descriptor() const { return descriptor_; }
  /// Syncs the file to disk and closes it; whoever has written it must have closed it, too.
  void sync();
  void publish();

 private:
  std::filesystem::path target_, temporary_;
  Descriptor descriptor_;
  bool published_ = false;
};

/// A new file that is written here: under a temporary name until commit() syncs and renames it. The
/// destructor deletes an uncommitted file. Errors (full disk, no permission) throw IoError naming
/// the file.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target) : file_(std::move(target)) {}

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Writes to a place, which may lie beyond the end; write() does not go on from there.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Reads what was written; zeros beyond the end.
  void read_at(std::uint64_t offset, std::span<std::byte> bytes) const;
  /// Sets the length; what is added reads as zeros.
  void resize(std::uint64_t bytes);
  /// Syncs and renames. Calls `still_wanted` between the two; when it returns false, the target
  /// stays as it is.
  void commit(const std::function<bool()>& still_wanted = {});
  /// The two halves of commit().
  void sync() { file_.sync(); }
  void publish() { file_.publish(); }
  [[nodiscard]] const std::filesystem::path& target() const { return file_.target(); }

 private:
  TemporaryFile file_;
};

/// Lets `write` fill a new AtomicFile and commits it. After a transient error (io/retry.hpp) it
/// starts over with a new file, because a failed sync leaves unknown which bytes reached the disk.
void write_file(const std::filesystem::path& target,
                const std::function<void(AtomicFile& file)>& write,
                const std::function<bool()>& still_wanted = {});
void write_file(const std::filesystem::path& target, std::string_view text);

}  // namespace simclr
