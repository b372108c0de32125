#pragma once

#include <filesystem>
#include <string>

namespace simclr {

/// Lets one process at a time write into a run directory, by a file `lock` that names the holder
/// (host, process, start time, job). The destructor releases it. A lock whose process is gone, or
/// that an earlier attempt of this job left, is stale: it is taken over with a warning.
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
