#pragma once
// state.json: how a run stands, for job scripts.

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "simclr/core/cause.hpp"

namespace simclr {

enum class RunStatus : std::uint8_t { running, finished, stopped_early, failed };

/// Whether to `resubmit` follows from the cause.
struct RunState {
  RunStatus status = RunStatus::running;
  std::int64_t step = 0;  ///< that the newest checkpoint holds
  std::string reason;     ///< of the end
  Cause cause = Cause::none;
  int restarts = 0;
};

/// Status, step and restarts of DIRECTORY/state.json; empty where there is none that can be read.
std::optional<RunState> read_state(const std::filesystem::path& directory);

/// One rank's hand on state.json. Of a run's end the first word counts: a watchdog's, also where
/// the run is just about to end otherwise. From any thread.
///
/// Rank 0 writes. Another rank may say how the run ended, too, having failed alone or lost rank 0;
/// it may then be one of a few that are cut off while rank 0 goes on, has said why it ended, or has
/// been started anew. So it writes only over a `running` of its own start; and so does rank 0 once
/// work has begun, in case that it was only stopped for a while and has been missed.
class StateFile {
 public:
  StateFile(std::filesystem::path directory, bool is_root)
      : directory_(std::move(directory)), is_root_(is_root) {}

  /// The directory is this run's from now on; nothing is written before.
  void take_over(std::int64_t step, int restarts);
  /// The run goes on from a checkpoint of this step (all ranks).
  void running(std::int64_t step);
  void end(RunStatus status, Cause cause, const std::string& reason);
  /// Whether running() has been called.
  [[nodiscard]] bool has_begun() const { return begun_; }
  [[nodiscard]] int restarts() const { return state_.restarts; }

 private:
  [[nodiscard]] bool may_write() const;
  void write() const;

  std::filesystem::path directory_;
  bool is_root_;
  std::mutex mutex_;
  RunState state_;
  bool owned_ = false, begun_ = false;
};

}  // namespace simclr
