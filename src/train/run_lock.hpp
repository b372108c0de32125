#pragma once
// Lets one process at a time write into a run directory.

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "simclr/core/system.hpp"

namespace simclr {

/// The proof that this run's start owns the run directory: what its lock holds. All ranks know it.
/// Without a directory it owns everything (for tests of parts that write).
class RunFence {
 public:
  RunFence() = default;
  RunFence(std::filesystem::path run_directory, std::string content)
      : run_directory_(std::move(run_directory)), content_(std::move(content)) {}

  /// Throws RefusedError (Cause::lost_lock) if the lock is gone or belongs to another process.
  /// Every write into the run directory must call it just before. Throws IoError if the lock cannot
  /// be read.
  void require_held() const;
  [[nodiscard]] const std::string& content() const { return content_; }

 private:
  std::filesystem::path run_directory_;
  std::string content_;
};

/// Holds the file `lock` of a run directory. It names the holder: cluster, job, host, boot and
/// process-number namespace of the system, process and its start time. The holder touches the file
/// every 30 seconds, its heartbeat. The destructor releases the lock.
///
/// A lock is stale, and is taken over with a warning that says why, if
///   * its process is gone, as far as this process can see: same boot, same namespace;
///   * an earlier attempt of this job, on this cluster, has left it;
///   * its process cannot be seen, and it has had no heartbeat for five minutes and has none in the
///     next half minute.
/// A holder that still runs then finds out by its RunFence and ends.
class RunLock {
 public:
  /// Throws RefusedError naming the holder if another process uses the directory, if something
  /// other than a plain file has the lock's name, or if the lock cannot be written (full disk); it
  /// leaves nothing behind then.
  explicit RunLock(const std::filesystem::path& run_directory,
                   std::chrono::milliseconds beat = std::chrono::seconds(30));
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

  [[nodiscard]] const RunFence& fence() const { return fence_; }

 private:
  [[nodiscard]] bool create();
  void replace();
  void beat(const std::stop_token& stop, std::chrono::milliseconds pause);

  std::filesystem::path run_directory_, file_;
  RunFence fence_;
  Descriptor descriptor_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread heartbeat_;
};

/// Refuses a run directory that another process uses, naming the holder. Reads only.
void require_unlocked(const std::filesystem::path& run_directory);

}  // namespace simclr
