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

/// Where a start begins, and what it takes over from earlier starts; known on rank 0.
struct RunStart {
  std::optional<FoundCheckpoint> checkpoint{};  ///< the one to resume from; empty for a new run
  std::optional<Precision> precision{};         ///< of the resumed run; empty for a new one
  /// --checkpoint-steps of earlier starts, whose checkpoints are kept.
  std::vector<std::int64_t> pinned_steps{};
  int restarts = 0;

  [[nodiscard]] std::int64_t step() const { return checkpoint ? checkpoint->checkpoint.step : 0; }
};

/// Makes the checks of RunDirectory's constructor and writes nothing. `in_use`: whether to refuse a
/// directory that another process uses now; it may be free by the time a job begins.
enum class DirectoryInUse : std::uint8_t { refuse, accept };
RunStart check_run_directory(TrainingConfig& config, DirectoryInUse in_use);

/// Creates a directory and its missing parents. The destructor removes what was created unless
/// keep() was called, so that a refused run leaves nothing behind.
class NewDirectory {
 public:
  /// Throws RefusedError if the directory cannot be created.
  explicit NewDirectory(const std::filesystem::path& directory);
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  ~NewDirectory();
  void keep() { made_.clear(); }

 private:
  std::vector<std::filesystem::path> made_;  // deepest first
};

/// Renames checkpoints of steps after `step`, so that no start finds them, and logs a warning that
/// says `why`.
void set_aside_after(const std::filesystem::path& checkpoints, std::int64_t step,
                     const std::string& why);

/// A run's directory, locked by rank 0 while the run trains.
class RunDirectory {
 public:
  /// Creates or takes over the directory. Throws RefusedError, before anything is written, if
  /// another process uses it, if it holds a run and --resume is none, if an option that may not
  /// change differs, or if none of its checkpoints is valid.
  explicit RunDirectory(TrainingConfig& config);

  [[nodiscard]] const RunStart& start() const { return start_; }
  /// Frees the tensors of the checkpoint that start() has, once they are restored.
  void forget_tensors();
  [[nodiscard]] const RunFence& fence() const { return lock_.fence(); }
  /// Begins the run: writes config.cfg, creates missing directories and sets later checkpoints
  /// aside.
  void begin(TrainingConfig& config);

 private:
  std::filesystem::path path_;
  NewDirectory directory_;
  RunLock lock_;
  RunStart start_;
};

}  // namespace simclr
