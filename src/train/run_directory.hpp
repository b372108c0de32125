#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "run_lock.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// The effective configuration: the command's section with one line for each option, loadable with
/// --config; paths are absolute. Checkpoints omit the run directory, since a run may be moved.
enum class RunDirectoryOption : std::uint8_t { written, omitted };
std::string configuration_text(TrainingConfig& config, RunDirectoryOption run_directory);

/// Where a run begins, on rank 0.
struct RunStart {
  std::optional<FoundCheckpoint> checkpoint{};  ///< to resume from; empty for a new run
  std::optional<Precision> precision{};         ///< of the resumed run; empty for a new one
};

/// Refuses what the constructor of RunDirectory refuses, and writes nothing. A directory that is in
/// use now may be free when a job begins that has not been submitted yet.
enum class DirectoryInUse : std::uint8_t { refuse, accept };
RunStart check_run_directory(TrainingConfig& config, DirectoryInUse in_use);

/// A directory and its parents, made where they are missing. What was made goes away again with the
/// object, unless it is kept: a run that is refused leaves nothing behind.
class NewDirectory {
 public:
  /// RefusedError when the directory cannot be made.
  explicit NewDirectory(const std::filesystem::path& directory);
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  ~NewDirectory();
  void keep() { made_.clear(); }

 private:
  std::vector<std::filesystem::path> made_;  // the deepest first
};

/// Gives checkpoints of steps after this one names that nothing looks for, with a warning.
void set_aside_after(const std::filesystem::path& checkpoints, std::int64_t step,
                     const std::string& why);

/// A run's directory, held by rank 0 for as long as it trains.
class RunDirectory {
 public:
  /// Creates or takes over the directory. Throws RefusedError before anything is written: in use by
  /// another process, holds a run although --resume none, a configuration that differs in an option
  /// that may not change, no checkpoint that verifies.
  explicit RunDirectory(TrainingConfig& config);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  /// Where training goes on; empty for a new run.
  [[nodiscard]] const std::optional<FoundCheckpoint>& resumed() const { return resumed_; }
  /// Precision of the resumed run; empty for a new run.
  [[nodiscard]] std::optional<Precision> precision() const { return precision_; }
  [[nodiscard]] int restarts() const { return restarts_; }
  /// --checkpoint-steps of the earlier starts, whose checkpoints stay.
  [[nodiscard]] const std::vector<std::int64_t>& pinned_steps() const { return pinned_steps_; }

  /// Writes config.cfg, creates what is missing and sets later checkpoints aside: the run begins.
  void begin(TrainingConfig& config);

 private:
  std::filesystem::path path_;
  NewDirectory directory_;
  std::unique_ptr<RunLock> lock_;
  std::optional<FoundCheckpoint> resumed_;
  std::optional<Precision> precision_;
  std::vector<std::int64_t> pinned_steps_;
  int restarts_ = 0;
};

}  // namespace simclr
