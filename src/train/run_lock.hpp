#pragma once

#include <filesystem>
#include <string>

namespace simclr {

/// The right to write into a run directory: a file `lock` that says who holds it (host, process,
/// start time, job). Taken by one process; released by the destructor. A lock whose process is
/// gone, or that an earlier attempt of this same job left, is stale and taken over with a warning.
class RunLock {
 public:
  /// Throws RefusedError naming the holder when another process uses the directory.
  explicit RunLock(const std::filesystem::path& run_directory);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

 private:
  std::filesystem::path file_;
  std::string content_;
};

/// Refuses a run directory that another process uses, naming the holder. Reads only.
void require_unlocked(const std::filesystem::path& run_directory);

}  // namespace simclr
