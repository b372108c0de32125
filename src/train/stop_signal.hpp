#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace simclr {

/// Makes SIGTERM, SIGUSR1 and, without a launcher, the first SIGINT (Ctrl-C) set a request that the
/// training loop reads after every step. A second SIGINT ends the process at once.
void install_stop_signals();
/// Such as "signal SIGUSR1"; empty if no signal has arrived.
std::string received_stop_signal();

/// The time `minutes` before the end of the job, which SLURM_JOB_END_TIME gives in seconds since
/// 1970. Refuses if that variable is missing or not a number.
std::chrono::system_clock::time_point job_deadline(double minutes);

}  // namespace simclr
