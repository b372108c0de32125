#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace simclr {

/// Turns SIGTERM and SIGUSR1 into a request that the training loop reads between two steps.
void install_stop_signals();
/// "signal SIGUSR1", or empty when none has come.
std::string received_stop_signal();

/// The wall-clock second at which the job's time is up less `minutes`, from SLURM_JOB_END_TIME
/// (seconds since 1970). Refuses when that variable is not there or no number.
std::chrono::system_clock::time_point job_deadline(double minutes);

}  // namespace simclr
