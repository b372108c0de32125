#pragma once
// state.json: the state of a run, for job scripts.

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "run_lock.hpp"
#include "simclr/core/cause.hpp"

namespace simclr {

enum class RunStatus : std::uint8_t { running, finished, stopped_early, failed };

/// The content of state.json; its "resubmit" is derived from the cause.
struct RunState {
  RunStatus status = RunStatus::running;
  std::int64_t step = 0;  ///< step of the newest checkpoint
  std::string reason;     ///< why the run ended
  Cause cause = Cause::none;
  int restarts = 0;
};

/// Reads status, step and restarts from DIRECTORY/state.json; empty if it cannot be read.
std::optional<RunState> read_state(const std::filesystem::path& directory);
/// The count of restarts in DIRECTORY/state.json, 0 without the file. Throws RefusedError naming a
/// file that is not the state of a run.
int restarts_so_far(const std::filesystem::path& directory);

/// Writes state.json for one rank; thread-safe. The first end that is reported counts, such as the
/// watchdog's while the run is about to end in another way. Writing throws as
/// RunFence::require_held() does when another start owns the directory.
///
/// Normally rank 0 writes. Another rank writes the end too if it fails alone or loses rank 0. But
/// it may be this rank that is cut off, while rank 0 still runs, has reported another end, or has
/// been restarted. So a rank only replaces the state "running" of its own start. Once work has
/// begun this holds for rank 0 as well: it may have been suspended and given up by the others.
class StateFile {
 public:
  StateFile(std::filesystem::path directory, bool is_root)
      : directory_(std::move(directory)), is_root_(is_root) {}

  /// Allows writing: the run now owns the directory, as long as `fence` is held.
  void take_over(std::int64_t step, int restarts, RunFence fence);
  /// Records that the run is training and that its newest checkpoint is of this step. All ranks
  /// call it.
  void running(std::int64_t step);
  void end(RunStatus status, Cause cause, const std::string& reason);
  /// Whether running() has been called.
  [[nodiscard]] bool has_begun() const { return begun_; }
  [[nodiscard]] const RunFence& fence() const { return fence_; }
  [[nodiscard]] int restarts() const { return state_.restarts; }

 private:
  [[nodiscard]] bool may_write() const;
  void write() const;

  std::filesystem::path directory_;
  bool is_root_;
  std::mutex mutex_;
  RunState state_;
  RunFence fence_;
  bool owned_ = false, begun_ = false;
};

}  // namespace simclr
