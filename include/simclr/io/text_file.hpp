#pragma once
// Reads small text files and appends to growing ones. Retries after transient errors
// (io/retry.hpp).

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace simclr {

/// Reads the whole file. Throws IoError naming it, with error number ENOENT when it is missing.
std::string read_text_file(const std::filesystem::path& path);

/// A file open for appending; created when missing.
class AppendedFile {
 public:
  explicit AppendedFile(std::filesystem::path path);
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;
  ~AppendedFile();

  /// Appends all of `text`. Throws IoError naming the file (full disk).
  void append(std::string_view text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
