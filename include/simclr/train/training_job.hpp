#pragma once
// The training engine: runs a command's task to the end of its schedule, with run directory,
// restarts, checkpoints, signals, records and watchdog.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// Description of the program in environment.json.
struct BuildInfo {
  std::string version, git_commit, compiler;
};

/// Refuses a run directory that holds a run of another configuration, or any run with --resume
/// none. Writes nothing. Returns the run's precision; empty for a new run.
std::optional<Precision> validate_run_directory(TrainingConfig& config);

/// Lets a run that was moved go on where it is now: if the arguments name RUN/config.cfg of a run
/// and no --run-dir, the run is RUN, although the file may say its old place. Call it after the
/// options were read.
void stay_with_configuration(TrainingConfig& config, const std::vector<std::string>& arguments);

inline constexpr int kExitStoppedEarly = 75;

enum class DryRun : std::uint8_t {
  here,       ///< check with the ranks, devices and memory of this start
  elsewhere,  ///< leave out what depends on machine and job: device, memory, time limit
};

/// Makes all checks that run_training() makes before work begins, and writes nothing. Returns a
/// line that says what run_training() would do. Throws RefusedError. Collective.
std::string dry_run(TrainingConfig& config, DryRun where, Communicator& world);

/// Trains from the run directory's newest checkpoint (or from the start) to the end of the
/// schedule. Sets in `config` what the run directory decides: precision and pinned steps. Returns
/// 0, or kExitStoppedEarly if a signal or the time limit stopped it, with a checkpoint written.
/// Throws RefusedError before anything is written, Error while running. Collective.
int run_training(TrainingConfig& config, const BuildInfo& build, Communicator& world);

}  // namespace simclr
