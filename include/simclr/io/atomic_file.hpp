#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace simclr {

/// A file that appears whole or not at all: written under a temporary name in the same directory,
/// synced and renamed by commit(). Without commit() nothing stays behind. Errors (full disk, no
/// permission) throw Error naming the file.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  [[noreturn]] void fail_with(std::string_view action) const;

  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
};

}  // namespace simclr
