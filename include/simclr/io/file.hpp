#pragma once
// Reads whole files and appends to growing ones.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "simclr/core/system.hpp"

namespace simclr {

/// Reads the whole file; retries after transient errors (io/retry.hpp). Throws IoError naming it,
/// with error number ENOENT when it is missing; RefusedError when it is no plain file, or may not
/// be read.
std::string read_text_file(const std::filesystem::path& path);

/// A file open for appending; created when missing. Retries after transient errors.
class AppendedFile {
 public:
  explicit AppendedFile(std::filesystem::path path);

  /// Appends all of `text`. Throws IoError naming the file (full disk).
  void append(std::string_view text);

 private:
  std::filesystem::path path_;
  Descriptor descriptor_;
};

/// A memory-mapped, read-only file. Opening it fails as read_text_file() does.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace simclr
