#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace simclr {

/// A file that appears whole or not at all: written under a temporary name in the same directory,
/// synced and renamed by commit(). Without commit() nothing stays behind. Errors (full disk, no
/// permission) throw IoError naming the file; what was written before is then lost.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// `still_wanted` is asked once the bytes are on the disk, just before they take the target's
  /// place; where it says no, the target stays as it is.
  void commit(const std::function<bool()>& still_wanted = {});

 private:
  [[noreturn]] void fail_with(std::string_view action) const;

  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
};

/// Writes a new AtomicFile by `write` and commits it. The whole of it is done again when errors may
/// pass (io/retry.hpp): after a failed sync nobody knows which of the bytes are on the disk.
void write_file(const std::filesystem::path& target,
                const std::function<void(AtomicFile& file)>& write);
void write_file(const std::filesystem::path& target, std::string_view text);

}  // namespace simclr
