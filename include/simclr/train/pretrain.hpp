#pragma once

#include <cstdint>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

/// What the program says about itself in a run's environment.json.
struct BuildInfo {
  std::string version, git_commit, compiler;
};

inline constexpr int kExitStoppedEarly = 75;

enum class DryRun : std::uint8_t {
  here,       ///< with the ranks, devices and memory of this start
  elsewhere,  ///< without what depends on machine and job: device, memory, time limit
};

/// All checks that pretrain() makes before work begins, and no work: nothing is written. Returns
/// one line that says what pretrain() would do. Throws RefusedError. Collective.
std::string dry_run(const PretrainConfig& config, DryRun where, Communicator& world);

/// The main job: trains from the run directory's newest checkpoint (or from the start) to the end
/// of the schedule. Collective. Returns 0, or kExitStoppedEarly after a signal or the time limit, a
/// checkpoint being written. Throws RefusedError before anything is written, Error while running.
int pretrain(const PretrainConfig& config, const BuildInfo& build, Communicator& world);

}  // namespace simclr
