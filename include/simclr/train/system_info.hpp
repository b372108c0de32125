#pragma once
// Facts about this process and its job.

#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/system.hpp"

namespace simclr {

/// Peak resident memory of this process (VmHWM), including shared pages.
double peak_memory_bytes();
/// Resident memory of this process now.
double resident_memory_bytes();

/// SLURM_JOB_ID, PBS_JOBID or LSB_JOBID; empty outside a batch job.
std::string job_id();
/// SLURM_CLUSTER_NAME: different clusters have jobs of the same number. Empty outside of Slurm.
std::string cluster_name();
/// How often Slurm has requeued this job.
std::int64_t job_restart();

/// The number of cores that this process may use, and the machine's memory.
int available_cores();
double total_memory_gb();

/// Number of compute threads for this rank: the cores it may run on, divided by the number of ranks
/// that share any of them. At least 1. Rank 0 warns if cores of a host are assigned to no rank.
/// Collective.
int default_threads(Communicator& world);

}  // namespace simclr
