#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/cause.hpp"

namespace simclr {

/// Makes SIGTERM, SIGUSR1 and, without a launcher, the first SIGINT (Ctrl-C) set a request that the
/// engine reads between steps. A second SIGINT ends the process at once.
void install_stop_signals();
/// When a start must stop, to end before its job does; empty without --stop-before-minutes.
using Deadline = std::optional<std::chrono::system_clock::time_point>;

/// Why this rank asks the run to stop, such as "signal SIGUSR1"; empty if it does not.
std::string reason_to_stop(const Deadline& deadline);

/// Why a run stops; `reason` is empty if it goes on.
struct Stop {
  std::string reason;
  Cause cause = Cause::none;
};
/// The first rank's reason to stop, on all ranks. Collective.
Stop agree_on_stop(const std::string& reason, Communicator& world);

/// The time `minutes` before the end of the job, which SLURM_JOB_END_TIME gives in seconds since
/// 1970. Refuses if that variable is missing or not a number.
std::chrono::system_clock::time_point job_deadline(double minutes);

}  // namespace simclr
