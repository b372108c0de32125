#pragma once
// Small text files, read whole, and one that grows line by line. Errors that may pass are tried
// again (io/retry.hpp).

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace simclr {

/// The whole file. Throws IoError naming it; a file that is not there has error number ENOENT.
std::string read_text_file(const std::filesystem::path& path);

/// Opened for appending, created where it is missing.
class AppendedFile {
 public:
  explicit AppendedFile(std::filesystem::path path);
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;
  ~AppendedFile();

  /// All of it. Throws IoError naming the file (full disk).
  void append(std::string_view text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
