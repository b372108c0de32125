#pragma once
// What the process finds out about its surroundings.

#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/host_name.hpp"

namespace simclr {

/// The most memory that this process has had resident at once (VmHWM), shared pages among it.
double peak_memory_bytes();
/// That it has now.
double resident_memory_bytes();

/// SLURM_JOB_ID, PBS_JOBID or LSB_JOBID; empty outside a batch job.
std::string job_id();
/// How often Slurm has started this job again.
std::int64_t job_restart();

/// Compute threads for this rank: the cores it may run on, divided by the ranks that may run on the
/// same ones. At least 1. Rank 0 warns when the launcher leaves cores of a host to nobody.
/// Collective.
int default_threads(Communicator& world);

}  // namespace simclr
